//! Checkpoints and the clean-up of old commits, in the background after a commit.
//!
//! Readers need neither: a checkpoint that fails or is lost costs time at the next load from nothing, no more, and no
//! statement fails for it. One runs per table at a time; `Lake::idle` waits for them.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use deltalake::{kernel::Protocol, table::config::TablePropertiesExt};

use crate::{
    Lake, Snapshot, StorageError,
    lake::{Home, times_told_from},
    log::{self, LogError, Shape},
    table::{log_error, table_store},
};

/// Commits between two checkpoints where the table does not say it.
const INTERVAL: u64 = 100;
/// How long a process that committed nothing any more stands in new checkpoints, at the longest.
const PROCESSES_KEPT: Duration = Duration::from_hours(7 * 24);

/// Starts a checkpoint when `version`, a commit onto `base`, is due for one (each 100th, or as the table's
/// `delta.checkpointInterval` says). Returns at once.
pub(crate) fn committed(home: &Home, base: &Arc<Snapshot>, version: u64) {
    if version == 0 || !version.is_multiple_of(interval(base)) {
        return;
    }
    let Some(work) = home.background.begin(base.location().as_str()) else { return };
    let (home, base) = (home.clone(), base.clone());
    tokio::spawn(async move {
        let _work = work;
        if let Err(error) = checkpoint(&home, &base, version).await {
            tracing::warn!(table = base.name(), version, %error, "could not write a checkpoint");
        }
    });
}

/// Whether the log of a table has grown long since its last checkpoint, whoever wrote it.
pub async fn checkpoint_due(lake: &Lake, table: &Snapshot) -> Result<bool, StorageError> {
    let store = table_store(lake.store_registry(), table.location())?;
    let hinted = log::last_checkpoint(store.as_ref()).await;
    let hinted = hinted.map_err(|error| log_error(table.name(), table.location(), error))?;
    Ok(table.version().saturating_sub(hinted.unwrap_or(0)) >= interval(table))
}

/// Writes the checkpoint of a table's version now, and cleans up its log. Does nothing while one is being written.
pub async fn write_checkpoint(lake: &Lake, table: &Snapshot) -> Result<(), StorageError> {
    let home = lake.home();
    let Some(_work) = home.background.begin(table.location().as_str()) else { return Ok(()) };
    checkpoint(&home, table, table.version()).await
}

fn interval(table: &Snapshot) -> u64 {
    let interval = table.properties().get("delta.checkpointInterval").and_then(|interval| interval.parse().ok());
    interval.filter(|interval| *interval > 0).unwrap_or(INTERVAL)
}

/// Writes the checkpoint of a version, then deletes what the log need not tell any more.
async fn checkpoint(home: &Home, base: &Snapshot, version: u64) -> Result<(), StorageError> {
    let table = home.snapshots.version(base.location(), version).await?;
    if table.id() != base.id() {
        return Ok(());
    }
    let store = table_store(&home.stores, table.location())?;
    let now = Utc::now();
    match log::write_checkpoint(&store, table.log(), shape(&table, now)).await {
        Ok(written) => tracing::debug!(table = table.name(), version, ?written, "a checkpoint"),
        // The table was dropped or made anew.
        Err(LogError::Replaced) => return Ok(()),
        Err(error) => return Err(log_error(table.name(), table.location(), error)),
    }
    let Some(cutoff) = cutoff(&table, now) else { return Ok(()) };
    let cleaned = log::clean_up(&store, cutoff, times_told_from(&table)).await;
    let files = cleaned.map_err(|error| log_error(table.name(), table.location(), error))?;
    tracing::debug!(table = table.name(), version, files, "the log was cleaned up");
    Ok(())
}

/// What the table's properties ask of its checkpoints.
fn shape(table: &Snapshot, now: DateTime<Utc>) -> Shape {
    let properties = table.log().metadata.parse_table_properties();
    let asks_v2 = table.properties().get("delta.checkpointPolicy").is_some_and(|policy| policy == "v2");
    let since =
        |kept: Duration| now.timestamp_millis().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let stats_parsed = properties.should_write_stats_as_struct();
    Shape {
        v2: asks_v2 && has_feature(table.protocol(), "v2Checkpoint"),
        // Nothing is forgotten because nobody asks for it.
        stats_as_text: properties.should_write_stats_as_json() || !stats_parsed,
        stats_parsed,
        removed_since_ms: since(properties.deleted_file_retention_duration()),
        transactions_since_ms: properties.set_transaction_retention_duration.map(since),
        processes_since_ms: since(PROCESSES_KEPT),
    }
}

/// Before this time nobody is promised a version; `None` when the log is not to be cleaned up.
fn cutoff(table: &Snapshot, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let properties = table.log().metadata.parse_table_properties();
    // Old commits of a protected table may only go under conditions that are not looked at here.
    if !properties.enable_expired_log_cleanup() || has_feature(table.protocol(), "checkpointProtection") {
        return None;
    }
    // VACUUM asks the log which files were needed within its own retention.
    let kept = properties.log_retention_duration().max(properties.deleted_file_retention_duration());
    now.checked_sub_signed(chrono::Duration::from_std(kept).ok()?)
}

fn has_feature(protocol: &Protocol, name: &str) -> bool {
    let features = protocol.writer_features().unwrap_or_default();
    features.iter().any(|feature| feature.to_string() == name)
}
