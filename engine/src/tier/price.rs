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

    /// What so many bytes of a class cost a month; `None` for a class without a price.
    pub fn month(&self, class: &str, bytes: u64) -> Option<f64> {
        const GIB: f64 = (1_u64 << 30) as f64;
        self.0.get(class).map(|price| price * bytes as f64 / GIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cost_by_their_class() {
        let prices = Prices::default().with([("DEEP".to_owned(), 0.5)]).unwrap();
        assert_eq!(prices.month("DEEP", 3 << 30), Some(1.5));
        assert_eq!(prices.month("STANDARD_IA", 1 << 30), Some(0.0125));
        assert_eq!(prices.month("UNHEARD_OF", 1), None);
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Prices::default().with([("STANDARD".to_owned(), wrong)]).is_err(), "{wrong}");
        }
    }
}
