//! The versioned documents: read with exact freshness, replaced by put-if-absent of the next version.
//!
//! A cached document is trusted after two HEAD requests: the next version is not there, and this one still is. Old
//! versions are deleted from the oldest on, so a reader whose version is gone knows that it is far behind and lists the
//! folder; a listing alone is never trusted to show the newest, the reader walks on from it version by version.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use moka::future::Cache;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::CatalogDocument;
use crate::{
    StorageError,
    store::{Stores, is_not_found, object_path},
};

/// Where the documents lie in the lake.
const FOLDER: [&str; 2] = ["_boathouse", "catalog"];
/// The newest format that is read. A document is written in the oldest one that has all that it says.
const FORMAT: u32 = 3;
const SCHEMAS_CACHED_MAX: u64 = 10_000;
/// Older versions than this many are deleted.
const VERSIONS_KEPT: u64 = 16;
/// How often a change is tried when others write the same document.
const ATTEMPTS_MAX: usize = 50;
const BACKOFF_MS_MAX: u64 = 200;

/// A document and its version.
#[derive(Debug, Clone)]
pub(crate) struct Versioned {
    version: u64,
    pub(crate) document: Arc<CatalogDocument>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// Tells this write from a rival's when the store's answer was lost.
    token: Uuid,
    #[serde(flatten)]
    document: CatalogDocument,
}

/// The documents of one lake. Safe to call from many tasks.
#[derive(Debug)]
pub(crate) struct Documents {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    cached: Cache<String, Versioned>,
}

impl Documents {
    pub(crate) fn new(lake: &Url, stores: &Stores) -> Result<Self, StorageError> {
        let mut folder = object_path(lake)?;
        for part in FOLDER {
            folder = folder.join(part);
        }
        Ok(Self { store: stores.get(lake)?, folder, cached: Cache::new(SCHEMAS_CACHED_MAX) })
    }

    /// Schemas that have a document, dropped ones too.
    pub(crate) async fn schemas(&self) -> Result<Vec<String>, StorageError> {
        let listed = self.store.list_with_delimiter(Some(&self.folder)).await;
        let listed = listed.map_err(|e| store_error("list", &self.folder, e))?;
        Ok(listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect())
    }

    /// The document of a schema as it was last seen.
    pub(crate) async fn last_seen(&self, schema: &str) -> Option<Arc<CatalogDocument>> {
        self.cached.get(schema).await.map(|known| known.document)
    }

    /// The newest document of a schema, `None` when there never was one. Sees every change that ended before the call.
    pub(crate) async fn read(&self, schema: &str) -> Result<Option<Versioned>, StorageError> {
        if let Some(known) = self.cached.get(schema).await {
            let (next, this) =
                futures::try_join!(self.exists(schema, known.version + 1), self.exists(schema, known.version))?;
            match (next, this) {
                (false, true) => return Ok(Some(known)),
                (true, true) => return self.walk(schema, known.version + 1).await,
                (_, false) => self.cached.invalidate(schema).await,
            }
        }
        match self.listed(schema).await?.last() {
            Some(version) => self.walk(schema, *version).await,
            None => Ok(None),
        }
    }

