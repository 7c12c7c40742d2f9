//! What upkeep did, for `system.upkeep`.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use boathouse_storage::Snapshot;
use parking_lot::Mutex;

use crate::EngineError;

const RECORDS_MAX: usize = 1_000;

/// Files of a table and what they weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub files: u64,
    pub bytes: u64,
}

impl Size {
    pub fn of(table: &Snapshot) -> Self {
        Self { files: table.file_count() as u64, bytes: table.size_bytes() }
    }
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub table: String,
    /// Which of the table's partitions it was about, if it was about one.
    pub partition: Option<String>,
    pub action: &'static str,
    /// Milliseconds since 1970, UTC.
    pub started_ms: i64,
    pub took_ms: u64,
    /// What the job is about: the table's files, or those that are deleted.
    pub before: Option<Size>,
    pub after: Option<Size>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What was done last, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    totals: BTreeMap<(&'static str, bool), u64>,
}

impl Records {
    pub fn all(&self) -> Vec<Record> {
        self.0.lock().records.iter().cloned().collect()
    }

    /// The partitions of a table at which an action failed when it was tried last, as far as that is known; of a table without
    /// partitions, an empty text.
    pub fn failed_last(&self, table: &str, action: &str) -> HashSet<String> {
        let mut failed = HashSet::new();
        let kept = self.0.lock();
        for record in kept.records.iter().filter(|record| record.table == table && record.action == action) {
            let partition = record.partition.clone().unwrap_or_default();
            match record.error {
                Some(_) => failed.insert(partition),
                None => failed.remove(&partition),
            };
        }
        failed
    }

    /// All jobs that there were, by what they did and whether they succeeded.
    pub fn totals(&self) -> BTreeMap<(&'static str, bool), u64> {
        self.0.lock().totals.clone()
    }

    fn push(&self, record: Record) {
        let Kept { records, totals } = &mut *self.0.lock();
        *totals.entry((record.action, record.error.is_none())).or_default() += 1;
        if records.len() >= RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }
}

/// A job that is being done.
pub(crate) struct Begun<'a> {
    records: &'a Records,
    table: String,
    partition: Option<String>,
    action: &'static str,
    since: SystemTime,
    started: Instant,
}

impl<'a> Begun<'a> {
    pub fn new(records: &'a Records, table: &str, action: &'static str) -> Self {
        let (since, started) = (SystemTime::now(), Instant::now());
        Self { records, table: table.to_owned(), partition: None, action, since, started }
    }

    /// The same job at one partition; of a table without partitions, at all of it.
    pub fn of(self, partition: &str) -> Self {
        Self { partition: (!partition.is_empty()).then(|| partition.to_owned()), ..self }
    }

    /// Writes down how it ended. A job that found nothing to do (`Ok(None)`) is not worth a line.
    pub fn ended(self, before: Option<Size>, outcome: Result<Option<Size>, EngineError>) {
        let (after, error) = match outcome {
            Ok(None) => return,
            Ok(after) => (after, None),
            Err(error) => {
                tracing::warn!(table = self.table, action = self.action, %error, "upkeep failed");
                (None, Some(error.message))
            }
        };
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.records.push(Record {
            table: self.table,
            partition: self.partition,
            action: self.action,
            started_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            took_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            before,
            after,
            error,
        });
    }
}
