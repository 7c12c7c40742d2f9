//! Snapshots by table and version, loaded once for all who wait, refreshed by what was committed since.
//!
//! Freshness is exact: every call that asks for the newest version sends its own two HEAD requests before it trusts what
//! is cached: one for the commit after the cached one, one for the cached one itself, which tells a table that was
//! dropped and made anew. So a caller sees every commit that ended before it called, and nothing is ever stale by time.
//!
//! ```text
//! n+1 missing, n unchanged  -> the cached snapshot
//! n+1 there,   n unchanged  -> the new commit files are read; a LIST when there is more than one, never a checkpoint
//! n gone or another file    -> load from nothing
//! ```

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use moka::future::Cache;
use object_store::path::Path;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use url::Url;

use super::{
    Snapshot,
    library::Library,
    open::{log_error, table_store},
};
use crate::{
    CacheCounts, CacheUsage, StorageError,
    hot::HotCopies,
    log::{self, Commit, LogError, LogState, Stamp},
    near::Follower,
    store::Stores,
    warm::Blocks,
};

/// What the newest snapshots of all tables may take.
const NEWEST_KIB_MAX: u64 = 512 * 1024;
/// What older versions that were asked for may take.
const VERSIONS_KIB_MAX: u64 = 128 * 1024;
/// A snapshot with no files.
const SNAPSHOT_BYTES: usize = 16 * 1024;
/// How often one call starts over because others refreshed the table meanwhile or it was replaced under its hands.
const ATTEMPTS_MAX: usize = 64;

/// The newest known snapshot of one table, and the turn to refresh it.
#[derive(Debug, Default)]
struct Slot {
    current: RwLock<Option<Arc<Snapshot>>>,
    refresh: Mutex<()>,
}

impl Slot {
    fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.read().clone()
    }
}

/// What the store says about a cached snapshot.
enum Freshness {
    Current,
    Behind,
    Replaced,
}

/// What is kept near by of a lake.
pub(crate) type Near = (Option<Arc<HotCopies>>, Option<Arc<Blocks>>, Arc<Follower>);

/// The snapshots of one lake. Safe to call from many tasks.
#[derive(Debug)]
pub(crate) struct Snapshots {
    lake: Url,
    stores: Arc<Stores>,
    hot: Option<Arc<HotCopies>>,
    warm: Option<Arc<Blocks>>,
    follower: Arc<Follower>,
    newest: Cache<String, Arc<Slot>>,
    versions: Cache<(String, u64), Arc<Snapshot>>,
    /// Names of tables that were renamed, by location.
    names: RwLock<HashMap<String, String>>,
    counts: Arc<CacheCounts>,
}

impl Snapshots {
    pub(crate) fn new(lake: Url, stores: Arc<Stores>, (hot, warm, follower): Near) -> Self {
        let counts = Arc::new(CacheCounts::default());
        let (slots, snapshots) = (counts.clone(), counts.clone());
        let newest = Cache::builder()
            .max_capacity(NEWEST_KIB_MAX)
            .weigher(|_, slot: &Arc<Slot>| slot.current().map_or(1, |snapshot| weight(&snapshot)))
            .eviction_listener(move |_, _, cause| slots.removed(cause.was_evicted()))
            .build();
        let versions = Cache::builder()
            .max_capacity(VERSIONS_KIB_MAX)
            .weigher(|_, snapshot: &Arc<Snapshot>| weight(snapshot))
            .eviction_listener(move |_, _, cause| snapshots.removed(cause.was_evicted()))
            .build();
        Self { lake, stores, hot, warm, follower, newest, versions, names: RwLock::default(), counts }
    }

    /// Newest and older snapshots together.
    pub(crate) async fn usage(&self) -> CacheUsage {
        self.newest.run_pending_tasks().await;
        self.versions.run_pending_tasks().await;
        let usage = CacheUsage {
            name: "snapshots",
            place: "memory".to_owned(),
            entries: Some(self.newest.entry_count() + self.versions.entry_count()),
            bytes: (self.newest.weighted_size() + self.versions.weighted_size()) * 1024,
            bytes_max: (NEWEST_KIB_MAX + VERSIONS_KIB_MAX) * 1024,
            ..CacheUsage::default()
        };
        self.counts.fill(usage)
    }

