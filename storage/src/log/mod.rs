//! The transaction log of a table, read by ourselves.
//!
//! In reading order: `list` finds the files of a log; `action` parses commits, `checkpoint` reads checkpoints of every
//! kind, of both only what a reader needs; `replay` decides which files are alive; `chunk` holds what the log says of
//! them as typed Arrow arrays, with statistics from `stats` (by the `shape` of their text); [`FileSet`] is the files of one
//! version, which shares its chunks with the versions before it; [`load`] and [`advance`] put it together.
//! `times` tells when versions were committed,
//! `raw` what exactly was said of some files, `changes` what commits say to readers of a change feed.
//!
//! [`write_checkpoint`] writes what `reconcile` keeps of all that, in the `columns` of the protocol; [`clean_up`] deletes
//! what no version needs that can still be asked for.

mod action;
mod bounds;
mod changes;
mod checkpoint;
mod chunk;
mod clean;
mod columns;
mod commit;
mod error;
mod file_set;
mod json;
mod layout;
mod list;
mod load;
mod named;
mod new_checkpoint;
mod parquet;
mod parsed;
mod raw;
mod reconcile;
mod replay;
mod shape;
mod stamp;
mod stats;
#[cfg(test)]
mod tests;
mod times;
mod upload;
pub(crate) mod z85;

pub(crate) use action::{COLD, DeletionVector, PROCESS, SORTED_BY, STORAGE_CLASS, TIER, VectorFile};
pub(crate) use changes::{ChangedFile, CommitChanges, Says, changes, typed};
pub(crate) use chunk::ColumnBounds;
pub(crate) use clean::clean_up;
pub(crate) use commit::{Commit, RawCommit};
pub(crate) use error::LogError;
pub(crate) use file_set::FileSet;
pub(crate) use layout::{PHYSICAL_NAME, physical_name};
pub(crate) use list::{commit_path, hint as last_checkpoint, log_folder};
pub(crate) use load::{LogState, advance, commits_from, follow, load, staged};
pub(crate) use named::{named_at_all, named_since};
pub(crate) use new_checkpoint::write_checkpoint;
pub(crate) use parquet::row_count;
pub(crate) use raw::raw_adds;
pub(crate) use reconcile::Shape;
pub(crate) use stamp::Stamp;
pub(crate) use times::{AtTime, Times, commit_info, read as read_commit};
