//! Checkpoints and the clean-up of old commits, in the background after a commit.
//!
//! Readers need neither: a checkpoint that fails or is lost costs time at the next load from nothing, no more. One runs
//! per table at a time.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use deltalake::{
    DeltaTable, DeltaTableError, checkpoints,
    table::{config::TablePropertiesExt, state::DeltaTableState},
};
use parking_lot::Mutex;

use crate::{Snapshot, StorageError, store::Stores, table::log_store};

/// Commits between two checkpoints where the table does not say it.
const INTERVAL: u64 = 100;

/// Tables whose checkpoint is being written.
static RUNNING: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Starts a checkpoint when `version`, a commit onto `base`, is due for one (each 100th, or as the table's
/// `delta.checkpointInterval` says). Returns at once; the library loads what it needs in the background.
pub(crate) fn committed(stores: &Arc<Stores>, base: &Arc<Snapshot>, version: u64) {
    let interval = base.properties().get("delta.checkpointInterval").and_then(|interval| interval.parse().ok());
    let interval: u64 = interval.filter(|interval| *interval > 0).unwrap_or(INTERVAL);
    let location = base.location().to_string();
    if version == 0 || !version.is_multiple_of(interval) || !RUNNING.lock().insert(location.clone()) {
        return;
    }
    let (stores, base) = (stores.clone(), base.clone());
    tokio::spawn(async move {
        match load(&stores, &base, version).await {
            Ok(table) => {
                if let Err(error) = checkpoint(&table).await {
                    tracing::warn!(%location, version, %error, "could not write a checkpoint");
                }
            }
            Err(error) => tracing::warn!(%location, version, %error, "could not load the table for a checkpoint"),
        }
        RUNNING.lock().remove(&location);
    });
}

async fn load(stores: &Stores, base: &Snapshot, version: u64) -> Result<DeltaTable, StorageError> {
    let state = base.library().at(version, base.id()).await?;
    let mut table = DeltaTable::new(log_store(stores, base.location())?);
    table.state = Some(DeltaTableState::new(state));
    Ok(table)
}

async fn checkpoint(table: &DeltaTable) -> Result<(), DeltaTableError> {
    checkpoints::create_checkpoint(table, None).await?;
    let snapshot = table.snapshot()?;
    // Old commits of such a table may only go under conditions that are not looked at here.
    let features = snapshot.protocol().writer_features().unwrap_or_default();
    let protected = features.iter().any(|feature| feature.to_string() == "checkpointProtection");
    if snapshot.table_config().enable_expired_log_cleanup() && !protected {
        checkpoints::cleanup_metadata(table, None).await?;
    }
    Ok(())
}
