//! Lengths of time as definitions write them: `30s`, `10min`, `2h`, `7d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

impl Span {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a length of time: write 30s, 10min, 2h or 7d");
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..end].parse().map_err(|_| wrong())?;
        let seconds = match text[end..].trim() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return Err(wrong()),
        };
        number.checked_mul(seconds).map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(wrong)
    }
}

/// A length of time as it is written, in the greatest unit that has no rest.
pub(super) fn text(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = [(24 * 3600, "d"), (3600, "h"), (60, "min")]
        .into_iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, word) = unit.unwrap_or((1, "s"));
    format!("{}{word}", seconds / unit)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_number_and_a_unit() {
        let seconds = |text: &str| Span::parse(text).map(|span| span.0.as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("10min"), Ok(600));
        assert_eq!(seconds("2 h"), Ok(7200));
        assert_eq!(seconds("7d"), Ok(7 * 24 * 3600));
        for wrong in ["", "10", "h", "-1h", "1 year", "99999999999999999999s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        for same in ["0s", "90s", "10min", "2h", "7d"] {
            assert_eq!(text(Span::parse(same).unwrap().0), same);
        }
    }
}
