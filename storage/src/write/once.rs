//! Once for each key: what a client that does not know whether its statement was carried out may send again.
//!
//! A commit for a key is an application transaction, which Delta keeps in the log and in its checkpoints. Its version is
//! that of the commit, where the counts are found that the statement told its client.

use std::sync::Arc;

use object_store::ObjectStore;

use super::{CommitInfo, Committed};
use crate::{
    Lake, Snapshot, StorageError,
    log::{Commit, RawCommit},
    table::{log_error, table_store},
};

/// The program's id under which a key stands in the log.
pub(super) fn app_id(key: &str) -> String {
    format!("boathouse-key:{key}")
}

/// What the statement that asks did to the table before, if it was carried out: asked before anything is read for it.
pub(super) async fn done_before(
    lake: &Lake,
    table: &Snapshot,
    info: &CommitInfo,
) -> Result<Option<Committed>, StorageError> {
    let Some(key) = &info.idempotency_key else { return Ok(None) };
    carried_out(&table_store(lake.store_registry(), table.location())?, table, key).await
}

/// What the statement with this key did to the table, if it was carried out. `KeyForgotten` when its commit was cleaned up.
pub(super) async fn carried_out(
    store: &Arc<dyn ObjectStore>,
    table: &Snapshot,
    key: &str,
) -> Result<Option<Committed>, StorageError> {
    let Some(version) = table.log().transactions.get(&app_id(key)) else { return Ok(None) };
    let forgotten = || StorageError::KeyForgotten { table: table.name().to_owned(), key: key.to_owned() };
    let failed = |error| log_error(table.name(), table.location(), error);
    let version = u64::try_from(*version).map_err(|_| forgotten())?;
    let commit = match RawCommit::read(store.as_ref(), version).await.map_err(failed)? {
        Some(raw) => raw.parse().await.map_err(failed)?,
        None => return Err(forgotten()),
    };
    answer(&commit).map(Some).ok_or_else(forgotten)
}

/// What a commit told its client.
pub(super) fn answer(commit: &Commit) -> Option<Committed> {
    let rows = commit.provenance()?.rows()?;
    Some(Committed {
        version: commit.version,
        rows_inserted: rows.inserted,
        rows_updated: rows.updated,
        rows_deleted: rows.deleted,
    })
}
