//! What storage costs: lists of prices by storage class.

use std::collections::BTreeMap;

/// The class of an object of which nobody said another.
pub const STANDARD_CLASS: &str = "STANDARD";
/// The class of files in a folder, of copies on local disk, and of a lake in memory: no store has classes there.
pub const LOCAL_CLASS: &str = "LOCAL";

/// Dollars for a GiB and a month, as Amazon S3 lists them for us-east-1; they are there to be set to what one pays.
const MONTH: [(&str, f64); 7] = [
    ("STANDARD", 0.023),
    ("INTELLIGENT_TIERING", 0.023),
    ("REDUCED_REDUNDANCY", 0.024),
    ("STANDARD_IA", 0.0125),
    ("ONEZONE_IA", 0.01),
    ("GLACIER_IR", 0.004),
    (LOCAL_CLASS, 0.0),
];

/// Dollars for a thousand requests that put objects, from the same list.
const REQUESTS: [(&str, f64); 6] = [
    ("STANDARD", 0.005),
    ("INTELLIGENT_TIERING", 0.005),
    ("STANDARD_IA", 0.01),
    ("ONEZONE_IA", 0.01),
    ("GLACIER_IR", 0.02),
    (LOCAL_CLASS, 0.0),
];

/// Days for which an object is billed at least, from the same list; of other classes for as long as it is there.
const DAYS_MIN: [(&str, f64); 3] = [("STANDARD_IA", 30.0), ("ONEZONE_IA", 30.0), ("GLACIER_IR", 90.0)];
const DAYS_A_MONTH: f64 = 30.0;

/// Classes for what is seldom read, and what a file in one of them is billed for at least.
const SELDOM_READ: [&str; 3] = ["STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"];
const BILLED_MIN: u64 = 128 << 10;

/// Numbers by storage class.
type List = BTreeMap<String, f64>;

/// What storage costs, by storage class, in whatever money it was set in.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// A GiB and a month.
    month: List,
    /// A thousand requests that put objects.
    requests: List,
    /// How many days an object is billed for at least.
    days_min: List,
}

impl Default for Prices {
    fn default() -> Self {
        let list = |pairs: &[(&str, f64)]| pairs.iter().map(|(class, price)| ((*class).to_owned(), *price)).collect();
        Self { month: list(&MONTH), requests: list(&REQUESTS), days_min: list(&DAYS_MIN) }
    }
}

impl Prices {
    /// The same list with other prices of a GiB and a month for some classes, or for more of them. An error in words for one
    /// that is no price.
    pub fn with(mut self, prices: impl IntoIterator<Item = (String, f64)>) -> Result<Self, String> {
        set(&mut self.month, prices, "price")?;
        Ok(self)
    }

    /// The same for prices of a thousand requests that put objects.
    pub fn with_requests(mut self, prices: impl IntoIterator<Item = (String, f64)>) -> Result<Self, String> {
        set(&mut self.requests, prices, "price")?;
        Ok(self)
    }

    /// The same for the days for which an object is billed at least.
    pub fn with_days_min(mut self, days: impl IntoIterator<Item = (String, f64)>) -> Result<Self, String> {
        set(&mut self.days_min, days, "least time")?;
        Ok(self)
    }

    /// What so many files with so many bytes in all cost a month in a class; `None` for a class without a price. Classes for
    /// what is seldom read bill each file as one of 128 KiB at least.
    pub fn month(&self, class: &str, files: u64, bytes: u64) -> Option<f64> {
        const GIB: f64 = (1_u64 << 30) as f64;
        let bytes = if SELDOM_READ.contains(&class) { bytes.max(files.saturating_mul(BILLED_MIN)) } else { bytes };
        self.month.get(class).map(|price| price * bytes as f64 / GIB)
    }

    /// What so many requests cost that put objects into a class; `None` for a class without a price.
    pub fn requests(&self, class: &str, requests: u64) -> Option<f64> {
        self.requests.get(class).map(|price| price * requests as f64 / 1000.0)
    }

    /// What is billed in any case of what costs so much a month in a class, were it deleted at once.
    pub fn least(&self, class: &str, month: f64) -> f64 {
        month * self.days_min(class) / DAYS_A_MONTH
    }

    /// How many days an object of a class is billed for at least.
    pub fn days_min(&self, class: &str) -> f64 {
        self.days_min.get(class).copied().unwrap_or(0.0)
    }
}

fn set(list: &mut List, numbers: impl IntoIterator<Item = (String, f64)>, what: &str) -> Result<(), String> {
    for (class, number) in numbers {
        if !number.is_finite() || number < 0.0 {
            return Err(format!("the {what} of \"{class}\" is {number}: a number from 0 is needed"));
        }
        list.insert(class, number);
    }
    Ok(())
}

/// What a move costs once, and what a month costs before it and after it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MoveCost {
    pub before: f64,
    pub after: f64,
    /// Requests.
    pub once: f64,
    /// What is billed of `after` in any case, were all deleted at once.
    pub least: f64,
    /// For as many days as this.
    pub days_min: f64,
}

impl MoveCost {
    /// The days after which the move has paid for itself, if it ever does; what is deleted before has cost more.
    pub fn pays_after(&self) -> Option<f64> {
        let saved = self.before - self.after;
        if saved <= 0.0 {
            return None;
        }
        // As long as the least is billed, then as long as the files are there.
        let early = (self.once + self.least) * DAYS_A_MONTH / self.before;
        let late = self.once * DAYS_A_MONTH / saved;
        Some(if early <= self.days_min { early } else { late.max(self.days_min) })
    }

    /// Both moves.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            before: self.before + other.before,
            after: self.after + other.after,
            once: self.once + other.once,
            least: self.least + other.least,
            days_min: self.days_min.max(other.days_min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cost_by_their_class() {
        let prices = Prices::default().with([("DEEP".to_owned(), 0.5)]).unwrap();
        assert_eq!(prices.month("DEEP", 9, 3 << 30), Some(1.5));
        assert_eq!(prices.month("STANDARD_IA", 9, 1 << 30), Some(0.0125));
        assert_eq!(prices.month("UNHEARD_OF", 1, 1), None);
        // Eight files of a byte are one MiB there.
        assert_eq!(prices.month("STANDARD_IA", 8, 8), prices.month("STANDARD_IA", 8, 1 << 20));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Prices::default().with([("STANDARD".to_owned(), wrong)]).is_err(), "{wrong}");
            assert!(Prices::default().with_days_min([("STANDARD".to_owned(), wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_move_costs_requests_and_a_least_time() {
        let prices = Prices::default().with_requests([("DEEP".to_owned(), 2.0)]).unwrap();
        assert_eq!((prices.requests("DEEP", 500), prices.requests("UNHEARD_OF", 1)), (Some(1.0), None));
        assert_eq!((prices.least("GLACIER_IR", 2.0), prices.least("STANDARD", 2.0)), (6.0, 0.0));
        let cost = MoveCost { before: 3.0, after: 1.0, once: 0.5, least: 1.0, days_min: 30.0 };
        // 1.50 are paid after half a month of 3.00.
        assert_eq!(cost.pays_after(), Some(15.0));
        // 20.00 once, and 2.00 a month less.
        assert_eq!(MoveCost { once: 20.0, ..cost }.pays_after(), Some(300.0));
        assert_eq!(MoveCost { after: 3.0, least: 3.0, ..cost }.pays_after(), None);
        assert_eq!(MoveCost::default().pays_after(), None);
        assert_eq!(cost.and(&cost).pays_after(), Some(15.0));
    }
}
