//! Rows into a file or a folder of files, which appear when all are whole.

use std::sync::Arc;

use boathouse_storage::file::{self, Location, Upload};
use bytes::Bytes;
use datafusion::{
    arrow::datatypes::SchemaRef, datasource::file_format::file_compression_type::FileCompressionType,
    error::DataFusionError, execution::object_store::ObjectStoreRegistry,
};
use futures::{SinkExt, StreamExt, channel::mpsc};
use url::Url;
use uuid::Uuid;

use super::writer::{Encoding, Writer};
use crate::{EngineError, ErrorKind, RowStream};

/// Bytes of one file in a folder.
const FILE_BYTES_MAX: usize = 256 << 20;
/// Pieces on their way from the writer to the store.
const PIECES_MAX: usize = 2;

/// Where rows go, and how.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) location: Location,
    pub(crate) folder: bool,
    pub(crate) encoding: Encoding,
    pub(crate) compression: FileCompressionType,
    /// Of the files in a folder: `csv.gz`.
    pub(crate) extension: String,
}

/// Whether rows of this schema can be written so.
pub(crate) fn check(export: &Export, schema: &SchemaRef) -> Result<(), EngineError> {
    Writer::new(&export.encoding, schema).map(drop)
}

/// Whether the place is free, before the query runs.
pub(crate) async fn prepare(stores: &dyn ObjectStoreRegistry, export: &Export) -> Result<(), EngineError> {
    if export.folder && !file::is_empty(stores, &export.location.folder_url()).await? {
        let message = format!("folder \"{}\" is not empty", export.location.text());
        return Err(EngineError::new(ErrorKind::AlreadyExists, message).with_hint("Choose a new folder."));
    }
    Ok(())
}

/// Writes all rows; gives their number.
pub(crate) async fn write(
    stores: Arc<dyn ObjectStoreRegistry>,
    export: &Export,
    rows: RowStream,
) -> Result<u64, EngineError> {
    if export.folder { write_folder(stores, export, rows).await } else { write_file(stores, export, rows).await }
}

async fn write_file(
    stores: Arc<dyn ObjectStoreRegistry>,
    export: &Export,
    mut rows: RowStream,
) -> Result<u64, EngineError> {
    let mut output = Output::open(stores.as_ref(), export, export.location.url(), &rows.schema())?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        output.write(&batch).await?;
    }
    output.close().await?.finish().await?;
    Ok(count)
}

async fn write_folder(
    stores: Arc<dyn ObjectStoreRegistry>,
    export: &Export,
    rows: RowStream,
) -> Result<u64, EngineError> {
    let target = export.location.folder_url();
    let staging = Staging::new(Arc::clone(&stores), &target)?;
    match fill(stores.as_ref(), export, &staging, rows).await {
        Ok(count) => staging.publish(&target).await.map(|()| count),
        Err(error) => {
            staging.discard().await;
            Err(error)
        }
    }
}

/// Writes the files of a folder where nobody looks; gives the number of rows.
async fn fill(
    stores: &dyn ObjectStoreRegistry,
    export: &Export,
    staging: &Staging,
    mut rows: RowStream,
) -> Result<u64, EngineError> {
    let schema = rows.schema();
    let mut closed = Vec::new();
    let mut count = 0;
    let mut output: Option<Output> = None;
    loop {
        let batch = rows.next().await.transpose()?;
        if output.is_none() && (batch.is_some() || closed.is_empty()) {
            let url = staging.file(&format!("part-{:05}.{}", closed.len(), export.extension))?;
            output = Some(Output::open(stores, export, &url, &schema)?);
        }
        let (Some(batch), Some(open)) = (&batch, &mut output) else { break };
        count += batch.num_rows() as u64;
        open.write(batch).await?;
        if open.bytes >= FILE_BYTES_MAX
            && let Some(full) = output.take()
        {
            closed.push(full.close().await?);
        }
    }
    if let Some(last) = output {
        closed.push(last.close().await?);
    }
    // Until here nothing is visible anywhere.
    for upload in closed {
        upload.finish().await?;
    }
    Ok(count)
}

