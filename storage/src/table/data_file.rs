//! Whose fault it is when a data file cannot be read.
//!
//! The Parquet reader knows a path at most. What passes through here says which table names the file, and at which version.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::{Result, ScalarValue},
    datasource::{listing::PartitionedFile, physical_plan::ParquetFileReaderFactory},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use super::Snapshot;
use crate::StorageError;

/// Readers whose errors are [`StorageError::DataFile`].
#[derive(Debug)]
pub(super) struct NamedReaders {
    inner: Arc<dyn ParquetFileReaderFactory>,
    table: String,
    version: u64,
    /// Where a file has the version of its commit among its constants.
    version_at: Option<usize>,
}

impl NamedReaders {
    pub(super) fn new(
        inner: Arc<dyn ParquetFileReaderFactory>,
        snapshot: &Snapshot,
        version_at: Option<usize>,
    ) -> Arc<Self> {
        Arc::new(Self { inner, table: snapshot.name().to_owned(), version: snapshot.version(), version_at })
    }

    fn version(&self, file: &PartitionedFile) -> u64 {
        let value = self.version_at.and_then(|at| file.partition_values.get(at));
        match value {
            Some(ScalarValue::Int64(Some(version))) => u64::try_from(*version).unwrap_or(self.version),
            _ => self.version,
        }
    }
}

impl ParquetFileReaderFactory for NamedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let name = Name {
            table: self.table.clone(),
            version: self.version(&file),
            file: file.object_meta.location.to_string(),
        };
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(NamedReader { inner, name: Arc::new(name) }))
    }
}

struct Name {
    table: String,
    version: u64,
    file: String,
}

impl Name {
    fn blame(&self, source: ParquetError) -> ParquetError {
        let (table, version, file) = (self.table.clone(), self.version, self.file.clone());
        ParquetError::External(Box::new(StorageError::DataFile { table, version, file, source: Box::new(source) }))
    }
}

struct NamedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    name: Arc<Name>,
}

impl AsyncFileReader for NamedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let name = self.name.clone();
        self.inner.get_bytes(range).map_err(move |error| name.blame(error)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let name = self.name.clone();
        self.inner.get_byte_ranges(ranges).map_err(move |error| name.blame(error)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let name = self.name.clone();
        self.inner.get_metadata(options).map_err(move |error| name.blame(error)).boxed()
    }
}
