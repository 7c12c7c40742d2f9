//! Once for each key: what a client that does not know whether its statement was carried out may send again.
//!
//! A commit for a key is an application transaction, which Delta keeps in the log and in its checkpoints. Its version is
//! that of the commit, where the counts are found that the statement told its client. A commit without one is a transaction
//! of the process that made it: the log then tells, by itself, up to which version each writer got through.

use std::sync::{Arc, LazyLock};

use object_store::ObjectStore;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CommitInfo, Committed, transaction::now_ms};
use crate::{
    Lake, Snapshot, StorageError,
    log::{Commit, PROCESS, RawCommit},
    table::{log_error, table_store},
};

/// The application transaction of a commit: of its statement's key, else of this process. In both the version is the
/// table's, which grows from commit to commit.
pub(super) fn action(info: &CommitInfo, version: u64) -> Value {
    static PROCESS_ID: LazyLock<String> = LazyLock::new(|| format!("{PROCESS}{}", Uuid::new_v4()));
    let program = info.idempotency_key.as_deref().map_or_else(|| PROCESS_ID.clone(), app_id);
    json!({ "txn": { "appId": program, "version": version, "lastUpdated": now_ms() } })
}

/// The program's id under which a key stands in the log.
fn app_id(key: &str) -> String {
    format!("boathouse-key:{key}")
}

/// What the statement that asks did to the table before, if it was carried out: asked before anything is read for it.
/// `KeyForgotten` when its commit was cleaned up, `KeyReused` when it was another statement.
pub async fn done_before(lake: &Lake, table: &Snapshot, info: &CommitInfo) -> Result<Option<Committed>, StorageError> {
    carried_out(&table_store(lake.store_registry(), table.location())?, table, info).await
}

/// What the statement with this key did to the table, if it was carried out. `KeyForgotten` when its commit was cleaned up,
/// `KeyReused` when it was another statement.
pub(super) async fn carried_out(
    store: &Arc<dyn ObjectStore>,
    table: &Snapshot,
    info: &CommitInfo,
) -> Result<Option<Committed>, StorageError> {
    let Some(key) = &info.idempotency_key else { return Ok(None) };
    let Some(version) = table.log().transactions.get(&app_id(key)) else { return Ok(None) };
    let forgotten = || StorageError::KeyForgotten { table: table.name().to_owned(), key: key.to_owned() };
    let failed = |error| log_error(table.name(), table.location(), error);
    let version = u64::try_from(*version).map_err(|_| forgotten())?;
    let commit = match RawCommit::read(store.as_ref(), version).await.map_err(failed)? {
        Some(raw) => raw.parse().await.map_err(failed)?,
        None => return Err(forgotten()),
    };
    check_same(&commit, table, info)?;
    answer(&commit).map(Some).ok_or_else(forgotten)
}

/// The same among commits that came first.
pub(super) fn done_by_rival(
    rivals: &[Commit],
    table: &Snapshot,
    info: &CommitInfo,
) -> Result<Option<Committed>, StorageError> {
    let Some(id) = info.idempotency_key.as_deref().map(app_id) else { return Ok(None) };
    let Some(first) = rivals.iter().find(|rival| rival.has_transaction(&id)) else { return Ok(None) };
    check_same(first, table, info)?;
    Ok(answer(first))
}

/// Of commits that do not say what their key is for, nobody can tell.
fn check_same(first: &Commit, table: &Snapshot, info: &CommitInfo) -> Result<(), StorageError> {
    let first = first.provenance().and_then(|told| told.key_is_for());
    match (first, &info.key_is_for, &info.idempotency_key) {
        (Some(first), Some(now), Some(key)) if first != now => {
            Err(StorageError::KeyReused { table: table.name().to_owned(), key: key.clone() })
        }
        _ => Ok(()),
    }
}

/// What a commit told its client.
fn answer(commit: &Commit) -> Option<Committed> {
    let rows = commit.provenance()?.rows()?;
    Some(Committed {
        version: commit.version,
        rows_inserted: rows.inserted,
        rows_updated: rows.updated,
        rows_deleted: rows.deleted,
    })
}
