//! Files that stay, with a deletion vector of all rows of theirs that went.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use datafusion::catalog::Session;
use object_store::path::Path;
use roaring::RoaringBitmap;
use serde_json::{Map, Value};

use super::{
    exec::{is_counted, touched},
    vector::Vectors,
};
use crate::{Lake, Snapshot, StorageError, table::table_store, write::transaction::Transaction};

/// Whether rows that go are hidden by deletion vectors.
pub(super) fn hides_rows(target: &Snapshot) -> bool {
    let asked = target.properties().get("delta.enableDeletionVectors");
    asked.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && target.features().iter().any(|feature| feature == "deletionVectors")
}

/// Adds the touched files again, each with a vector of all its hidden rows.
pub(super) async fn hide(
    lake: &Lake,
    target: &Arc<Snapshot>,
    session: &dyn Session,
    gone: BTreeMap<usize, RoaringBitmap>,
    transaction: &mut Transaction,
) -> Result<(), StorageError> {
    let index = target.files()?;
    let mut hidden = touched(target, gone)?;
    hidden.retain(|file, _| is_counted(index, *file));
    if hidden.is_empty() {
        return Ok(());
    }
    target.add_hidden(session, &mut hidden).await?;
    let vectors = Vectors::new(&hidden)?;
    if let Some((path, _)) = &vectors.file {
        transaction.note_written(path.as_ref());
    }
    vectors.write(&*table_store(lake.store_registry(), target.location())?).await?;
    let stats = statistics(target, hidden.keys().copied()).await?;
    for (file, vector) in &vectors.descriptors {
        transaction.add_hiding(*file, vector, stats.get(file).map_or("{}", String::as_str))?;
    }
    Ok(())
}

/// The statistics of some files, marked as those of more rows than are seen.
async fn statistics(
    target: &Snapshot,
    files: impl Iterator<Item = usize>,
) -> Result<BTreeMap<usize, String>, StorageError> {
    let index = target.files()?;
    let named = |file: usize| Some((Path::from_url_path(index.path(file)).ok()?, file));
    let (files, mut kept) = (files.collect::<Vec<_>>(), HashMap::new());
    let wanted: HashMap<Path, usize> = files.iter().copied().filter_map(named).collect();
    // Only the library keeps them as they were written.
    for view in target.state().await?.log_data().iter() {
        if let Some(file) = wanted.get(&view.object_store_path())
            && let Some(stats) = view.stats().and_then(|stats| serde_json::from_str::<Map<String, Value>>(&stats).ok())
        {
            kept.insert(*file, stats);
        }
    }
    let marked = files.into_iter().map(|file| {
        let mut stats = kept.remove(&file).unwrap_or_default();
        stats.insert("numRecords".to_owned(), index.stored_rows().value(file).into());
        stats.insert("tightBounds".to_owned(), false.into());
        (file, Value::Object(stats).to_string())
    });
    Ok(marked.collect())
}
