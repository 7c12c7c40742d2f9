//! Hot copies: data files of the lake, kept a second time on local disk in Vortex, which scans faster than Parquet.
//!
//! The lake stays plain Delta and Parquet. A copy is a cache entry of one immutable file: a missing, wrong or damaged
//! copy costs time, never a row.
//!
//! ```text
//!   scan ──> HotSource ──┬─ copy there ──> CopyOpener ──> CopyFile (checked, one file in the folder)
//!                        └─ no copy ─────> Parquet, and the file is counted: read again, it gets a copy
//!                                              └─> Maker (background) ──> make ──> CopyFolder
//! ```
//!
//! In reading order: `key` is what a copy is a copy of, `types` which columns a copy can hold, `file` one copy on disk,
//! `make` writes it, `filter`, `found` (with `trial`), `selection`, `pieces` and `open` read it, `fallback` takes over when it is damaged, `counts`
//! tells how well it serves, `source` is what a scan sees.

mod copies;
mod counts;
mod disk;
mod fallback;
mod file;
mod filter;
mod folder;
mod found;
mod key;
mod make;
mod maker;
mod open;
mod pieces;
mod pins;
mod reader;
mod selection;
mod source;
mod trial;
mod types;

pub(crate) use copies::{HotCopies, Tried};
pub(crate) use disk::Disk;
use file::CopyFile;
pub use folder::HotOptions;
pub(crate) use folder::{CopySize, user_cache_folder};
pub(crate) use key::CopyKey;
pub(crate) use make::Original;
pub(crate) use pins::Look;
pub(crate) use source::{FILES_HOT, HotFiles, HotPart, HotSource};
pub use trial::Trial;
