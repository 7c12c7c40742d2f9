//! What traces are told of statements.
//!
//! A caller who wants to follow a statement puts a [`Trace`] into its origin. The statement then notes when each of its phases
//! began and how long it took, which costs it a few words per phase, and tells the trace when it was planned and when it has
//! ended. Who does not ask pays nothing.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::QueryRecord;

/// Phases of one statement that are noted: one that runs again and again is told of up to here.
pub(super) const SPANS_MAX: usize = 64;

/// The trace that a statement is part of.
#[derive(Clone)]
pub struct Trace {
    /// As W3C Trace Context numbers traces and the spans in them.
    pub trace_id: u128,
    /// The span that asked for the statement.
    pub span_id: u64,
    /// Called with the statement when it was planned without being run, while its state is [`QueryState::Planning`], and when
    /// it has ended. From any thread; must not wait.
    ///
    /// [`QueryState::Planning`]: super::QueryState::Planning
    pub tell: Arc<dyn Fn(&QueryRecord) + Send + Sync>,
}

/// What a part of a statement's time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryPart {
    Queued,
    Planning,
    Executing,
    /// Within the execution; the version that was committed, `None` when nothing was.
    Commit {
        version: Option<u64>,
    },
}

/// A part of a statement's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuerySpan {
    pub part: QueryPart,
    pub began: SystemTime,
    pub took: Duration,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:032x}, {:016x})", self.trace_id, self.span_id)
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        (self.trace_id, self.span_id) == (other.trace_id, other.span_id)
    }
}

impl Eq for Trace {}
