//! Makes the copy of one data file.

use std::{future::Future, io, ops::Range, path::Path as FilePath, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{Schema, TimeUnit},
    error::ArrowError,
};
use bytes::Bytes;
use datafusion::datasource::physical_plan::parquet::Int96Coercer;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::AsyncFileReader,
    },
    errors::ParquetError,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use thiserror::Error;
use tokio::runtime::Handle;
use vortex::{
    array::stream::ArrayStreamAdapter,
    error::{VortexError, vortex_err},
    file::WriteOptionsSessionExt,
    io::{IoBuf, VortexWrite},
};
use vortex_arrow::ArrowSessionExt;

use super::{
    CopyKey,
    file::{CopyAbout, CopyWriter, VORTEX},
    types,
};

const BATCH_ROWS: usize = 16 * 1024;

/// A data file of the lake.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub(crate) key: CopyKey,
    /// The table's name.
    pub(crate) name: Arc<str>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    /// Where requests to the store run: its connections live there.
    pub(crate) runtime: Handle,
}

impl Original {
    /// The tag that the store gives to the object, where it gives any.
    pub(super) async fn e_tag(&self) -> object_store::Result<Option<String>> {
        Ok(self.head().await?.e_tag)
    }

    async fn head(&self) -> object_store::Result<ObjectMeta> {
        let (store, path) = (self.store.clone(), self.path.clone());
        self.runtime.spawn(async move { store.head(&path).await }).await?
    }
}

/// What became of the wish for a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A whole copy of so many bytes.
    Copy(u64),
    /// This file gets no copy, ever.
    Refused,
    /// Asked to stop.
    Stopped,
}

#[derive(Debug, Error)]
pub(crate) enum MakeError {
    #[error("could not write the copy")]
    Write(#[from] io::Error),
    #[error("could not find the original")]
    Find(#[from] object_store::Error),
    #[error("could not read the original")]
    Read(#[from] ParquetError),
    #[error("could not encode the rows")]
    Encode(#[from] VortexError),
    #[error("could not convert the rows")]
    Convert(#[from] ArrowError),
}

/// Writes the copy of `original` to the new file `to`. `pause` runs between batches; at `false` the work ends.
/// What is in the file is a copy only when `Made::Copy` comes back.
pub(crate) async fn make<P, F>(original: &Original, to: &FilePath, pause: P) -> Result<Made, MakeError>
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let head = original.head().await?;
    if head.size != original.key.size {
        return Ok(Made::Refused);
    }
    let mut reader = OriginalReader { original: original.clone(), size: head.size };
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
    let metadata = without_nanoseconds(metadata)?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
    let Some(schema) = types::stored(metadata.schema()).filter(|_| rows > 0) else { return Ok(Made::Refused) };
    let schema = Arc::new(types::without_nulls(schema, metadata.metadata()));
    let Ok(dtype) = VORTEX.arrow().from_arrow_schema(&schema) else { return Ok(Made::Refused) };
    let batches =
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(BATCH_ROWS).build()?;
    let columns = schema.clone();
    let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = stopped.clone();
    let arrays = batches.then(move |batch| {
        let (going_on, columns, stopped) = (pause(), columns.clone(), stopped.clone());
        async move {
            if !going_on.await {
                stopped.store(true, std::sync::atomic::Ordering::Relaxed);
                return Err(vortex_err!("asked to stop"));
            }
            let batch = batch.map_err(|error| vortex_err!("{error}"))?;
            VORTEX.arrow().from_arrow_record_batch(conform(&batch, &columns)?, &columns)
        }
    });
    let mut writer = CopyWriter::create(to)?;
    let summary = VORTEX.write_options().write(&mut writer, ArrayStreamAdapter::new(dtype, arrays)).await;
    if ended.load(std::sync::atomic::Ordering::Relaxed) {
        return Ok(Made::Stopped);
    }
    if let Some(fault) = writer.fault() {
        return Err(fault.into());
    }
    if summary?.row_count() != rows {
        return Ok(Made::Refused);
    }
    let about = CopyAbout { key: original.key.clone(), rows, e_tag: head.e_tag };
    Ok(Made::Copy(writer.finish(&schema, &about)?))
}

/// Reads an original on the runtime of its store.
#[derive(Clone)]
struct OriginalReader {
    original: Original,
    size: u64,
}

impl AsyncFileReader for OriginalReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let (store, path) = (self.original.store.clone(), self.original.path.clone());
        let read = self.original.runtime.spawn(async move { store.get_range(&path, range).await });
        async move {
            let bytes = read.await.map_err(|error| ParquetError::External(Box::new(error)))?;
            bytes.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let size = self.size;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?)) }.boxed()
    }
}

/// Old timestamps of Spark as microseconds, as the scan reads them: nanoseconds cover only 584 years.
fn without_nanoseconds(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let parquet = metadata.parquet_schema();
    let Some(schema) = Int96Coercer::new(parquet, metadata.schema(), &TimeUnit::Microsecond).coerce() else {
        return Ok(metadata);
    };
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
}

fn conform(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

impl VortexWrite for CopyWriter {
    async fn write_all<B: IoBuf>(&mut self, buffer: B) -> io::Result<B> {
        self.write(buffer.as_slice())?;
        Ok(buffer)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
