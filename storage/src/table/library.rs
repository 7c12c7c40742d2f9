//! What the snapshots of one table share: the Delta library's own view of it, and decoded deletion vectors.
//!
//! The library's view is for writes. Loading it costs what opening a table costs the library, so it is loaded when it is
//! asked for and never by a query. It is kept beside the snapshots of its table and brought on by what was committed since; a write leaves
//! its own result here, so that the next one loads nothing.

use std::sync::Arc;

use deltalake::{DeltaTable, kernel::EagerSnapshot, table::state::DeltaTableState};
use tokio::sync::Mutex;
use url::Url;

use super::{
    deletion::SelectionCache,
    open::{guarded, log_store, read_error},
};
use crate::{StorageError, store::Stores};

/// The newest version of one table that was loaded through the library. Safe to use from many tasks.
#[derive(Debug)]
pub(crate) struct Library {
    name: String,
    location: Url,
    stores: Arc<Stores>,
    newest: Mutex<Option<EagerSnapshot>>,
    selections: SelectionCache,
}

impl Library {
    pub(crate) fn new(name: String, location: Url, stores: Arc<Stores>) -> Self {
        Self { name, location, stores, newest: Mutex::default(), selections: SelectionCache::default() }
    }

    /// The rows that deletion vectors leave, of those that were read.
    pub(super) fn selections(&self) -> &SelectionCache {
        &self.selections
    }

    /// The table with this metadata id at one version.
    pub(crate) async fn at(&self, version: u64, id: &str) -> Result<EagerSnapshot, StorageError> {
        let mut newest = self.newest.lock().await;
        let known = newest.as_ref().filter(|known| known.version() <= version && known.metadata().id() == id);
        let mut table = DeltaTable::new(log_store(&self.stores, &self.location)?);
        table.state = known.cloned().map(DeltaTableState::new);
        if known.is_none_or(|known| known.version() < version) {
            let loaded = guarded(table.update_incremental(Some(version))).await;
            loaded.map_err(|error| read_error(&self.name, &self.location, Some(version), error))?;
        }
        let loaded = table.snapshot().map_err(|error| read_error(&self.name, &self.location, Some(version), error))?;
        let loaded = loaded.snapshot().clone();
        if loaded.version() != version || loaded.metadata().id() != id {
            return Err(StorageError::TableNotFound { table: self.name.clone() });
        }
        if newest.as_ref().is_none_or(|known| known.version() < version || known.metadata().id() != id) {
            *newest = Some(loaded.clone());
        }
        Ok(loaded)
    }

    /// How many files the library holds in memory just now.
    pub(crate) fn files(&self) -> usize {
        let held = self.newest.try_lock().ok();
        held.and_then(|newest| newest.as_ref().map(|newest| newest.log_data().num_files())).unwrap_or(0)
    }
}
