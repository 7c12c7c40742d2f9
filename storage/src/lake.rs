//! A lake: one root URL, the schemas and tables found under it, and the caches that make finding them cheap.
//!
//! `<lake>/<schema>/<table>/_delta_log` is a table because it lies there; nothing is registered. What a folder cannot say
//! is in the schema's catalog document ([`crate::catalog`]). Finding is in `discover.rs`, from a name to its table in
//! `place.rs`, changing schemas in `schema.rs`, older versions in `versions.rs`.

mod background;
mod begun;
mod beside;
mod clones;
mod discover;
mod exports;
mod holds;
mod marts;
mod name;
mod place;
mod schema;
mod users;
mod versions;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt;
use parking_lot::Mutex;
use url::Url;

use background::Background;
pub use begun::Begun;
pub(crate) use holds::{Held, Use, is_being_cloned};
pub use name::check_name;
pub use versions::VersionInfo;
pub(crate) use versions::{time_text, times_told_from};

use crate::{
    CacheUsage, CommitCounts, LakeUsage, Snapshot, StorageError, StorageOptions,
    catalog::{CatalogDocument, Documents, ExportsDocument, MartDocument, UsersDocument},
    hot::{CopySize, HotCopies},
    near::Follower,
    store::{StoreLayer, Stores, folder_url, object_path},
    table::{FooterCache, Snapshots, copy_keys, originals},
    warm::Blocks,
    write::Groups,
};

/// The schema in which unqualified names live; always there.
pub(crate) const MAIN_SCHEMA: &str = "main";

/// The parts of a lake that a commit works with.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) stores: Arc<Stores>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) background: Arc<Background>,
    pub(crate) commits: Arc<CommitCounts>,
}

