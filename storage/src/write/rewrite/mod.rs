//! One data file written anew with some of its rows gone and some values changed, as little of it decoded as can be.
//!
//! ```text
//! footer --columns--> for each row group and column:   nothing changes in it ──> its bytes are copied
//!                                                      something does        ──> decoded, changed, encoded
//! ```
//! A row keeps its place among the rows that stay. `columns` decides how the columns of a file come into the new one,
//! `column` does it for one column of one row group, `file` puts them together, `stats` says what the log is told of the
//! file, `patches` holds the changed values meanwhile. A file that is not laid out as we would do it
//! goes the long way, see `decoded`.

mod column;
mod columns;
mod decoded;
mod file;
mod patches;
mod stats;
#[cfg(test)]
mod tests;

pub(super) use decoded::write_decoded;
pub(super) use file::{FileChange, Rewritten, rewrite};
pub(super) use patches::Patches;
pub(super) use stats::statistics;
