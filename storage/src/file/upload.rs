//! Writing a file so that nobody ever sees half of it.

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart, path::Path};
use std::sync::Arc;
use url::Url;

use super::list::{failed, open};
use crate::StorageError;

/// Parts of one upload under way at once: bounds its memory.
const PARTS_MAX: usize = 4;

/// A smaller file takes one request: as much as a store wants in one part.
const WHOLE_BYTES_MAX: usize = 5 << 20;

/// A file being written. It appears, whole, at [`Upload::finish`]; a dropped upload leaves nothing.
#[derive(Debug)]
pub struct Upload {
    store: Arc<dyn object_store::ObjectStore>,
    path: Path,
    name: String,
    /// What was written before there was enough for a part.
    held: Vec<Bytes>,
    parts: Option<WriteMultipart>,
}

impl Upload {
    /// A file that is there is replaced at the end.
    pub fn new(stores: &dyn ObjectStoreRegistry, url: &Url) -> Result<Self, StorageError> {
        let (store, path) = open(stores, url, url.as_str())?;
        Ok(Self { name: url.to_string(), ..Self::at(store, path) })
    }

    /// The same in a store.
    pub(crate) fn at(store: Arc<dyn object_store::ObjectStore>, path: Path) -> Self {
        let name = path.to_string();
        Self { store, path, name, held: Vec::new(), parts: None }
    }

    /// Adds bytes; waits while too many are on their way.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => {
                let held: usize = self.held.iter().map(Bytes::len).sum();
                if held + bytes.len() <= WHOLE_BYTES_MAX {
                    self.held.push(bytes);
                    return Ok(());
                }
                let upload = self.store.put_multipart(&self.path).await;
                let mut parts = WriteMultipart::new(upload.map_err(|source| failed("write", &self.name, source))?);
                self.held.drain(..).for_each(|held| parts.put(held));
                parts
            }
        };
        let room = parts.wait_for_capacity(PARTS_MAX).await;
        parts.put(bytes);
        self.parts = Some(parts);
        room.map_err(|source| failed("write", &self.name, source))
    }

    /// Makes the file visible.
    pub async fn finish(mut self) -> Result<(), StorageError> {
        let done = match self.parts.take() {
            Some(parts) => parts.finish().await,
            None => self.store.put(&self.path, PutPayload::from_iter(self.held)).await,
        };
        done.map(drop).map_err(|source| failed("write", &self.name, source))
    }

    /// Gives up and frees what was uploaded.
    pub async fn abort(mut self) {
        if let Some(parts) = self.parts.take()
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(path = self.name, %error, "could not abort an upload");
        }
    }
}

/// Takes a file back that a failed statement has made, as far as that works.
pub async fn take_back(stores: &dyn ObjectStoreRegistry, url: &Url) {
    let Ok((store, path)) = open(stores, url, url.as_str()) else { return };
    match store.delete(&path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => tracing::warn!(%url, %error, "could not delete a file"),
    }
}

/// Whether there is nothing in a folder.
pub async fn is_empty(stores: &dyn ObjectStoreRegistry, folder: &Url) -> Result<bool, StorageError> {
    let (store, path) = open(stores, folder, folder.as_str())?;
    match store.list(Some(&path)).try_next().await {
        Ok(first) => Ok(first.is_none()),
        Err(object_store::Error::NotFound { .. }) => Ok(true),
        Err(source) => Err(failed("list", folder.as_str(), source)),
    }
}

/// Moves all files of one folder into another. A local folder moves in one step; in a bucket file after file.
pub async fn rename(stores: &dyn ObjectStoreRegistry, from: &Url, to: &Url) -> Result<(), StorageError> {
    if let (Some(source), Some(target)) = (super::location::local_path(from), super::location::local_path(to)) {
        let moved = match std::fs::remove_dir(&target) {
            // Only an empty folder can be in the way: the caller has looked.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::rename(&source, &target),
        };
        return moved.map_err(|error| {
            failed("write", to.as_str(), object_store::Error::Generic { store: "file", source: Box::new(error) })
        });
    }
    let (store, base) = open(stores, from, from.as_str())?;
    let (_, target) = open(stores, to, to.as_str())?;
    let files: Vec<_> =
        store.list(Some(&base)).try_collect().await.map_err(|source| failed("list", from.as_str(), source))?;
    for file in files {
        let parts: Vec<_> = file.location.prefix_match(&base).into_iter().flatten().collect();
        let new: Path = target.parts().chain(parts).collect();
        store.rename(&file.location, &new).await.map_err(|source| failed("write", to.as_str(), source))?;
    }
    Ok(())
}

/// Deletes a folder and all in it, as far as that works: for cleaning up after a failure.
pub async fn delete_folder(stores: &dyn ObjectStoreRegistry, folder: &Url) {
    if let Some(path) = super::location::local_path(folder) {
        if let Err(error) = std::fs::remove_dir_all(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%folder, %error, "could not delete a folder");
        }
        return;
    }
    let Ok((store, path)) = open(stores, folder, folder.as_str()) else { return };
    let files: Result<Vec<_>, _> = store.list(Some(&path)).try_collect().await;
    for file in files.unwrap_or_default() {
        if let Err(error) = store.delete(&file.location).await {
            tracing::warn!(path = %file.location, %error, "could not delete a file");
        }
    }
}
