//! The folder of a table as a write sees it whose files are to be near when it is done: those of INSERT, UPDATE, DELETE, MERGE
//! and CREATE TABLE AS. What upkeep writes anew goes to the store alone: it would push out what is used.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};
use url::Url;

use crate::{
    Snapshot, StorageError,
    store::{Stores, object_path},
    table::{home_store, table_store},
    warm::{BeingWritten, Blocks, Written},
};

/// The folder of a table, for its new data files.
pub(super) fn near_store(stores: &Stores, table: &Snapshot) -> Result<Arc<dyn ObjectStore>, StorageError> {
    near_store_at(stores, table.location(), (table.id(), table.name()), table.warm())
}

/// The same for a table that is not there yet, by its Delta id and its name.
pub(super) fn near_store_at(
    stores: &Stores,
    location: &Url,
    (id, name): (&str, &str),
    blocks: Option<&Arc<Blocks>>,
) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let inner = table_store(stores, location)?;
    let Some(blocks) = blocks.filter(|_| location.scheme() != "file") else { return Ok(inner) };
    let mark = blocks.mark(id, name);
    let written = Written::new(blocks.clone(), mark, &home_store(location)?, object_path(location)?);
    Ok(Arc::new(NearStore { inner, written }))
}

struct NearStore {
    inner: Arc<dyn ObjectStore>,
    written: Arc<Written>,
}

impl fmt::Debug for NearStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for NearStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NearStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for NearStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let mut file = self.written.begin(location);
        if let Some(file) = &mut file {
            file.add(&payload);
        }
        let done = self.inner.put_opts(location, payload, opts).await?;
        if let Some(file) = file {
            file.done();
        }
        Ok(done)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(match self.written.begin(location) {
            Some(file) => Box::new(NearUpload { upload, file: Some(file) }),
            None => upload,
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// An upload, part by part in the order of the file.
struct NearUpload {
    upload: Box<dyn MultipartUpload>,
    file: Option<BeingWritten>,
}

impl fmt::Debug for NearUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearUpload").field("upload", &self.upload).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for NearUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if let Some(file) = &mut self.file {
            file.add(&data);
        }
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload.complete().await?;
        if let Some(file) = self.file.take() {
            file.done();
        }
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.file = None;
        self.upload.abort().await
    }
}