/// An open lake. Cheap to share (`Arc`); every method may be called from many tasks at once.
#[derive(Debug)]
pub struct Lake {
    root: Url,
    stores: Arc<Stores>,
    snapshots: Arc<Snapshots>,
    hot: Option<Arc<HotCopies>>,
    warm: Option<Arc<Blocks>>,
    follower: Arc<Follower>,
    documents: Documents<CatalogDocument>,
    users: Documents<UsersDocument>,
    marts: Documents<MartDocument>,
    exports: Documents<ExportsDocument>,
    footers: Arc<FooterCache>,
    groups: Arc<Groups>,
    background: Arc<Background>,
    commits: Arc<CommitCounts>,
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Lake {
    /// Opens a folder (`./lake`, `file:///lake`), a bucket (`s3://bucket/prefix`) or a fresh in-memory lake (`memory://`).
    /// A folder must exist; see [`Lake::create`].
    pub async fn open(url: &str, options: &StorageOptions) -> Result<Self, StorageError> {
        Self::open_layered(url, options, None).await
    }

    /// Like [`Lake::open`], but makes the folder when it is missing.
    pub async fn create(url: &str, options: &StorageOptions) -> Result<Self, StorageError> {
        let root = folder_url(url)?;
        if let ("file", Ok(path)) = (root.scheme(), root.to_file_path()) {
            std::fs::create_dir_all(&path).map_err(|source| open_error(&root, io_error(&path, source)))?;
        }
        Self::open(url, options).await
    }

    /// Like [`Lake::open`], with a wrapper around every store that the lake opens.
    pub async fn open_layered(
        url: &str,
        options: &StorageOptions,
        layer: Option<StoreLayer>,
    ) -> Result<Self, StorageError> {
        let root = folder_url(url)?;
        if let ("file", Ok(path)) = (root.scheme(), root.to_file_path()) {
            // The trailing slash makes it an error that it is a file.
            std::fs::read_dir(&path).map_err(|source| open_error(&root, io_error(&path, source)))?;
        }
        let stores = Arc::new(Stores::new(options.clone(), layer));
        let store = stores.get(&root)?;
        // One listing shows whether the place is there and may be read.
        let prefix = object_path(&root)?;
        if let Some(Err(source)) = store.list(Some(&prefix)).next().await {
            return Err(open_error(&root, source));
        }
        let hot = options.hot.as_ref().filter(|_| root.scheme() != "memory").and_then(HotCopies::open);
        let warm = match options.warm.as_ref().filter(|_| root.scheme() != "file") {
            Some(options) => Blocks::open(options).await,
            None => None,
        };
        Self::of_parts(root, stores, (hot, warm), options.footer_bytes_max)
    }

    /// A lake with nothing read of it yet.
    fn of_parts(
        root: Url,
        stores: Arc<Stores>,
        (hot, warm): (Option<Arc<HotCopies>>, Option<Arc<Blocks>>),
        footer_bytes_max: u64,
    ) -> Result<Self, StorageError> {
        let follower = Follower::new(hot.clone(), warm.clone(), stores.clone());
        let near = (hot.clone(), warm.clone(), follower.clone());
        Ok(Self {
            snapshots: Arc::new(Snapshots::new(root.clone(), stores.clone(), near)),
            follower,
            groups: Arc::default(),
            background: Arc::default(),
            commits: Arc::default(),
            hot,
            warm,
            documents: Documents::new(&root, &stores)?,
            users: Documents::new(&root, &stores)?,
            marts: Documents::new(&root, &stores)?,
            exports: Documents::new(&root, &stores)?,
            footers: FooterCache::new(footer_bytes_max),
            root,
            stores,
            locks: Mutex::default(),
        })
    }

    /// The root, always with a trailing slash.
    pub fn url(&self) -> &Url {
        &self.root
    }

    /// Every store that this lake uses (its own, external locations), opened on first use with the lake's options.
    /// The engine puts it into DataFusion's runtime so that scans find their store.
    pub fn stores(&self) -> Arc<dyn ObjectStoreRegistry> {
        self.stores.clone()
    }

    /// Footers of Parquet files: the engine gives them to DataFusion's runtime, in which scans look for them.
    pub fn footers(&self) -> Arc<FooterCache> {
        self.footers.clone()
    }

    /// What the caches of this lake hold.
    pub async fn cache_usages(&self) -> Vec<CacheUsage> {
        let memory = [self.snapshots.usage().await, self.footers.usage()];
        let near = self.hot.iter().map(|hot| hot.usage()).chain(self.warm.iter().map(|warm| warm.usage()));
        memory.into_iter().chain(near).collect()
    }

    /// What it did so far.
    pub fn usage(&self) -> LakeUsage {
        LakeUsage { commits: self.commits.usage(), store: self.stores.usage() }
    }

    /// A Delta table anywhere, by location; newest version when `version` is `None`.
    pub async fn table_at(&self, location: &Url, version: Option<u64>) -> Result<Arc<Snapshot>, StorageError> {
        let location = folder_url(location.as_str())?;
        match version {
            Some(version) => self.at_version(&location, version).await,
            None => self.snapshots.newest(&location).await,
        }
    }

    /// `<lake>/<schema>/<folder>/`. A table that was not renamed lies in the folder of its name.
    pub fn table_url(&self, schema: &str, folder: &str) -> Url {
        self.folder(&[schema, folder])
    }

    /// The schema's document (an empty one when there is none yet). `SchemaNotFound` when the schema does not exist.
    pub async fn catalog(&self, schema: &str) -> Result<Arc<CatalogDocument>, StorageError> {
        let found = self.documents.read(schema).await?.map(|found| found.document);
        self.require_schema(schema, found.as_deref()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Changes the schema's document: `change` runs on the newest one, again after a lost race, a bounded number of times.
    pub async fn change_catalog(
        &self,
        schema: &str,
        change: &(dyn Fn(&mut CatalogDocument) -> Result<(), StorageError> + Send + Sync),
    ) -> Result<Arc<CatalogDocument>, StorageError> {
        self.documents
            .change(schema, |before| async move {
                self.require_schema(schema, before.as_deref()).await?;
                let mut document = before.as_deref().cloned().unwrap_or_default();
                // What another engine wrote into a dropped schema brings it back.
                document.dropped = false;
                change(&mut document)?;
                Ok(document)
            })
            .await
    }

    /// Makes hot copies of all files of a table, now, and waits for them. From then on its files get copies, and keep them.
    /// Does nothing for a lake without hot copies.
    pub async fn pin(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let Some(hot) = &self.hot else { return Ok(()) };
        hot.pin(snapshot.id());
        let table = || snapshot.name().to_owned();
        let originals = originals(snapshot, self.stores.as_ref())
            .map_err(|source| StorageError::Query { table: table(), source: Box::new(source) })?;
        hot.make_all(originals).await;
        Ok(())
    }

    /// The table's copies make room for others again.
    pub fn unpin(&self, snapshot: &Snapshot) {
        if let Some(hot) = &self.hot {
            hot.unpin(snapshot.id());
        }
    }

    /// The hot copy of each file of a table that has one, by the file's position in the index; empty for a lake without any.
    pub(crate) fn hot_copies_of(&self, snapshot: &Snapshot) -> Result<Vec<Option<CopySize>>, StorageError> {
        let Some(hot) = &self.hot else { return Ok(Vec::new()) };
        let keys = copy_keys(snapshot)
            .map_err(|source| StorageError::Query { table: snapshot.name().to_owned(), source: Box::new(source) })?;
        Ok(hot.sizes(&keys))
    }

    /// Waits until no hot copy is left to make: after that, what was read twice, or is pinned, has its copy.
    pub async fn hot_idle(&self) {
        self.follower.idle().await;
        if let Some(hot) = &self.hot {
            hot.idle().await;
        }
    }

    /// Waits until nothing is done any more behind statements that have ended: checkpoints are written, old commits gone,
    /// blocks that are kept on the disk.
    pub async fn idle(&self) {
        self.background.idle().await;
        if let Some(warm) = &self.warm {
            warm.idle().await;
        }
    }

    pub(crate) fn hot(&self) -> Option<&Arc<HotCopies>> {
        self.hot.as_ref()
    }

    pub(crate) fn warm(&self) -> Option<&Arc<Blocks>> {
        self.warm.as_ref()
    }

    pub(crate) fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    pub(crate) fn store_registry(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// What commits need of the lake, to keep while one runs on its own.
    pub(crate) fn home(&self) -> Home {
        Home {
            stores: self.stores.clone(),
            snapshots: self.snapshots.clone(),
            background: self.background.clone(),
            commits: self.commits.clone(),
        }
    }

    /// The storage class of cold files at a place; none where there are no classes.
    pub fn cold_storage_class(&self, location: &Url) -> Option<&str> {
        matches!(location.scheme(), "s3" | "s3a").then(|| self.stores.cold_class())
    }

    pub(crate) fn commits(&self) -> &CommitCounts {
        &self.commits
    }

    /// Appends that wait to be committed.
    pub(crate) fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// One CREATE or DROP of a table at a time in this process.
    pub(crate) fn table_lock(&self, location: &Url) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(location.as_str()).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(location.to_string(), Arc::downgrade(&lock));
        lock
    }

    /// A folder under the root; names are percent-encoded.
    fn folder(&self, names: &[&str]) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(names).push("");
        }
        url
    }
}

/// Whether there is no table, or one whose log is broken: an answer about the table, not a failure to get one.
pub(crate) fn is_unreadable(error: &StorageError) -> bool {
    use StorageError::{ReadTable, TableNotFound, VersionCleanedUp, VersionNotFound, VersionOutside};
    matches!(
        error,
        ReadTable { .. }
            | TableNotFound { .. }
            | VersionNotFound { .. }
            | VersionOutside { .. }
            | VersionCleanedUp { .. }
    )
}

fn open_error(root: &Url, source: object_store::Error) -> StorageError {
    StorageError::OpenLake { url: root.to_string(), source }
}

fn io_error(path: &std::path::Path, source: std::io::Error) -> object_store::Error {
    let path = path.display().to_string();
    match source.kind() {
        std::io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: Box::new(source) },
        std::io::ErrorKind::PermissionDenied => {
            object_store::Error::PermissionDenied { path, source: Box::new(source) }
        }
        _ => object_store::Error::Generic { store: "folder", source: Box::new(source) },
    }
}
