//! How runs and tests of marts went, for whoever asked for them.

use std::{collections::BTreeMap, time::Duration};

use boathouse_storage::catalog::MartTest;
use parking_lot::Mutex;

use super::export::ExportOutcome;
use crate::EngineError;

/// What became of a mart that was to run.
#[derive(Debug)]
pub enum Outcome {
    /// Its rows are published.
    Succeeded { rows: u64, version: u64 },
    /// Definition and inputs are those of the rows that are published.
    Skipped { version: u64 },
    /// Nothing was published; the rows that were there are there.
    Failed(EngineError),
    /// It was not run, because what it reads failed.
    Blocked { by: String },
    /// Another process runs it.
    Busy { holder: String },
}

impl Outcome {
    /// As people are told of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Skipped { .. } => "skipped",
            Self::Failed(_) => "failed",
            Self::Blocked { .. } => "blocked",
            Self::Busy { .. } => "busy",
        }
    }

    /// Whether the mart's rows are those of its inputs now.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Skipped { .. })
    }
}

/// One mart of a run.
#[derive(Debug)]
pub struct Report {
    pub mart: String,
    pub outcome: Outcome,
    /// In the order of the definition; none when the run did not come so far.
    pub tests: Vec<MartTest>,
    /// How many intervals were carried out.
    pub intervals: usize,
    pub took: Duration,
}

/// The tests of one mart, of the rows that are published.
#[derive(Debug)]
pub struct TestReport {
    pub mart: String,
    /// An error when they could not be run, as when the mart was never built.
    pub tests: Result<Vec<MartTest>, EngineError>,
}

/// How many runs of marts, and deliveries, this process has seen end, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    runs: Mutex<BTreeMap<&'static str, u64>>,
    exports: Mutex<BTreeMap<&'static str, u64>>,
}

impl Totals {
    pub fn add(&self, outcome: &Outcome) {
        *self.runs.lock().entry(outcome.word()).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.runs.lock().clone()
    }

    /// One that delivered something, or was to.
    pub fn add_export(&self, outcome: &ExportOutcome) {
        if matches!(outcome, ExportOutcome::Delivered { .. } | ExportOutcome::Failed(_)) {
            *self.exports.lock().entry(outcome.word()).or_default() += 1;
        }
    }

    pub fn exports(&self) -> BTreeMap<&'static str, u64> {
        self.exports.lock().clone()
    }
}
