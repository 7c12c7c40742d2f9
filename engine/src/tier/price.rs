//! What storage costs: a list of prices by storage class.

use std::collections::BTreeMap;

/// The class of an object of which nobody said another.
pub const STANDARD_CLASS: &str = "STANDARD";
/// The class of files in a folder, of copies on local disk, and of a lake in memory: no store has classes there.
pub const LOCAL_CLASS: &str = "LOCAL";

/// Dollars for a GiB and a month, as Amazon S3 lists them for us-east-1; they are there to be set to what one pays.
const DEFAULTS: [(&str, f64); 7] = [
    ("STANDARD", 0.023),
    ("INTELLIGENT_TIERING", 0.023),
    ("REDUCED_REDUNDANCY", 0.024),
    ("STANDARD_IA", 0.0125),
    ("ONEZONE_IA", 0.01),
    ("GLACIER_IR", 0.004),
    (LOCAL_CLASS, 0.0),
];

/// Classes for what is seldom read, and what a file in one of them is billed for at least.
const SELDOM_READ: [&str; 3] = ["STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"];
const BILLED_MIN: u64 = 128 << 10;

/// Prices for a GiB and a month, by storage class, in whatever money they were set in.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices(BTreeMap<String, f64>);

impl Default for Prices {
    fn default() -> Self {
        Self(DEFAULTS.iter().map(|(class, price)| ((*class).to_owned(), *price)).collect())
    }
}

impl Prices {
    /// The same list with other prices for some classes, or for more of them. An error in words for one that is no price.
    pub fn with(mut self, prices: impl IntoIterator<Item = (String, f64)>) -> Result<Self, String> {
        for (class, price) in prices {
            if !price.is_finite() || price < 0.0 {
                return Err(format!("the price of \"{class}\" is {price}: a number from 0 is needed"));
            }
            self.0.insert(class, price);
        }
        Ok(self)
    }

    /// What so many files with so many bytes in all cost a month in a class; `None` for a class without a price. Classes for
    /// what is seldom read bill each file as one of 128 KiB at least.
    pub fn month(&self, class: &str, files: u64, bytes: u64) -> Option<f64> {
        const GIB: f64 = (1_u64 << 30) as f64;
        let bytes = if SELDOM_READ.contains(&class) { bytes.max(files.saturating_mul(BILLED_MIN)) } else { bytes };
        self.0.get(class).map(|price| price * bytes as f64 / GIB)
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
        }
    }
}