    /// The newest version: every commit that ended before this call is in it.
    pub(crate) async fn newest(&self, location: &Url) -> Result<Arc<Snapshot>, StorageError> {
        let slot = self.newest.get_with(location.to_string(), async { Arc::new(Slot::default()) }).await;
        for _ in 0..ATTEMPTS_MAX {
            let known = slot.current();
            let freshness = match &known {
                Some(snapshot) => self.freshness(snapshot).await?,
                None => Freshness::Replaced,
            };
            if let (Some(snapshot), Freshness::Current) = (&known, &freshness)
                && self.is_called(snapshot)
            {
                self.counts.asked(true);
                return Ok(snapshot.clone());
            }
            let _turn = slot.refresh.lock().await;
            if !same(&slot.current(), &known) {
                // Someone refreshed while this call waited, maybe before the commit that it must see: ask again.
                continue;
            }
            self.counts.asked(false);
            let is_heir = matches!(freshness, Freshness::Behind);
            let refreshed = match (&known, freshness) {
                (Some(snapshot), Freshness::Behind) => self.advance(snapshot).await,
                (Some(snapshot), Freshness::Current) => {
                    let (log, library) = (snapshot.log().clone(), snapshot.library().clone());
                    self.snapshot(self.name(location), location, Ok(log), library)
                }
                _ => self.load(location, None).await,
            };
            match refreshed {
                Ok(Some(snapshot)) => {
                    self.is_newest(known.as_deref(), &snapshot, is_heir);
                    *slot.current.write() = Some(snapshot.clone());
                    // Weighs the slot again.
                    self.newest.insert(location.to_string(), slot.clone()).await;
                    return Ok(snapshot);
                }
                // Replaced while it was read.
                Ok(None) => *slot.current.write() = None,
                Err(error) => {
                    *slot.current.write() = None;
                    return Err(error);
                }
            }
        }
        Err(StorageError::Internal { message: format!("table at {location} changed {ATTEMPTS_MAX} times in one read") })
    }

    /// A snapshot is the newest from now on; `is_heir`: its log goes on from the one before.
    fn is_newest(&self, before: Option<&Snapshot>, snapshot: &Arc<Snapshot>, is_heir: bool) {
        if let Some(before) = before {
            self.follower.replaced(before, snapshot, is_heir);
        }
        self.follower.newest(snapshot);
    }

    /// The newest snapshot that is known, without a request: others may have committed since, or dropped the table.
    pub(crate) async fn known(&self, location: &Url) -> Option<Arc<Snapshot>> {
        self.newest.get(location.as_str()).await.and_then(|slot| slot.current())
    }

    /// Takes over what was just committed behind `base`: the versions from the one after it on, without a gap. The next
    /// call for the newest version reads nothing of them again. A snapshot that others brought on meanwhile stays.
    pub(crate) async fn committed(&self, base: &Arc<Snapshot>, commits: Vec<Commit>) {
        let Some(slot) = self.newest.get(base.location().as_str()).await else { return };
        let _turn = slot.refresh.lock().await;
        let Some(known) = slot.current() else { return };
        // Another snapshot than the one that was written on is brought on only when it is one of the same table.
        let same_table = match known.version().cmp(&base.version()) {
            Ordering::Less => false,
            Ordering::Equal => known.stamp() == base.stamp(),
            Ordering::Greater => {
                commits.iter().any(|commit| commit.version == known.version() && Some(&commit.stamp) == known.stamp())
            }
        };
        let news: Vec<Commit> = commits.into_iter().filter(|commit| commit.version > known.version()).collect();
        if !same_table || news.is_empty() {
            return;
        }
        let followed = log::follow(known.log(), news).await;
        let (name, location) = (known.name().to_owned(), known.location());
        match followed.map(|log| log.map(|log| self.snapshot(name, location, Ok(log), known.library().clone()))) {
            Ok(Some(Ok(Some(snapshot)))) => {
                self.is_newest(Some(&known), &snapshot, true);
                *slot.current.write() = Some(snapshot);
                self.newest.insert(location.to_string(), slot.clone()).await;
            }
            // The next call finds out by itself.
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a commit is read again"),
        }
    }

    /// One version. Cached as long as its commit file is the same.
    pub(crate) async fn version(&self, location: &Url, version: u64) -> Result<Arc<Snapshot>, StorageError> {
        let slot = self.newest.get(location.as_str()).await;
        let newest = slot.and_then(|slot| slot.current()).filter(|snapshot| snapshot.version() == version);
        let key = (location.to_string(), version);
        let cached = match newest {
            Some(snapshot) => Some(snapshot),
            None => self.versions.get(&key).await,
        };
        if let Some(snapshot) = cached {
            let now = self.stamp(location, version).await?;
            if now.is_some() && now.as_ref() == snapshot.stamp() && self.is_called(&snapshot) {
                self.counts.asked(true);
                return Ok(snapshot);
            }
            self.versions.invalidate(&key).await;
        }
        self.counts.asked(false);
        let load = async {
            for _ in 0..ATTEMPTS_MAX {
                if let Some(snapshot) = self.load(location, Some(version)).await? {
                    return Ok(snapshot);
                }
            }
            Err(StorageError::Internal { message: format!("version {version} at {location} changes while it is read") })
        };
        // Waiters share the loaded snapshot; a failed load is tried by each, so that each has its own error.
        let entry = self.versions.entry(key).or_optionally_insert_with(async { load.await.ok() }).await;
        match entry {
            Some(entry) => Ok(entry.into_value()),
            None => self
                .load(location, Some(version))
                .await?
                .ok_or_else(|| StorageError::VersionNotFound { table: self.name(location), version }),
        }
    }

