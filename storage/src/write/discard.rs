//! Files that nobody sees until a commit names them, deleted when the commit does not come about.

use std::sync::Arc;

use futures::StreamExt;
use object_store::{ObjectStore, path::Path};
use parking_lot::Mutex;

use crate::store::is_not_found;

/// Files written for something that may fail. Those that are noted when it is dropped are deleted, best effort, in the
/// background; what a crash leaves is found by VACUUM.
#[derive(Debug)]
pub(super) struct Discard {
    store: Arc<dyn ObjectStore>,
    files: Arc<Mutex<Vec<Path>>>,
    /// They may be in a commit: nothing is deleted.
    kept: Mutex<bool>,
}

impl Discard {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, files: Arc::default(), kept: Mutex::new(false) }
    }

    /// Notes a file by its path in the table's folder.
    pub(super) fn note(&self, path: &str) {
        match Path::parse(path) {
            Ok(path) => self.files.lock().push(path),
            Err(error) => tracing::debug!(path, %error, "a file that cannot be deleted here"),
        }
    }

    /// The list that files are noted in.
    pub(super) fn list(&self) -> Arc<Mutex<Vec<Path>>> {
        self.files.clone()
    }

    /// Deletes them now.
    pub(super) async fn delete(&self) {
        let files = std::mem::take(&mut *self.files.lock());
        delete(self.store.clone(), files).await;
    }

    /// From now on nothing is deleted.
    pub(super) fn keep(&self) {
        *self.kept.lock() = true;
    }

    /// It is known again that no commit names the files.
    pub(super) fn reclaim(&self) {
        *self.kept.lock() = false;
    }
}

impl Drop for Discard {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *self.files.lock());
        if *self.kept.lock() || files.is_empty() {
            return;
        }
        let store = self.store.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(delete(store, files))),
            Err(_) => tracing::debug!(files = files.len(), "files of a write that ended are left"),
        }
    }
}

/// Deletes files that no commit names. Best effort: nobody sees them.
async fn delete(store: Arc<dyn ObjectStore>, files: Vec<Path>) {
    let mut deleted = store.delete_stream(futures::stream::iter(files.into_iter().map(Ok)).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Err(error) if !is_not_found(&error) => {
                tracing::warn!(%error, "could not delete the files of a write that failed");
            }
            _ => {}
        }
    }
}
