//! Parquet files of the log: chosen columns, row groups one after the other.

use std::{ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::AsyncFileReader,
    },
    errors::{ParquetError, Result},
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader},
        statistics::Statistics,
    },
};

/// How many rows are decoded at once: small enough that memory stays small, large enough for whole vectors.
const BATCH_ROWS: usize = 8192;

/// A file whose footer was read.
#[derive(Clone)]
pub(super) struct ParquetFile {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
    footer: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(super) async fn open(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<Self> {
        let mut file = StoreFile { store: store.clone(), meta: meta.clone() };
        let footer =
            ArrowReaderMetadata::load_async(&mut file, ArrowReaderOptions::new().with_skip_arrow_metadata(true))
                .await?;
        Ok(Self { store, meta, footer })
    }

    pub(super) fn path(&self) -> &object_store::path::Path {
        &self.meta.location
    }

    pub(super) fn has_column(&self, name: &str) -> bool {
        self.footer.parquet_schema().columns().iter().any(|column| under(&column.path().string(), name))
    }

    /// Whether the footer tells that a column holds nothing but NULL.
    pub(super) fn is_all_null(&self, name: &str) -> bool {
        let columns = self.footer.parquet_schema().columns();
        let Some(at) = columns.iter().position(|column| column.path().string() == name) else { return true };
        self.footer.metadata().row_groups().iter().all(|group| {
            let nulls = group.column(at).statistics().and_then(|statistics| statistics.null_count_opt());
            nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
        })
    }

    /// Whether a column may have a text, by the footer alone.
    pub(super) fn may_hold(&self, name: &str, text: &str) -> bool {
        let columns = self.footer.parquet_schema().columns();
        let Some(at) = columns.iter().position(|column| column.path().string() == name) else { return false };
        self.footer.metadata().row_groups().iter().any(|group| {
            let column = group.column(at);
            let Some(Statistics::ByteArray(known)) = column.statistics() else { return true };
            let nulls = known.null_count_opt().and_then(|nulls| i64::try_from(nulls).ok());
            nulls != Some(column.num_values())
                && known.min_opt().is_none_or(|min| min.data() <= text.as_bytes())
                && known.max_opt().is_none_or(|max| max.data() >= text.as_bytes())
        })
    }

    /// The columns whose paths are `names` or lie under them, as many as the file has of them.
    pub(super) fn read(&self, names: &[&str]) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = self.footer.parquet_schema();
        let chosen = schema.columns().iter().enumerate().filter(|(_, column)| {
            let path = column.path().string();
            names.iter().any(|name| under(&path, name))
        });
        let chosen: Vec<usize> = chosen.map(|(at, _)| at).collect();
        if chosen.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let mask = ProjectionMask::leaves(schema, chosen);
        let file = StoreFile { store: self.store.clone(), meta: self.meta.clone() };
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(file, self.footer.clone())
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()?;
        Ok(stream.boxed())
    }
}

/// How many rows a file has.
pub(crate) async fn row_count(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<u64> {
    let rows = ParquetFile::open(store, meta).await?.footer.metadata().file_metadata().num_rows();
    u64::try_from(rows).map_err(|_| ParquetError::General(format!("its footer says that it has {rows} rows")))
}

fn under(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

struct StoreFile {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
}

impl AsyncFileReader for StoreFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.store.get_range(&self.meta.location, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.meta.location, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.meta.size;
            let options = options.map(|options| options.metadata_options().clone());
            let reader =
                ParquetMetaDataReader::new().with_metadata_options(options).with_prefetch_hint(Some(64 * 1024));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
