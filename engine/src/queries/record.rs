//! One statement as it is shown.

use std::{sync::Arc, time::SystemTime};

use boathouse_storage::Usage;

use super::{Origin, QuerySpan};
use crate::ErrorKind;

/// How far a statement has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueryState {
    /// Its names are looked up, and it is planned.
    Planning,
    /// It waits for others to end.
    Queued,
    Running,
    Done,
    Failed,
    /// By its client, by KILL QUERY, by a timeout or by the end of the server.
    Cancelled,
}

impl QueryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A statement at one moment, or as it ended. Holds no secret that its text held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryRecord {
    pub origin: Origin,
    pub state: QueryState,
    /// `SELECT`, `CREATE TABLE`; `None` when it could not be planned, or is not yet.
    pub statement: Option<&'static str>,
    /// Its beginning.
    pub sql: Arc<str>,
    pub error_kind: Option<ErrorKind>,
    /// In one sentence.
    pub error: Option<String>,
    /// Rows produced, or inserted, updated and deleted.
    pub rows: u64,
    pub usage: Usage,
    pub queued_us: u64,
    pub planning_us: u64,
    pub executing_us: u64,
    pub started: SystemTime,
    pub ended: Option<SystemTime>,
    /// Its rows are those of an earlier run.
    pub result_cache_hit: bool,
    /// How often it ran again because another writer came first.
    pub replays: u64,
    /// Where its time went, as far as its trace was not told before; empty without a trace.
    pub spans: Vec<QuerySpan>,
}

impl QueryRecord {
    /// The trace that it is part of, as W3C Trace Context writes its id.
    pub fn trace_id(&self) -> Option<String> {
        self.origin.trace.as_ref().map(|trace| format!("{:032x}", trace.trace_id))
    }

    /// One line of the log.
    pub(super) fn log(&self) {
        tracing::info!(
            target: "boathouse::query",
            query_id = %self.origin.query_id,
            user = self.origin.user.as_deref(),
            client = self.origin.client.as_deref(),
            trace_id = self.trace_id(),
            state = self.state.as_str(),
            statement = self.statement,
            error_kind = self.error_kind.map(ErrorKind::as_str),
            error = self.error.as_deref(),
            rows = self.rows,
            bytes_read = self.usage.bytes_read,
            files_read = self.usage.files_read,
            files_skipped = self.usage.files_skipped,
            bytes_hot = self.usage.bytes_hot,
            bytes_warm = self.usage.bytes_warm,
            bytes_fetched = self.usage.bytes_fetched,
            requests = self.usage.requests,
            memory_bytes_peak = self.usage.memory_bytes_peak,
            queued_us = self.queued_us,
            planning_us = self.planning_us,
            executing_us = self.executing_us,
            result_cache_hit = self.result_cache_hit,
            replays = self.replays,
            sql = &*self.sql,
            "query ended",
        );
    }
}