/// One file on its way: encoded, compressed, uploaded.
struct Output {
    writer: Writer,
    pieces: mpsc::Sender<Result<Bytes, DataFusionError>>,
    upload: tokio::task::JoinHandle<Result<Upload, EngineError>>,
    bytes: usize,
}

impl Output {
    fn open(
        stores: &dyn ObjectStoreRegistry,
        export: &Export,
        url: &Url,
        schema: &SchemaRef,
    ) -> Result<Self, EngineError> {
        let writer = Writer::new(&export.encoding, schema)?;
        let mut upload = Upload::new(stores, url)?;
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let mut packed = export.compression.convert_to_compress_stream(received.boxed())?;
        let upload = tokio::spawn(async move {
            while let Some(piece) = packed.next().await {
                upload.write(piece?).await?;
            }
            Ok(upload)
        });
        Ok(Self { writer, pieces, upload, bytes: 0 })
    }

    async fn write(&mut self, batch: &datafusion::arrow::array::RecordBatch) -> Result<(), EngineError> {
        let bytes = self.writer.write(batch)?;
        self.bytes += bytes.len();
        if !bytes.is_empty() && self.pieces.send(Ok(Bytes::from(bytes))).await.is_err() {
            return Err(self.failure().await);
        }
        Ok(())
    }

    /// Why the upload took no more.
    async fn failure(&mut self) -> EngineError {
        match (&mut self.upload).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) => EngineError::internal("an upload ended before its file"),
            Err(error) => EngineError::internal("an upload failed").with_source(error),
        }
    }

    /// All bytes are in the store; the file is not visible yet.
    async fn close(mut self) -> Result<Upload, EngineError> {
        let writer = std::mem::replace(&mut self.writer, Writer::Json(Vec::new()));
        let bytes = writer.finish()?;
        if !bytes.is_empty() && self.pieces.send(Ok(Bytes::from(bytes))).await.is_err() {
            return Err(self.failure().await);
        }
        self.pieces.close_channel();
        (&mut self.upload).await.map_err(|error| EngineError::internal("an upload failed").with_source(error))?
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // A cancelled or failed statement must not leave its upload running.
        self.upload.abort();
    }
}

/// Where the files of a folder are written: beside it on a disk, so that it appears in one step; in a bucket in it, where
/// uploads are invisible until they are finished.
struct Staging {
    stores: Arc<dyn ObjectStoreRegistry>,
    folder: Url,
    beside: bool,
    /// Nothing is left to clean up.
    done: bool,
}

impl Staging {
    fn new(stores: Arc<dyn ObjectStoreRegistry>, target: &Url) -> Result<Self, EngineError> {
        let beside = target.scheme() == "file";
        let mut folder = target.clone();
        if beside {
            let path = target.path().trim_end_matches('/');
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            folder.set_path(&format!("{parent}/.{name}.{}/", Uuid::new_v4()));
        }
        Ok(Self { stores, folder, beside, done: false })
    }

    fn file(&self, name: &str) -> Result<Url, EngineError> {
        let joined = self.folder.join(name);
        joined.map_err(|error| EngineError::internal("the name of a file cannot be made").with_source(error))
    }

    async fn publish(mut self, target: &Url) -> Result<(), EngineError> {
        if self.beside {
            file::rename(self.stores.as_ref(), &self.folder, target).await?;
        }
        self.done = true;
        Ok(())
    }

    /// Cleans up before the error is told: the process may end right after it.
    async fn discard(mut self) {
        file::delete_folder(self.stores.as_ref(), &self.folder).await;
        self.done = true;
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (stores, folder) = (Arc::clone(&self.stores), self.folder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { file::delete_folder(stores.as_ref(), &folder).await });
        }
    }
}
