//! Rows changed in place: DELETE, UPDATE, MERGE, and INSERT that replaces rows.
//!
//! ```text
//!   query: rows with addresses, what to do ──> exec ──> new rows ──────────────────────────────────┐
//!                                               ├─> gone: a bitmap a file ──────┐                  ├─> data files ──> one commit
//!                                               └─> new values of single columns ┴─> rest: touched files anew ┘
//! ```
//! The query is planned and run once, as it was written, so that conditions mean what they mean in SELECT, and a row whose
//! condition depends on chance is decided once. What stays is then copied by row numbers, without a condition, and an updated row
//! keeps its place: columns that no statement sets are not decoded (`super::rewrite`). In a table
//! with `delta.enableDeletionVectors` it stays where it is, and the file gets a vector of the rows that went.
//! In a table with a change feed rows come whole, into data files and change files; those that went are read once more, by
//! their addresses (`super::feed`).
//! `gone` keeps the addresses, `exec` is the plan that writers pull, `equal` finds the rows that go because such rows come,
//! `rest` writes the touched files anew, `hide` gives them a `vector`, `history` tells what was done, `commit` runs it all.

mod commit;
mod equal;
mod exec;
mod gone;
mod hide;
mod history;
mod rest;
mod vector;

use std::collections::BTreeMap;

use datafusion::logical_expr::{Expr, LogicalPlan};

use super::{Altered, Rules};
use crate::table::Addressed;

pub use commit::{change, changes_in_place, remove_files};

/// What is done with a row that the query of a statement yields, as the statement's column of actions says it (TINYINT).
/// Rows whose action is NULL stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Action {
    /// The row at the address goes.
    Delete = 0,
    /// The row at the address goes, the row given comes in its place.
    Update = 1,
    /// The row given is added; its address is NULL.
    Insert = 2,
}

/// How the rows of a plan say what is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions<'a> {
    /// The same for all rows. A row may be deleted more than once, but updated only once.
    All(Action),
    /// By the column of this name. A row may be changed only once.
    Column(&'a str),
}

/// A statement that changes rows in place.
#[derive(Debug)]
pub struct RowChange<'a> {
    /// The statement's name as the history of the table tells it: `DELETE`, `UPDATE`, `MERGE`.
    pub operation: &'static str,
    /// What the history tells besides, such as the predicate.
    pub parameters: BTreeMap<String, String>,
    pub target: &'a Addressed,
    /// Yields the columns of addresses, that of actions when there is one, and the table's columns as
    /// [`super::conform`] makes them; the latter may all be missing when rows are only deleted.
    pub plan: LogicalPlan,
    pub actions: Actions<'a>,
    /// The columns that updated rows get new values in, when [`changes_in_place`] lets them keep their place: other columns
    /// of theirs are not looked at, and the plan of a statement that inserts nothing has no others. `None`: rows come whole.
    pub sets: Option<&'a [String]>,
    /// The rules that the rows given were held to; `None` when rows are only deleted.
    pub rules: Option<&'a Rules>,
    /// What goes besides. The plan of a statement that only inserts has no addresses.
    pub replaces: Option<Replaces>,
    /// A new definition of the table in the same commit: it has columns behind those of the target, which the plan gives
    /// values for and which are NULL in rows that stay.
    pub evolved: Option<Altered>,
}

/// What rows that come take the place of.
#[derive(Debug, Clone)]
pub enum Replaces {
    /// Whole files: those whose partition values match all of these conditions, which are about partition columns alone.
    Files(Vec<Expr>),
    /// The rows that have in these columns the values of a row that comes; NULL is a value like any other.
    Equal(Vec<String>),
}

/// What a statement did. No version: there was nothing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    pub version: Option<u64>,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}
