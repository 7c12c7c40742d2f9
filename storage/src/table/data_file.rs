//! Whose fault it is when a data file cannot be read.
//!
//! The Parquet reader knows a path at most. What passes through here says which table names the file, and at which version.
//! A file that lies in an archive fails the scan with all that do: nobody restores them one by one.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::{Result, ScalarValue},
    datasource::{listing::PartitionedFile, physical_plan::ParquetFileReaderFactory},
    execution::object_store::ObjectStoreUrl,
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use tokio::sync::OnceCell;
use url::Url;

use super::{Snapshot, location};
use crate::{StorageError, StoreReason, log::FileSet};

/// Files of which it is found out whether they are archived, and how many at once.
const LOOKED_AT_MAX: usize = 1000;
const LOOKS_AT_ONCE: usize = 16;

/// Readers whose errors are [`StorageError::DataFile`].
#[derive(Debug)]
pub(super) struct NamedReaders {
    inner: Arc<dyn ParquetFileReaderFactory>,
    table: Arc<Files>,
    version: u64,
    /// Where a file has the version of its commit among its constants.
    version_at: Option<usize>,
}

impl NamedReaders {
    /// `store` has the files of the scan.
    pub(super) fn new(
        inner: Arc<dyn ParquetFileReaderFactory>,
        snapshot: &Snapshot,
        (url, store): (&ObjectStoreUrl, Arc<dyn ObjectStore>),
        version_at: Option<usize>,
    ) -> Arc<Self> {
        let table = Files {
            name: snapshot.name().to_owned(),
            location: snapshot.location().clone(),
            all: snapshot.log().files.clone(),
            url: url.clone(),
            store,
            archived: OnceCell::new(),
        };
        Arc::new(Self { inner, table: Arc::new(table), version: snapshot.version(), version_at })
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
    table: Arc<Files>,
    version: u64,
    file: String,
}

impl Name {
    async fn blame(&self, source: ParquetError) -> ParquetError {
        let (table, version, file) = (self.table.name.clone(), self.version, self.file.clone());
        let error = match StoreReason::of(&source) {
            Some(StoreReason::Archived) => {
                let mut files = self.table.archived.get_or_init(|| self.table.look()).await.clone();
                if !files.contains(&file) {
                    files.push(file);
                }
                StorageError::Archived { table, version, files, source: Box::new(source) }
            }
            _ => StorageError::DataFile { table, version, file, source: Box::new(source) },
        };
        ParquetError::External(Box::new(error))
    }
}

/// The files of a table that lie in one store.
struct Files {
    name: String,
    location: Url,
    all: FileSet,
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
    /// Those that are archived, once one was met.
    archived: OnceCell<Vec<String>>,
}

impl Files {
    /// Asks for a byte of each; no more of them are asked for than a person would look at.
    async fn look(&self) -> Vec<String> {
        let places = (0..self.all.len()).filter_map(|file| location::resolve(&self.location, self.all.path(file)).ok());
        let paths: Vec<Path> =
            places.filter(|place| place.store == self.url).map(|place| place.path).take(LOOKED_AT_MAX).collect();
        let looks = paths.into_iter().map(|path| {
            let store = self.store.clone();
            async move {
                let refused = store.get_range(&path, 0..1).await.err()?;
                (StoreReason::of(&refused) == Some(StoreReason::Archived)).then(|| path.to_string())
            }
            .boxed()
        });
        futures::stream::iter(looks).buffered(LOOKS_AT_ONCE).filter_map(|found| async move { found }).collect().await
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("name", &self.name).finish_non_exhaustive()
    }
}

async fn named<T>(name: Arc<Name>, read: BoxFuture<'_, parquet::errors::Result<T>>) -> parquet::errors::Result<T> {
    match read.await {
        Ok(read) => Ok(read),
        Err(error) => Err(name.blame(error).await),
    }
}

struct NamedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    name: Arc<Name>,
}

impl AsyncFileReader for NamedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let name = self.name.clone();
        named(name, self.inner.get_bytes(range)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let name = self.name.clone();
        named(name, self.inner.get_byte_ranges(ranges)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let name = self.name.clone();
        named(name, self.inner.get_metadata(options)).boxed()
    }
}
