//! A table at one version, immutable.
//!
//! In reading order: [`Snapshot`] is the table; `files` is what its log (`crate::log`) says
//! of every file; `prune` chooses the files of a query; `scan` makes the plan that reads them and `source` opens them, `scattered` those
//! whose deletion vectors hide rows here and there; [`scan_reports`] tells
//! afterwards what was read. `address` scans rows together with where they lie, `changes` what versions did to them,
//! `raw_file` opens a file for those who copy parts of it.

mod address;
mod cache;
mod changes;
mod data_file;
mod deletion;
mod files;
mod footers;
mod groups;
mod guard;
mod late;
mod library;
mod location;
mod mapping;
mod nested;
mod open;
mod order;
mod paged;
mod progress;
mod prune;
mod raw_file;
mod report;
mod scan;
mod scattered;
mod selectivity;
mod snapshot;
mod source;
mod statistics;
#[cfg(test)]
mod tests;
mod variant;
mod vector;
mod visible;

pub use address::{ADDRESS_PREFIX, Addressed};
pub(crate) use cache::Snapshots;
pub(crate) use changes::{CHANGE_COLUMNS, CHANGE_FEED, CHANGE_TYPE, ChangeType};
pub use changes::{ChangeFeed, Since, change_feed};
pub(crate) use deletion::all_but;
pub(crate) use files::FileIndex;
pub use footers::{FooterCache, FooterReaders};
pub(crate) use library::Library;
pub(crate) use location::{absolute_url, file_at, home_store};
pub(crate) use mapping::{COLUMN_ID, MappingMode, PARQUET_ID, holds, relabel};
pub use nested::nullable_parts;
pub(crate) use nested::{cast_nested, same_but_metadata};
pub(crate) use open::{has_log, log_error, table_store};
pub use order::in_stored_order;
pub(crate) use progress::ScanProgress;
pub(crate) use prune::{is_partition_filter, may_match, prune};
pub(crate) use raw_file::RawFile;
pub(crate) use report::{BYTES_HOT, reports_of};
pub use report::{ScanReport, scan_reports};
pub(crate) use scan::{provider_of, scanned_snapshot};
pub(crate) use snapshot::COMMENT_KEY;
pub use snapshot::Snapshot;
pub(crate) use source::{copy_keys, originals, originals_of};
pub(crate) use variant::{FEATURE as VARIANT_FEATURE, has_variants};
pub(crate) use vector::vector_url;
