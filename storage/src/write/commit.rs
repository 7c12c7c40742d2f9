//! What a commit is told and what it tells.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

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
    /// Who sent it, for the history.
    pub user: Option<String>,
    /// A statement that changes rows is carried out once for each key and table: again, it is answered as the first time.
    pub idempotency_key: Option<String>,
    /// A hash of the statement that the key is for. Another one with the same key is refused, where both say it.
    pub key_is_for: Option<String>,
    /// What the commit has to pass, of a writer that looks at its tables before others see them.
    pub publication: Option<Arc<Publication>>,
    /// Where the times of its commits are noted, if somebody wants to know.
    pub times: Option<Arc<CommitTimes>>,
}

/// How long the commits of one statement took. Safe to use from many tasks.
#[derive(Debug, Default)]
pub struct CommitTimes(Mutex<Vec<CommitTime>>);

/// One commit, from the moment when its files were written, or its rows waited for those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitTime {
    pub began: SystemTime,
    pub took: Duration,
    /// `None` when nothing was committed.
    pub version: Option<u64>,
}

/// Commits of one statement that are noted.
const TIMES_MAX: usize = 16;

impl CommitTimes {
    /// Those noted so far, in the order in which they ended.
    pub fn all(&self) -> Vec<CommitTime> {
        self.0.lock().clone()
    }
}

impl CommitInfo {
    /// Notes how long a commit takes, if somebody wants to know.
    pub(super) async fn timed(
        &self,
        commit: impl Future<Output = Result<Committed, StorageError>>,
    ) -> Result<Committed, StorageError> {
        let Some(CommitTimes(times)) = self.times.as_deref() else { return commit.await };
        let (began, clock) = (SystemTime::now(), Instant::now());
        let committed = commit.await;
        let version = committed.as_ref().ok().map(|committed| committed.version);
        let mut times = times.lock();
        if times.len() < TIMES_MAX {
            times.push(CommitTime { began, took: clock.elapsed(), version });
        }
        committed
    }
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
            Some(StorageError::NotComputed { table, column, sql, reason, row }) => {
                return Some(StorageError::NotComputed {
                    table: table.clone(),
                    column: column.clone(),
                    sql: sql.clone(),
                    reason: reason.clone(),
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
