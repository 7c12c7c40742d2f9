//! The versioned documents: read with exact freshness, replaced by put-if-absent of the next version.
//!
//! A cached document is trusted after two HEAD requests: the next version is not there, and this one still is. Old
//! versions are deleted from the oldest on, so a reader whose version is gone knows that it is far behind and lists the
//! folder; a listing alone is never trusted to show the newest, the reader walks on from it version by version.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use moka::future::Cache;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;
use uuid::Uuid;

use crate::{
    StorageError,
    store::{Stores, is_not_found, object_path},
};

/// The folder of what a lake says of itself.
const FOLDER: &str = "_boathouse";
const DOCUMENTS_CACHED_MAX: u64 = 10_000;
/// Older versions than this many are deleted.
const VERSIONS_KEPT: u64 = 16;
/// As many at a time: they are looked for by a listing, which not every change is to wait for.
const VERSIONS_FORGOTTEN: u64 = 8;
/// How often a change is tried when others write the same document.
const ATTEMPTS_MAX: usize = 50;
const BACKOFF_MS_MAX: u64 = 200;

/// What is kept as documents, several of a kind, told apart by name.
pub(crate) trait Document:
    fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Where documents of this kind lie in the lake, under `_boathouse`.
    const FOLDER: &'static str;
    /// The newest format that is read.
    const FORMAT: u32;

    /// The oldest format that has all that this document says: it is written in that one.
    fn format(&self) -> u32;
}

/// A document and its version.
#[derive(Debug, Clone)]
pub(crate) struct Versioned<D> {
    version: u64,
    pub(crate) document: Arc<D>,
}

#[derive(Serialize, Deserialize)]
struct Stored<D> {
    format: u32,
    /// Tells this write from a rival's when the store's answer was lost.
    token: Uuid,
    #[serde(flatten)]
    document: D,
}

/// The documents of one kind of one lake. Safe to call from many tasks.
#[derive(Debug)]
pub(crate) struct Documents<D: Document> {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    cached: Cache<String, Versioned<D>>,
}

impl<D: Document> Documents<D> {
    pub(crate) fn new(lake: &Url, stores: &Stores) -> Result<Self, StorageError> {
        let folder = object_path(lake)?.join(FOLDER).join(D::FOLDER);
        Ok(Self { store: stores.get(lake)?, folder, cached: Cache::new(DOCUMENTS_CACHED_MAX) })
    }

    /// Names that have a document; those of dropped schemas too.
    pub(crate) async fn names(&self) -> Result<Vec<String>, StorageError> {
        let listed = self.store.list_with_delimiter(Some(&self.folder)).await;
        let listed = listed.map_err(|e| store_error("list", &self.folder, e))?;
        Ok(listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect())
    }

    /// The document of a name as it was last seen.
    pub(crate) async fn last_seen(&self, name: &str) -> Option<Arc<D>> {
        self.cached.get(name).await.map(|known| known.document)
    }

