//! Which names can be folders of a lake.

use crate::StorageError;

const NAME_BYTES_MAX: usize = 200;

/// Refuses names that no folder of a lake can have, or that hide, as `InvalidName`: `kind` is `schema` or `table`.
pub fn check_name(kind: &'static str, name: &str) -> Result<(), StorageError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.starts_with(['_', '.']) {
        "names that start with \"_\" or \".\" are hidden"
    } else if name.contains(['/', '\\']) {
        "it holds a slash"
    } else if name.contains('#') {
        // The local store takes `name#1` for a file that is being written.
        "it holds a \"#\""
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 200 bytes"
    } else {
        return Ok(());
    };
    Err(StorageError::InvalidName { kind, name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_lake_have_plain_names() {
        for good in ["orders", "a b", "ümlaut", "50%", "2024", "a.b", "Ünï-cødé"] {
            assert!(check_name("table", good).is_ok(), "{good}");
        }
        for bad in ["", "_delta_log", ".git", "..", "a/b", "a\\b", "a#1", "a\nb"] {
            assert!(check_name("table", bad).is_err(), "{bad}");
        }
    }
}
