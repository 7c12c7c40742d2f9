//! What stands for a run: its definition and the versions that it read. Equal means that there is nothing to do.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

/// A hash in hexadecimal letters.
pub(super) fn of<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for part in parts {
        let part = part.as_ref();
        // With the length no two lists have one text.
        let _ = write!(text, "{}:{part}", part.len());
    }
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The fingerprint as the number of an application transaction, of which Delta keeps the last for each program: so the table
/// itself tells what it holds, also behind checkpoints, and no list grows with the runs.
pub(super) fn number(fingerprint: &str) -> i64 {
    let number = u64::from_str_radix(fingerprint.get(..16).unwrap_or_default(), 16).unwrap_or_default();
    i64::try_from(number >> 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_lists_apart() {
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["a", "b"]), of(["ab"]));
        assert_ne!(of(["a", ""]), of(["", "a"]));
        assert_eq!(of(["a"]).len(), 64);
    }

    #[test]
    fn a_number_is_not_negative_and_differs() {
        assert_eq!(number("ffffffffffffffff00"), i64::MAX);
        assert_ne!(number(&of(["a"])), number(&of(["b"])));
    }
}
