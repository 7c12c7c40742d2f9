//! How the rows of a run get into the table, and what a definition has to say for it.

use super::test::{Check, OnViolation, Test};
use crate::{EngineError, error::did_you_mean};

/// How the rows of a run get into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// They take the place of all that were there.
    Full,
    /// They take the place of those that were made in the same interval: others come beside them.
    Append,
    /// Each takes the place of the row with its key, or is added. One row a key.
    Merge,
    /// They take the place of all rows with one of their keys, or of those of their interval.
    DeleteInsert,
    /// They take the place of all rows in their partitions.
    PartitionOverwrite,
    /// They say what holds now: what held before stays, with the time when it ended.
    Scd2,
}

impl Strategy {
    const ALL: [(&'static str, Self); 6] = [
        ("full", Self::Full),
        ("append", Self::Append),
        ("merge", Self::Merge),
        ("delete_insert", Self::DeleteInsert),
        ("partition_overwrite", Self::PartitionOverwrite),
        ("scd2", Self::Scd2),
    ];

    /// By its word.
    pub fn of(word: &str) -> Result<Self, EngineError> {
        if let Some((_, known)) = Self::ALL.iter().find(|(known, _)| *known == word) {
            return Ok(*known);
        }
        let known = Self::ALL.map(|(word, _)| word);
        let hint = did_you_mean(word, known).unwrap_or_else(|| format!("What there is: {}.", known.join(", ")));
        Err(EngineError::unsupported(format!("strategy = \"{word}\" is not supported")).with_hint(hint))
    }

    /// As it is written.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(word, _)| word)
    }

    /// Whether rows stay that were there before a run.
    pub fn keeps_rows(self) -> bool {
        self != Self::Full
    }

    fn has_key(self) -> bool {
        matches!(self, Self::Merge | Self::DeleteInsert | Self::Scd2)
    }

    /// What is wrong with `key`: it stands where it has no meaning.
    pub fn check_key(self, key: &[String]) -> Result<(), EngineError> {
        if !self.has_key() {
            let error = EngineError::invalid(format!("key has no meaning with strategy = \"{}\"", self.word()));
            return Err(error.with_hint("Leave it out, or write strategy = \"merge\", \"delete_insert\" or \"scd2\"."));
        }
        match key.iter().enumerate().find(|(n, name)| key[..*n].contains(name)) {
            Some((_, name)) => Err(EngineError::invalid(format!("column \"{name}\" is twice in the key"))),
            None => Ok(()),
        }
    }

    /// What is missing for it in the definition.
    pub fn check_given(self, key: &[String], partition_by: &[String], timed: bool) -> Result<(), EngineError> {
        let missing = |what: &str, hint: &str| {
            let error = EngineError::invalid(format!("strategy = \"{}\" needs {what}", self.word()));
            Err(error.with_hint(hint))
        };
        match self {
            Self::Full | Self::Scd2 if timed => {
                let error = EngineError::invalid(format!("strategy = \"{}\" has no intervals", self.word()));
                Err(error
                    .with_hint("Leave interval out, or write strategy = \"append\", which keeps those that are done."))
            }
            Self::Append if !timed => missing(
                "interval",
                "Write interval = { column = \"ts\", grain = \"day\", start = \"2026-01-01\" }, and $start and $end in the \
                 query: a run that is repeated would add its rows again.",
            ),
            Self::DeleteInsert if key.is_empty() && timed => Ok(()),
            Self::Merge | Self::DeleteInsert | Self::Scd2 if key.is_empty() => {
                missing("key", "Write key = \"id\", or key = [\"a\", \"b\"]: the columns that tell rows apart.")
            }
            Self::PartitionOverwrite if partition_by.is_empty() => missing(
                "partition_by",
                "Write partition_by = \"day\": the columns whose values a run replaces as a whole.",
            ),
            _ => Ok(()),
        }
    }

    /// What must hold for the table besides the tests of the definition, at the line of the key.
    pub fn test(self, key: &[String], line: usize) -> Option<Test> {
        let check = match self {
            Self::Merge => Check::Key(key.to_vec()),
            Self::Scd2 => Check::CurrentKey(key.to_vec()),
            Self::Full | Self::Append | Self::DeleteInsert | Self::PartitionOverwrite => return None,
        };
        Some(Test { line, name: check.name(), check, on_violation: OnViolation::Fail })
    }
}