    /// Gives the table at a location another name than its folder's, for messages and for all that is told of it.
    pub(crate) fn call(&self, location: &Url, name: String) {
        if self.name(location) != name {
            self.names.write().insert(location.to_string(), name);
        }
    }

    /// Whether the snapshot has the name that its table has now.
    fn is_called(&self, snapshot: &Snapshot) -> bool {
        self.names.read().get(snapshot.location().as_str()).is_none_or(|name| name == snapshot.name())
    }

    /// `schema.table` for a table in the lake, the location for any other.
    pub(crate) fn name(&self, location: &Url) -> String {
        if let Some(name) = self.names.read().get(location.as_str()) {
            return name.clone();
        }
        let inside = location.as_str().strip_prefix(self.lake.as_str()).unwrap_or_default();
        let parts: Vec<_> = inside.trim_end_matches('/').split('/').collect();
        let decoded = Path::from_url_path(inside).unwrap_or_default();
        let names: Vec<_> = decoded.parts().collect();
        match (parts.len(), names.as_slice()) {
            (2, [schema, table]) => format!("{}.{}", schema.as_ref(), table.as_ref()),
            _ => location.to_string(),
        }
    }

    async fn freshness(&self, snapshot: &Snapshot) -> Result<Freshness, StorageError> {
        // Without its commit file (the log was cleaned up behind a checkpoint) nothing tells this table from another.
        let Some(known) = snapshot.stamp() else {
            return Ok(Freshness::Replaced);
        };
        let location = snapshot.location();
        let (next, this) =
            futures::try_join!(self.stamp(location, snapshot.version() + 1), self.stamp(location, snapshot.version()))?;
        Ok(match (next, this) {
            (_, this) if this.as_ref() != Some(known) => Freshness::Replaced,
            (Some(_), _) => Freshness::Behind,
            (None, _) => Freshness::Current,
        })
    }

    async fn stamp(&self, location: &Url, version: u64) -> Result<Option<Stamp>, StorageError> {
        let store = table_store(&self.stores, location)?;
        let read = Stamp::read(&*store, version).await;
        read.map_err(|source| StorageError::Store { action: "look for a commit of", path: self.name(location), source })
    }

    /// Loads from nothing; `None` when the table was replaced meanwhile.
    async fn load(&self, location: &Url, version: Option<u64>) -> Result<Option<Arc<Snapshot>>, StorageError> {
        let store = table_store(&self.stores, location)?;
        let name = self.name(location);
        let library = Library::new(name.clone(), location.clone(), self.stores.clone());
        self.snapshot(name, location, log::load(&store, version).await, Arc::new(library))
    }

    /// Brings a snapshot to the newest version by reading what was committed since.
    async fn advance(&self, snapshot: &Snapshot) -> Result<Option<Arc<Snapshot>>, StorageError> {
        let location = snapshot.location();
        let store = table_store(&self.stores, location)?;
        let log = log::advance(&store, snapshot.log()).await;
        self.snapshot(self.name(location), location, log, snapshot.library().clone())
    }

    fn snapshot(
        &self,
        name: String,
        location: &Url,
        log: Result<LogState, LogError>,
        library: Arc<Library>,
    ) -> Result<Option<Arc<Snapshot>>, StorageError> {
        match log {
            Ok(log) => {
                let snapshot = Snapshot::new(name, location.clone(), log, library);
                Ok(Some(Arc::new(snapshot.with_hot(self.hot.clone()).with_warm(self.warm.clone()))))
            }
            Err(LogError::Replaced) => Ok(None),
            Err(error) => Err(log_error(&name, location, error)),
        }
    }
}

fn weight(snapshot: &Snapshot) -> u32 {
    u32::try_from((SNAPSHOT_BYTES + snapshot.memory_bytes()) / 1024).unwrap_or(u32::MAX)
}

fn same(left: &Option<Arc<Snapshot>>, right: &Option<Arc<Snapshot>>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right),
        (None, None) => true,
        _ => false,
    }
}
