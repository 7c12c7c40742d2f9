//! What a commit is told and what it tells.

use std::sync::Arc;

use super::Publication;
use crate::StorageError;

/// Longer statements are cut in the history.
pub(super) const STATEMENT_CHARS_MAX: usize = 2_000;
pub(super) const CLIENT: &str = concat!("boathouse.", env!("CARGO_PKG_VERSION"));

/// Who commits what, kept in the table's history.
#[derive(Debug, Clone, Default)]
pub struct CommitInfo {
    /// The statement's text, shortened, for the history.
    pub statement: Option<String>,
    /// A statement that changes rows is carried out once for each key and table: again, it is answered as the first time.
    pub idempotency_key: Option<String>,
    /// What the commit has to pass, of a writer that looks at its tables before others see them.
    pub publication: Option<Arc<Publication>>,
}

/// A commit that happened, and what it tells the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    pub version: u64,
    pub rows_inserted: u64,
    pub rows_updated: u64,
    pub rows_deleted: u64,
}

/// Our own refusal of a row, dug out of what the engine and the library wrapped around it.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<StorageError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<StorageError>() {
            Some(StorageError::RuleViolated { table, rule, sql, row }) => {
                return Some(StorageError::RuleViolated {
                    table: table.clone(),
                    rule: rule.clone(),
                    sql: sql.clone(),
                    row: row.clone(),
                });
            }
            Some(StorageError::NullValue { table, column }) => {
                return Some(StorageError::NullValue { table: table.clone(), column: column.clone() });
            }
            Some(StorageError::TypeMismatch { table, column, expected, given }) => {
                return Some(StorageError::TypeMismatch {
                    table: table.clone(),
                    column: column.clone(),
                    expected: expected.clone(),
                    given: given.clone(),
                });
            }
            Some(StorageError::MatchedTwice { table, file, row, values }) => {
                let (table, values) = (table.clone(), values.clone());
                return Some(StorageError::MatchedTwice { table, file: *file, row: *row, values });
            }
            _ => cause = error.source(),
        }
    }
    None
}
