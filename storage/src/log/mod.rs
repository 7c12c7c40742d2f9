//! The transaction log of a table, read by ourselves.
//!
//! In reading order: `list` finds the files of a log; `action` parses commits, `checkpoint` reads checkpoints of every
//! kind, of both only what a reader needs; `replay` decides which files are alive; `chunk` holds what the log says of
//! them as typed Arrow arrays, with statistics from `stats`; [`FileSet`] is the files of one version, which shares its
//! chunks with the versions before it; [`load`] and [`advance`] put it together.
//! `times` tells when versions were committed,
//! `raw` what exactly was said of some files.

mod action;
mod bounds;
mod checkpoint;
mod chunk;
mod commit;
mod error;
mod file_set;
mod json;
mod layout;
mod list;
mod load;
mod named;
mod parquet;
mod raw;
mod replay;
mod stamp;
mod stats;
#[cfg(test)]
mod tests;
mod times;

pub(crate) use action::{DeletionVector, VectorFile, z85};
pub(crate) use chunk::ColumnBounds;
pub(crate) use commit::{Commit, RawCommit};
pub(crate) use error::LogError;
pub(crate) use file_set::FileSet;
pub(crate) use layout::{PHYSICAL_NAME, physical_name};
pub(crate) use list::commit_path;
pub(crate) use load::{LogState, advance, commits_from, follow, load};
pub(crate) use named::named_since;
pub(crate) use parquet::row_count;
pub(crate) use raw::raw_adds;
pub(crate) use stamp::Stamp;
pub(crate) use times::{AtTime, Times, commit_info, read as read_commit};
