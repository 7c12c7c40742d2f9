//! What a writer writes down of its operations: before each that it begins, after each what came of it. A writer that is
//! killed leaves a beginning without an end.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Rows that were changed, and the version that the table has by it; no version when there was nothing to do.
    Changed {
        rows: u64,
        version: Option<u64>,
    },
    Read {
        version: Option<u64>,
        fingerprint: Vec<i64>,
    },
    /// It certainly did not happen.
    Refused(String),
    /// Nobody knows whether it happened.
    Unknown(String),
}

/// One try of an operation. Times are microseconds since 1970.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: u64,
    pub began: u64,
    pub ended: Option<(u64, Answer)>,
}

pub struct Record(File);

impl Record {
    pub fn open(path: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }

    pub fn begin(&mut self, id: u64) {
        self.line(&json!({ "id": id, "began": now() }));
    }

    pub fn end(&mut self, id: u64, answer: &Answer) {
        let told = match answer {
            Answer::Changed { rows, version } => json!({ "rows": rows, "version": version }),
            Answer::Read { version, fingerprint } => json!({ "read": fingerprint, "version": version }),
            Answer::Refused(error) => json!({ "refused": error }),
            Answer::Unknown(error) => json!({ "unknown": error }),
        };
        self.line(&json!({ "id": id, "ended": now(), "told": told }));
    }

    fn line(&mut self, line: &Value) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// How many tries it tells of, or one more: two lines each.
pub fn tries(path: &Path) -> u64 {
    std::fs::read(path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count() as u64 / 2)
}

/// All tries that a record tells of, in order.
pub fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut entries: Vec<Entry> = vec![];
    // A killed writer may leave half a line at most.
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let id = line["id"].as_u64().unwrap();
        if let Some(began) = line["began"].as_u64() {
            entries.push(Entry { id, began, ended: None });
        } else if let Some(entry) = entries.last_mut().filter(|entry| entry.id == id) {
            entry.ended = Some((line["ended"].as_u64().unwrap(), answer(&line["told"])));
        }
    }
    entries
}

fn answer(told: &Value) -> Answer {
    let version = told["version"].as_u64();
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    if let Some(fingerprint) = told["read"].as_array() {
        let fingerprint = fingerprint.iter().map(|number| number.as_i64().unwrap()).collect();
        return Answer::Read { version, fingerprint };
    }
    if let Some(error) = text("refused") {
        return Answer::Refused(error);
    }
    if let Some(error) = text("unknown") {
        return Answer::Unknown(error);
    }
    Answer::Changed { rows: told["rows"].as_u64().unwrap(), version }
}

/// The wall clock, which all processes of a machine share.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}
