//! What the history of a table tells of a change.

use std::collections::BTreeMap;

use datafusion::logical_expr::Expr;
use roaring::RoaringBitmap;

use super::{Action, Actions, Changed, RowChange, exec::touched};
use crate::{Snapshot, StorageError, write::transaction::Operation};

pub(super) fn operation(
    name: &'static str,
    parameters: BTreeMap<String, String>,
    metrics: BTreeMap<String, u64>,
    changed: &Changed,
) -> Operation {
    let Changed { inserted, updated, deleted, .. } = *changed;
    Operation { name, parameters, metrics, inserted, updated, deleted }
}

pub(super) fn predicate_parameter(filters: &[Expr]) -> BTreeMap<String, String> {
    let texts: Vec<String> = filters.iter().map(ToString::to_string).collect();
    if texts.is_empty() { BTreeMap::new() } else { BTreeMap::from([("predicate".to_owned(), texts.join(" AND "))]) }
}

/// Rows of the touched files that stayed, as far as the log knows.
pub(super) fn copied_rows(target: &Snapshot, gone: BTreeMap<usize, RoaringBitmap>) -> Result<u64, StorageError> {
    let index = target.files()?;
    let left = |(file, rows): (usize, RoaringBitmap)| index.visible_rows(file).map_or(0, |all| all - rows.len());
    Ok(touched(target, gone)?.into_iter().map(left).sum())
}

/// What DESCRIBE HISTORY shows, under the names that other writers use.
pub(super) fn metrics(
    change: &RowChange<'_>,
    changed: &Changed,
    copied: u64,
    removed: usize,
    added: usize,
) -> BTreeMap<String, u64> {
    let (removed, added) = (removed as u64, added as u64);
    let metrics: Vec<(&str, u64)> = match change.actions {
        Actions::Column(_) => vec![
            ("numTargetRowsInserted", changed.inserted),
            ("numTargetRowsUpdated", changed.updated),
            ("numTargetRowsDeleted", changed.deleted),
            ("numTargetRowsCopied", copied),
            ("numTargetFilesRemoved", removed),
            ("numTargetFilesAdded", added),
        ],
        Actions::All(Action::Insert) => vec![
            ("numFiles", added),
            ("numOutputRows", changed.inserted),
            ("numDeletedRows", changed.deleted),
            ("numRemovedFiles", removed),
        ],
        Actions::All(_) => vec![
            ("numDeletedRows", changed.deleted),
            ("numUpdatedRows", changed.updated),
            ("numCopiedRows", copied),
            ("numRemovedFiles", removed),
            ("numAddedFiles", added),
        ],
    };
    metrics.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
