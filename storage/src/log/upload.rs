//! A Parquet file of the log that is written as its rows come, and is there when it is complete.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::{ObjectStore, buffered::BufWriter, path::Path};
use parquet::{
    arrow::AsyncArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
};

/// A row group is ended at about this size: memory stays small, and readers decode few rows to find what they want.
const GROUP_BYTES: usize = 16 << 20;
/// Files up to this size are put at once; parts of larger ones have it.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 2;

/// A file that is being written. One that is dropped is never seen; what was uploaded of it is taken back by `abort`.
pub(super) struct Upload {
    path: Path,
    writer: AsyncArrowWriter<BufWriter>,
    rows: u64,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, schema: SchemaRef) -> Result<Self, ParquetError> {
        let file = BufWriter::with_capacity(store, path.clone(), PART_BYTES).with_max_concurrency(PARTS_AT_ONCE);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(None)
            .build();
        Ok(Self { path, writer: AsyncArrowWriter::try_new(file, schema, Some(properties))?, rows: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) async fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(rows).await?;
        self.rows += rows.num_rows() as u64;
        match self.writer.in_progress_size() >= GROUP_BYTES {
            true => self.writer.flush().await,
            false => Ok(()),
        }
    }

    /// From now on the file is there. Returns its size.
    pub(super) async fn complete(mut self) -> Result<u64, ParquetError> {
        self.writer.finish().await?;
        Ok(self.writer.bytes_written() as u64)
    }

    /// Best effort: nobody sees what is left of it.
    pub(super) async fn abort(self) {
        if let Err(error) = self.writer.into_inner().abort().await {
            tracing::debug!(path = %self.path, %error, "could not abort the upload of a file of a log");
        }
    }
}