    /// The newest document of a name, `None` when there never was one. Sees every change that ended before the call.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Versioned<D>>, StorageError> {
        if let Some(known) = self.cached.get(name).await {
            let (next, this) =
                futures::try_join!(self.exists(name, known.version + 1), self.exists(name, known.version))?;
            match (next, this) {
                (false, true) => return Ok(Some(known)),
                (true, true) => return self.walk(name, known.version + 1).await,
                (_, false) => self.cached.invalidate(name).await,
            }
        }
        match self.listed(name).await?.last() {
            Some(version) => self.walk(name, *version).await,
            None => Ok(None),
        }
    }

    /// Changes the newest document, again after a lost race. `change` gets `None` while there is no document and returns
    /// the new one; an equal one is not written.
    pub(crate) async fn change<F>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<Arc<D>>) -> F,
    ) -> Result<Arc<D>, StorageError>
    where
        F: Future<Output = Result<D, StorageError>>,
    {
        for attempt in 0..ATTEMPTS_MAX {
            let known = self.read(name).await?;
            let before = known.as_ref().map(|known| known.document.clone());
            let document = change(before.clone()).await?;
            if let Some(before) = before
                && *before == document
            {
                return Ok(before);
            }
            let version = known.map_or(0, |known| known.version + 1);
            let written = Versioned { version, document: Arc::new(document) };
            if self.write(name, &written).await? {
                self.cached.insert(name.to_owned(), written.clone()).await;
                self.forget_old(name, version).await;
                return Ok(written.document);
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(StorageError::CatalogConflict { name: name.to_owned(), attempts: ATTEMPTS_MAX })
    }

    /// Reads `version` and those after it, up to the last there is.
    async fn walk(&self, name: &str, mut version: u64) -> Result<Option<Versioned<D>>, StorageError> {
        let mut newest = None;
        while let Some(stored) = self.get(name, version).await? {
            newest = Some(Versioned { version, document: Arc::new(stored.document) });
            version += 1;
        }
        if let Some(newest) = &newest {
            self.cached.insert(name.to_owned(), newest.clone()).await;
        }
        Ok(newest)
    }

    async fn get(&self, name: &str, version: u64) -> Result<Option<Stored<D>>, StorageError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = self.path(name, version)?;
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|e| store_error("read", &path, e))?,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(store_error("read", &path, error)),
        };
        let damaged = |source| StorageError::Catalog { path: path.to_string(), source };
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > D::FORMAT {
            return Err(StorageError::CatalogFormat { path: path.to_string(), format });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Puts a version that must not be there yet. False when a rival's is.
    async fn write(&self, name: &str, new: &Versioned<D>) -> Result<bool, StorageError> {
        let path = self.path(name, new.version)?;
        let stored = Stored { format: new.document.format(), token: Uuid::new_v4(), document: (*new.document).clone() };
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|e| StorageError::Internal { message: format!("a catalog document has no JSON form: {e}") })?;
        let Err(error) = self.store.put_opts(&path, bytes.into(), PutMode::Create.into()).await else {
            return Ok(true);
        };
        // The first answer may have been lost and this be the refusal of a repeated request, so look whose it is.
        match self.get(name, new.version).await {
            Ok(Some(found)) => Ok(found.token == stored.token),
            Ok(None) | Err(_) => Err(store_error("write", &path, error)),
        }
    }

    /// Deletes versions far behind `newest`, the oldest first, and stops where that fails: the order is what lets readers
    /// trust that a version which is there has not lost its successor.
    async fn forget_old(&self, name: &str, newest: u64) {
        if newest < VERSIONS_KEPT || !newest.is_multiple_of(VERSIONS_FORGOTTEN) {
            return;
        }
        let Ok(versions) = self.listed(name).await else { return };
        for version in versions.into_iter().filter(|version| *version + VERSIONS_KEPT <= newest) {
            let Ok(path) = self.path(name, version) else { return };
            match self.store.delete(&path).await {
                Ok(()) => {}
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    tracing::warn!(name, version, %error, "could not delete an old catalog document");
                    return;
                }
            }
        }
    }

    /// Versions that a listing shows, ascending.
    async fn listed(&self, name: &str) -> Result<Vec<u64>, StorageError> {
        let folder = self.folder_of(name)?;
        let objects = self.store.list(Some(&folder)).map_ok(|meta| meta.location).boxed();
        let paths: Vec<Path> = objects.try_collect().await.map_err(|e| store_error("list", &folder, e))?;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
        let mut versions: Vec<u64> = paths.iter().filter_map(number).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    async fn exists(&self, name: &str, version: u64) -> Result<bool, StorageError> {
        let path = self.path(name, version)?;
        match self.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(store_error("read", &path, error)),
        }
    }

    fn path(&self, name: &str, version: u64) -> Result<Path, StorageError> {
        Ok(self.folder_of(name)?.join(format!("{version:020}.json")))
    }

    /// The name as it is, not encoded: listings give it back.
    fn folder_of(&self, name: &str) -> Result<Path, StorageError> {
        Path::parse(format!("{}/{name}", self.folder))
            .map_err(|_| StorageError::SchemaNotFound { schema: name.to_owned() })
    }
}

/// A wait that grows with the attempts and differs between rivals.
pub(crate) fn backoff(attempt: usize) -> Duration {
    let most = (5_u64 << attempt.min(8)).min(BACKOFF_MS_MAX);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_millis(random % most + 1)
}

fn store_error(action: &'static str, path: &Path, source: object_store::Error) -> StorageError {
    StorageError::Store { action, path: path.to_string(), source }
}
