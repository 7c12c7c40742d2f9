//! Parquet files of the log: chosen columns, row groups one after the other.
//!
//! A file in a folder is read page by page, so that no more than a page of each column is in memory at once; of one in a
//! bucket the columns of a row group come with one request.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, FieldRef, Fields, Schema},
};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{
            ArrowReaderBuilder, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowSelection,
        },
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

/// So much of the end of a file is read with its footer.
const FOOTER_BYTES: u64 = 64 * 1024;

/// A file whose footer was read.
#[derive(Clone)]
pub(super) struct ParquetFile {
    place: Place,
    meta: ObjectMeta,
    footer: ArrowReaderMetadata,
}

/// Where the bytes of a file come from.
#[derive(Clone)]
enum Place {
    /// Opened anew by every reader: two that share one would move each other's place in it.
    Folder(PathBuf),
    Store(Arc<dyn ObjectStore>),
}

impl ParquetFile {
    pub(super) async fn open(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Result<Self> {
        // A store has no answer to a range of nothing, which would look like its own fault.
        if meta.size == 0 {
            return Err(ParquetError::EOF("the file is empty".to_owned()));
        }
        let end = meta.size.saturating_sub(FOOTER_BYTES)..meta.size;
        let options = GetOptions { range: Some(GetRange::Bounded(end.clone())), ..GetOptions::default() };
        let found = store.get_opts(&meta.location, options).await.map_err(external)?;
        let reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        if let GetResultPayload::File(file, path) = &found.payload {
            let footer = ArrowReaderMetadata::load(file, reading)?;
            return Ok(Self { place: Place::Folder(path.clone()), meta, footer });
        }
        let tail = Some((end, found.bytes().await.map_err(external)?));
        let mut file = StoreFile { store: store.clone(), meta: meta.clone(), tail };
        let footer = ArrowReaderMetadata::load_async(&mut file, reading).await?;
        Ok(Self { place: Place::Store(store), meta, footer })
    }

    /// The same file, with one of its texts read as views of its pages, not copied out of them.
    pub(super) fn viewing(&self, name: &str) -> Self {
        let schema = self.footer.schema();
        let fields: Fields = schema.fields().iter().map(|field| viewed(field, name)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let footer = self.footer.metadata().clone();
        match ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new().with_schema(schema)) {
            Ok(footer) => Self { footer, ..self.clone() },
            // Copies say the same.
            Err(_) => self.clone(),
        }
    }

    /// Whether reading a few columns first costs no request.
    pub(super) fn is_near(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.footer.metadata().file_metadata().num_rows()).unwrap_or(0)
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
        self.read_rows(names, None)
    }

    /// The same for some rows only; all when `None`.
    pub(super) fn read_rows(
        &self,
        names: &[&str],
        rows: Option<RowSelection>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let store = match &self.place {
            Place::Store(store) => store.clone(),
            Place::Folder(path) => return Ok(self.reader(path, names, rows)?.map_or(stream::empty().boxed(), decoded)),
        };
        let Some(mask) = self.chosen(names) else { return Ok(stream::empty().boxed()) };
        let file = StoreFile { store, meta: self.meta.clone(), tail: None };
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file, self.footer.clone());
        Ok(of_rows(builder, mask, rows).build()?.boxed())
    }

    /// The same columns of a file in a folder, read where they are asked for. `None` of a file in a bucket.
    pub(super) fn read_here(&self, names: &[&str]) -> Result<Option<ParquetRecordBatchReader>> {
        match &self.place {
            Place::Folder(path) => self.reader(path, names, None),
            Place::Store(_) => Ok(None),
        }
    }

    fn reader(
        &self,
        path: &Path,
        names: &[&str],
        rows: Option<RowSelection>,
    ) -> Result<Option<ParquetRecordBatchReader>> {
        let Some(mask) = self.chosen(names) else { return Ok(None) };
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(path)?, self.footer.clone());
        of_rows(builder, mask, rows).build().map(Some)
    }

    /// None when the file has no such columns.
    fn chosen(&self, names: &[&str]) -> Option<ProjectionMask> {
        let schema = self.footer.parquet_schema();
        let chosen = schema.columns().iter().enumerate().filter(|(_, column)| {
            let path = column.path().string();
            names.iter().any(|name| under(&path, name))
        });
        let chosen: Vec<usize> = chosen.map(|(at, _)| at).collect();
        (!chosen.is_empty()).then(|| ProjectionMask::leaves(schema, chosen))
    }
}

/// A reader of these columns; of all rows when `rows` is `None`.
fn of_rows<T>(
    builder: ArrowReaderBuilder<T>,
    columns: ProjectionMask,
    rows: Option<RowSelection>,
) -> ArrowReaderBuilder<T> {
    let builder = builder.with_projection(columns).with_batch_size(BATCH_ROWS);
    match rows {
        Some(rows) => builder.with_row_selection(rows),
        None => builder,
    }
}

/// Decodes where it holds up nobody.
fn decoded(reader: ParquetRecordBatchReader) -> BoxStream<'static, Result<RecordBatch>> {
    let next = |reader: Option<ParquetRecordBatchReader>| async move {
        let mut reader = reader?;
        let work = tokio::task::spawn_blocking(move || (reader.next(), reader)).await;
        match work {
            Ok((batch, reader)) => batch.map(|batch| (batch.map_err(ParquetError::from), Some(reader))),
            Err(error) => Some((Err(ParquetError::External(Box::new(error))), None)),
        }
    };
    stream::unfold(Some(reader), next).boxed()
}

/// A field in which the text `name`, a path like `add.stats`, is read as views.
fn viewed(field: &FieldRef, name: &str) -> FieldRef {
    let Some(rest) = name.strip_prefix(field.name().as_str()) else { return field.clone() };
    let kind = match (field.data_type(), rest.strip_prefix('.')) {
        (DataType::Utf8, None) if rest.is_empty() => DataType::Utf8View,
        (DataType::Struct(fields), Some(rest)) => {
            DataType::Struct(fields.iter().map(|field| viewed(field, rest)).collect())
        }
        _ => return field.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(kind))
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
    /// The end of the file, when it was read before.
    tail: Option<(Range<u64>, Bytes)>,
}

impl AsyncFileReader for StoreFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        let known = self.tail.as_ref().filter(|(held, _)| held.start <= range.start && range.end <= held.end);
        let known = known.and_then(|(held, bytes)| {
            let start = usize::try_from(range.start - held.start).ok()?;
            let end = usize::try_from(range.end - held.start).ok().filter(|end| *end <= bytes.len())?;
            Some(bytes.slice(start..end))
        });
        match known {
            Some(bytes) => std::future::ready(Ok(bytes)).boxed(),
            None => async move { self.store.get_range(&self.meta.location, range).await.map_err(external) }.boxed(),
        }
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
            let reader = ParquetMetaDataReader::new().with_metadata_options(options);
            let reader = reader.with_prefetch_hint(usize::try_from(FOOTER_BYTES).ok());
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
