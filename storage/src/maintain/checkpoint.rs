//! Checkpoints and the clean-up of old commits, in the background after a commit.
//!
//! Readers need neither: a checkpoint that fails or is lost costs time at the next load from nothing, no more. One runs
//! per table at a time.

use std::{collections::HashSet, sync::LazyLock};

use deltalake::{DeltaTable, DeltaTableError, checkpoints, table::config::TablePropertiesExt};
use parking_lot::Mutex;

/// Tables whose checkpoint is being written.
static RUNNING: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Starts a checkpoint when `version` is due for one (each 100th, or as the table's `delta.checkpointInterval` says).
/// `table` is loaded at `version`. Returns at once.
pub(crate) fn after_commit(table: DeltaTable, version: u64) {
    let Some(state) = table.state.as_ref() else { return };
    let interval = state.table_config().checkpoint_interval().get();
    let location = table.table_url().to_string();
    if version == 0 || !version.is_multiple_of(interval) || !RUNNING.lock().insert(location.clone()) {
        return;
    }
    tokio::spawn(async move {
        if let Err(error) = checkpoint(&table).await {
            tracing::warn!(%location, version, %error, "could not write a checkpoint");
        }
        RUNNING.lock().remove(&location);
    });
}

async fn checkpoint(table: &DeltaTable) -> Result<(), DeltaTableError> {
    checkpoints::create_checkpoint(table, None).await?;
    if table.snapshot()?.table_config().enable_expired_log_cleanup() {
        checkpoints::cleanup_metadata(table, None).await?;
    }
    Ok(())
}
