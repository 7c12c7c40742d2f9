//! Marts: what one is, who runs it now, and how its last runs went. A document for each, by its name.
//!
//! What a mart's table holds is not told here: the commit that publishes a run says of which run it is, so the rows and
//! that are one step. Lose a document and no row is lost; the next run finds out from the table that there is nothing to do.

use serde::{Deserialize, Serialize};

use super::{Claim, Document};

/// Runs that are kept; older ones are forgotten.
const RUNS_MAX: usize = 50;

/// One mart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MartDocument {
    /// As it was when it last ran.
    pub definition: MartDefinition,
    /// Who runs it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<MartLease>,
    /// Oldest first.
    pub runs: Vec<MartRun>,
    /// What was told of its being late, until it is so no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<MartLate>,
}

impl MartDocument {
    /// Writes down a run that has ended; a second time, it makes no difference.
    pub fn push(&mut self, run: MartRun) {
        self.runs.retain(|known| known.id != run.id);
        self.runs.push(run);
        let surplus = self.runs.len().saturating_sub(RUNS_MAX);
        self.runs.drain(..surplus);
    }

    /// The last run that published rows.
    pub fn published(&self) -> Option<&MartRun> {
        self.runs.iter().rev().find(|run| run.state == MartRunState::Succeeded)
    }
}

impl Document for MartDocument {
    const FOLDER: &'static str = "marts";
    const FORMAT: u32 = 1;

    fn format(&self) -> u32 {
        1
    }
}

/// What people are told of a mart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MartDefinition {
    /// The definition as the person wrote it.
    pub text: String,
    pub strategy: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub columns: Vec<MartColumn>,
    /// Names of the tables that its query reads, through views, sorted.
    pub reads: Vec<String>,
    /// What stands for all of it that has an effect on rows.
    pub fingerprint: String,
    /// When it is run by itself, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// How old its rows may be, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<String>,
}

/// A column of a mart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MartColumn {
    pub name: String,
    pub data_type: String,
    pub not_null: bool,
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A mart whose rows are older than its definition promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MartLate {
    /// The run that published the rows, or the first that did not.
    pub run: String,
    pub level: MartLateness,
    /// Since when that is known, in milliseconds since 1970, UTC.
    pub since_ms: i64,
}

/// How late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MartLateness {
    Warn,
    Error,
}

impl MartLateness {
    /// As the definition says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The right to run a mart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MartLease {
    #[serde(flatten)]
    pub claim: Claim,
    /// The run, as it began.
    pub run: MartRun,
}

/// One run of a mart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MartRun {
    pub id: String,
    pub state: MartRunState,
    /// Milliseconds since 1970, UTC.
    pub started_ms: i64,
    /// While it runs, as `started_ms`.
    pub ended_ms: i64,
    /// The number of the application transaction that publishes it.
    pub number: i64,
    /// Of the definition that was run.
    pub definition: String,
    pub inputs: Vec<MartInput>,
    /// The version of the mart's table that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default)]
    pub rows: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<MartTest>,
    /// Why it was run.
    #[serde(default)]
    pub cause: MartCause,
    /// From 1: how often it was tried for this cause.
    #[serde(default = "first")]
    pub attempt: u32,
    /// When it is to be tried again, in milliseconds since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<i64>,
}

fn first() -> u32 {
    1
}

/// One that begins: a person's, for the first time.
impl Default for MartRun {
    fn default() -> Self {
        Self {
            id: String::new(),
            state: MartRunState::Running,
            started_ms: 0,
            ended_ms: 0,
            number: 0,
            definition: String::new(),
            inputs: Vec::new(),
            version: None,
            rows: 0,
            error: None,
            tests: Vec::new(),
            cause: MartCause::Person,
            attempt: first(),
            retry_ms: None,
        }
    }
}

/// Why a mart is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MartCause {
    /// Somebody asked for it.
    #[default]
    Person,
    /// What it reads changed.
    Commit,
    /// This time came, in milliseconds since 1970, UTC.
    Tick(i64),
}

impl MartCause {
    /// As people are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Commit => "commit",
            Self::Tick(_) => "schedule",
        }
    }
}

/// How a run is or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MartRunState {
    Running,
    Succeeded,
    Failed,
    /// What it reads failed.
    Blocked,
}

impl MartRunState {
    /// As people are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
        }
    }
}

/// A table that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MartInput {
    pub table: String,
    pub version: u64,
}

/// What a test of a mart found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MartTest {
    pub name: String,
    /// `fail`, `warn`, `drop` or `quarantine`.
    pub on_violation: String,
    pub state: MartTestState,
    /// Rows, or groups of rows, that violate it.
    pub violations: u64,
    /// Some of them, one text each; or what is wrong with the whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// The number that the test is about, for those of the runs that come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// What became of a run because of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MartTestState {
    Passed,
    /// Violated, and published all the same.
    Warned,
    /// Violated, and nothing was published.
    Failed,
    /// The rows that violate it were left out.
    Dropped,
    /// The rows that violate it went into the table for such rows.
    Quarantined,
}

impl MartTestState {
    /// As people are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warned => "warned",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Quarantined => "quarantined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_before_there_were_causes_was_a_persons() {
        let text = r#"{"id": "a", "state": "succeeded", "started_ms": 1, "ended_ms": 2, "number": 3, "definition": "f", "inputs": []}"#;
        let run: MartRun = serde_json::from_str(text).unwrap();
        assert_eq!((run.cause, run.attempt, run.retry_ms), (MartCause::Person, 1, None));
        let tick = MartRun { cause: MartCause::Tick(5), ..run };
        assert_eq!(serde_json::from_str::<MartRun>(&serde_json::to_string(&tick).unwrap()).unwrap(), tick);
    }

    #[test]
    fn a_lease_is_written_as_processes_before_read_it() {
        let text = r#"{"token":"t","holder":"process 1","beat":18446744073709551615,"run":{"id":"a","state":"running","started_ms":1,"ended_ms":1,"number":3,"definition":"f","inputs":[],"rows":0,"cause":"person","attempt":1}}"#;
        let lease: MartLease = serde_json::from_str(text).unwrap();
        assert_eq!((lease.claim.token.as_str(), lease.claim.beat, lease.run.id.as_str()), ("t", u64::MAX, "a"));
        assert_eq!(serde_json::to_string(&lease).unwrap(), text);
    }

    #[test]
    fn old_runs_are_forgotten() {
        let mut mart = MartDocument::default();
        let run = |id: usize, state| MartRun { id: id.to_string(), state, ..MartRun::default() };
        for id in 0..RUNS_MAX + 3 {
            mart.push(run(id, if id % 2 == 0 { MartRunState::Succeeded } else { MartRunState::Failed }));
        }
        assert_eq!((mart.runs.len(), mart.runs[0].id.as_str()), (RUNS_MAX, "3"));
        assert_eq!(mart.published().unwrap().id, (RUNS_MAX + 2).to_string());
    }
}
