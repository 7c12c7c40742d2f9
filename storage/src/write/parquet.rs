//! How data files are written: chosen once, the same for every write.

use std::num::NonZeroU64;

use parquet::{
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
};

/// A file is closed when it reaches this size: few enough to list, small enough to read in parallel.
const FILE_BYTES: u64 = 128 * 1024 * 1024;
/// Rows that one task reads; small groups cost requests, large ones memory and parallelism.
const ROW_GROUP_ROWS: usize = 1024 * 1024;
const PAGE_BYTES: usize = 1024 * 1024;
/// The unit that a selective filter skips inside a row group.
const PAGE_ROWS: usize = 20_000;
const CREATED_BY: &str = concat!("boathouse version ", env!("CARGO_PKG_VERSION"));

/// Snappy: half of zstd's ratio gain is not worth twice the time of every scan of hot data.
pub(super) fn writer_properties() -> WriterProperties {
    properties().build()
}

/// The same, for those who have more to say of their files.
pub(super) fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(CREATED_BY.to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
}

/// The size at which a file is closed.
pub(super) fn target_file_size() -> Option<NonZeroU64> {
    NonZeroU64::new(FILE_BYTES)
}
