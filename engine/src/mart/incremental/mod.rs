//! A run of a full mart that looks at changed rows only, where the rows that come of it are those of a full run.
//!
//! ```text
//! last commit of the table: what it read (basis) --> sources: the same, rows added, rows changed (change feed, or files)
//!   --> shape of the query --> append: rows of the added rows
//!                          --> merge:  counts and sums of the changed rows, added to those in the table
//!                          --> groups: those with a changed row, from the whole sources
//!                          --> full, and why
//! ```
//! Whatever is not understood, or not there any more, is a reason for a full run, and never an error. The rows go the way
//! of all others: one statement, its audit, one commit.

mod basis;
mod delta;
mod explain;
mod groups;
mod merge;
mod publish;
mod run;
mod settled;
mod shape;
mod source;
mod way;

pub(crate) use explain::explain;