    /// Changes the newest document, again after a lost race. `change` gets `None` while there is no document and returns
    /// the new one; an equal one is not written.
    pub(crate) async fn change<F>(
        &self,
        schema: &str,
        mut change: impl FnMut(Option<Arc<CatalogDocument>>) -> F,
    ) -> Result<Arc<CatalogDocument>, StorageError>
    where
        F: Future<Output = Result<CatalogDocument, StorageError>>,
    {
        for attempt in 0..ATTEMPTS_MAX {
            let known = self.read(schema).await?;
            let before = known.as_ref().map(|known| known.document.clone());
            let document = change(before.clone()).await?;
            if let Some(before) = before
                && *before == document
            {
                return Ok(before);
            }
            let version = known.map_or(0, |known| known.version + 1);
            let written = Versioned { version, document: Arc::new(document) };
            if self.write(schema, &written).await? {
                self.cached.insert(schema.to_owned(), written.clone()).await;
                self.forget_old(schema, version).await;
                return Ok(written.document);
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(StorageError::CatalogConflict { schema: schema.to_owned(), attempts: ATTEMPTS_MAX })
    }

    /// Reads `version` and those after it, up to the last there is.
    async fn walk(&self, schema: &str, mut version: u64) -> Result<Option<Versioned>, StorageError> {
        let mut newest = None;
        while let Some(stored) = self.get(schema, version).await? {
            newest = Some(Versioned { version, document: Arc::new(stored.document) });
            version += 1;
        }
        if let Some(newest) = &newest {
            self.cached.insert(schema.to_owned(), newest.clone()).await;
        }
        Ok(newest)
    }

    async fn get(&self, schema: &str, version: u64) -> Result<Option<Stored>, StorageError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = self.path(schema, version)?;
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|e| store_error("read", &path, e))?,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(store_error("read", &path, error)),
        };
        let damaged = |source| StorageError::Catalog { path: path.to_string(), source };
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(StorageError::CatalogFormat { path: path.to_string(), format });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Puts a version that must not be there yet. False when a rival's is.
    async fn write(&self, schema: &str, new: &Versioned) -> Result<bool, StorageError> {
        let path = self.path(schema, new.version)?;
        let stored =
            Stored { format: format_of(&new.document), token: Uuid::new_v4(), document: (*new.document).clone() };
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|e| StorageError::Internal { message: format!("a catalog document has no JSON form: {e}") })?;
        let Err(error) = self.store.put_opts(&path, bytes.into(), PutMode::Create.into()).await else {
            return Ok(true);
        };
        // The first answer may have been lost and this be the refusal of a repeated request, so look whose it is.
        match self.get(schema, new.version).await {
            Ok(Some(found)) => Ok(found.token == stored.token),
            Ok(None) | Err(_) => Err(store_error("write", &path, error)),
        }
    }

    /// Deletes versions far behind `newest`, the oldest first, and stops where that fails: the order is what lets readers
    /// trust that a version which is there has not lost its successor.
    async fn forget_old(&self, schema: &str, newest: u64) {
        if newest < VERSIONS_KEPT {
            return;
        }
        let Ok(versions) = self.listed(schema).await else { return };
        for version in versions.into_iter().filter(|version| *version + VERSIONS_KEPT <= newest) {
            let Ok(path) = self.path(schema, version) else { return };
            match self.store.delete(&path).await {
                Ok(()) => {}
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    tracing::warn!(schema, version, %error, "could not delete an old catalog document");
                    return;
                }
            }
        }
    }

    /// Versions that a listing shows, ascending.
    async fn listed(&self, schema: &str) -> Result<Vec<u64>, StorageError> {
        let folder = self.schema_folder(schema)?;
        let objects = self.store.list(Some(&folder)).map_ok(|meta| meta.location).boxed();
        let paths: Vec<Path> = objects.try_collect().await.map_err(|e| store_error("list", &folder, e))?;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
        let mut versions: Vec<u64> = paths.iter().filter_map(number).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    async fn exists(&self, schema: &str, version: u64) -> Result<bool, StorageError> {
        let path = self.path(schema, version)?;
        match self.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(store_error("read", &path, error)),
        }
    }

    fn path(&self, schema: &str, version: u64) -> Result<Path, StorageError> {
        Ok(self.schema_folder(schema)?.join(format!("{version:020}.json")))
    }

    /// The name as it is, not encoded: listings give it back.
    fn schema_folder(&self, schema: &str) -> Result<Path, StorageError> {
        Path::parse(format!("{}/{schema}", self.folder))
            .map_err(|_| StorageError::SchemaNotFound { schema: schema.to_owned() })
    }
}

/// Renamed tables came with the second format: who does not know them would see the tables under their old names. Holds
/// came with the third: who does not know them would delete files that another statement counts on.
fn format_of(document: &CatalogDocument) -> u32 {
    match document {
        CatalogDocument { holds, .. } if !holds.is_empty() => 3,
        CatalogDocument { renamed, claims, .. } if !renamed.is_empty() || !claims.is_empty() => 2,
        _ => 1,
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
