//! Whether a commit may follow those of rivals that were faster.
//!
//! The rules are Delta's "write serializable": what a statement read of the table must still be so, except that rows which
//! were appended blindly meanwhile count as appended after it. `delta.isolationLevel = 'Serializable'` takes the exception
//! away.

use std::collections::HashSet;

use datafusion::logical_expr::Expr;
use object_store::path::Path;
use thiserror::Error;

use super::identity::differ_in_numbers_only;
use crate::{
    Snapshot,
    log::Commit,
    table::{FileIndex, may_match},
};

/// What a statement knows of its table from reading it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Reads {
    /// Nothing but its definition: a blind append.
    Nothing,
    /// Rows that match all of `filters` (over the table's columns; no filter: all rows), found in `files` (positions in
    /// the index of the version that was read; those that were opened).
    Rows { filters: Vec<Expr>, files: Vec<usize> },
    /// The whole table.
    #[default]
    Table,
}

/// What a rival did that a statement cannot follow.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Collision {
    #[error("version {version} ({operation}) changed the definition of the table")]
    Definition { version: u64, operation: String },
    #[error("version {version} ({operation}) removed or changed the file \"{file}\", which this statement changes")]
    RemovedTwice { version: u64, operation: String, file: String },
    #[error("version {version} ({operation}) changed rows of the file \"{file}\", which this statement read")]
    ReadFile { version: u64, operation: String, file: String },
    #[error("version {version} ({operation}) added rows that this statement should have read")]
    NewRows { version: u64, operation: String },
    #[error("version {version} came between the audit of this statement's rows and its commit")]
    Audited { version: u64 },
    #[error("the table was dropped or replaced meanwhile")]
    Replaced,
    #[error("others committed first {attempts} times")]
    Attempts { attempts: usize },
}

/// What a commit relies on.
pub(super) struct Claim<'a> {
    pub(super) base: &'a Snapshot,
    pub(super) reads: &'a Reads,
    /// Paths of the files that it removes, as the log has them.
    pub(super) removed: &'a HashSet<String>,
    /// It changes the definition of the table: what it promises of rows must hold for all that are there by then.
    pub(super) redefines: bool,
}

/// The first thing in `rival` that `claim` cannot follow.
pub(super) fn collision(claim: &Claim<'_>, rival: &Commit) -> Option<Collision> {
    let version = rival.version;
    let operation = || operation(rival);
    // Numbers that were given to rows are no business of a statement that gives none.
    let only_numbers = || rival.definition().is_some_and(|new| differ_in_numbers_only(new, &claim.base.log().metadata));
    if rival.redefines() && (claim.redefines || !only_numbers()) {
        return Some(Collision::Definition { version, operation: operation() });
    }
    let removed: HashSet<Path> = claim.removed.iter().filter_map(|path| decoded(path)).collect();
    let files = claim.base.log();
    // Positions are of the base's index, so its paths are what was read.
    let read: HashSet<Path> = match claim.reads {
        Reads::Rows { files: read, .. } => read.iter().filter_map(|file| decoded(files.files.path(*file))).collect(),
        Reads::Nothing | Reads::Table => HashSet::new(),
    };
    for (path, data_change) in rival.removed() {
        let file = path.to_owned();
        let Some(path) = decoded(path) else {
            return Some(Collision::RemovedTwice { version, operation: operation(), file });
        };
        if removed.contains(&path) {
            return Some(Collision::RemovedTwice { version, operation: operation(), file });
        }
        // Rows that only moved to another file were read right.
        if data_change && (matches!(claim.reads, Reads::Table) || read.contains(&path)) {
            return Some(Collision::ReadFile { version, operation: operation(), file });
        }
    }
    let blind = rival.provenance().is_some_and(|info| info.is_blind_append == serde_json::Value::Bool(true));
    let counts = !blind || claim.redefines || is_serializable(claim.base);
    if counts && rival.adds_rows() && may_read(claim, rival) {
        return Some(Collision::NewRows { version, operation: operation() });
    }
    None
}

/// Would the statement have read rows of the rival?
fn may_read(claim: &Claim<'_>, rival: &Commit) -> bool {
    let filters = match claim.reads {
        Reads::Nothing => return false,
        Reads::Table => return true,
        Reads::Rows { filters, .. } => filters,
    };
    let added = rival.added(&claim.base.log().files).and_then(|files| {
        // Whether bounds are exact makes no difference to what may match.
        FileIndex::of(files, true).map_err(|error| error.to_string())
    });
    match added {
        Ok(added) => may_match(&added, &claim.base.schema(), filters),
        Err(reason) => {
            tracing::debug!(reason, "the files of a rival cannot be looked at, so they count");
            true
        }
    }
}

fn is_serializable(base: &Snapshot) -> bool {
    base.properties().get("delta.isolationLevel").is_some_and(|level| level.eq_ignore_ascii_case("serializable"))
}

fn operation(rival: &Commit) -> String {
    let named = rival.provenance().and_then(|info| info.operation.as_str());
    named.unwrap_or("by another writer").to_owned()
}

/// Writers disagree on which characters of a path they encode.
fn decoded(path: &str) -> Option<Path> {
    Path::from_url_path(path).ok()
}
