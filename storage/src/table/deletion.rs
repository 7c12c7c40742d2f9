//! Rows that deletion vectors hide, as the row selections that the Parquet reader takes.
//!
//! The Delta library finds and decodes the vectors; the reader then skips the hidden rows, whole row groups and pages
//! with them, and everything else about the scan stays as it is.

use std::collections::HashMap;

use datafusion::{catalog::Session, common::Result};
use deltalake::{
    delta_datafusion::{DeltaScanConfig, DeltaScanNext, FileSelection},
    kernel::EagerSnapshot,
};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// About 16 MB of selections per snapshot.
const CACHED_RUNS_MAX: usize = 1 << 20;

/// The rows to read, by the URL of the data file, of those files among `paths` (as the log has them) that have a
/// deletion vector. All active files when `paths` is `None`.
pub(super) async fn row_selections(
    snapshot: &EagerSnapshot,
    session: &dyn Session,
    paths: Option<Vec<String>>,
) -> Result<HashMap<String, RowSelection>> {
    let mut scan = DeltaScanNext::new(snapshot.clone(), DeltaScanConfig::new())?;
    if let Some(paths) = paths {
        scan = scan.with_file_selection(FileSelection::from_file_paths(paths));
    }
    let vectors = scan.deletion_vectors(session).await?;
    Ok(vectors.into_iter().map(|vector| (vector.filepath, selection(&vector.keep_mask))).collect())
}

/// Row selections of files that were read before. They never change: another vector makes another version.
#[derive(Debug, Default)]
pub(super) struct SelectionCache(Mutex<HashMap<usize, RowSelection>>);

impl SelectionCache {
    /// Moves what is known of `files` into `found`; returns the files that must be read.
    pub(super) fn get(&self, files: Vec<usize>, found: &mut HashMap<usize, RowSelection>) -> Vec<usize> {
        let known = self.0.lock();
        let mut unknown = files;
        unknown.retain(|file| match known.get(file) {
            Some(selection) => found.insert(*file, selection.clone()).is_some(),
            None => true,
        });
        unknown
    }

    /// Keeps a selection while the cache is small; after that, queries read the vectors again.
    pub(super) fn put(&self, file: usize, selection: &RowSelection) {
        let mut known = self.0.lock();
        let runs: usize = known.values().map(|selection| selection.iter().count()).sum();
        if runs + selection.iter().count() <= CACHED_RUNS_MAX {
            known.insert(file, selection.clone());
        }
    }
}

/// Runs of kept and hidden rows.
fn selection(keep: &[bool]) -> RowSelection {
    let runs = keep.chunk_by(|a, b| a == b);
    let selectors = runs.map(|run| match run.first() {
        Some(true) => RowSelector::select(run.len()),
        _ => RowSelector::skip(run.len()),
    });
    selectors.collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_becomes_runs() {
        let expected = RowSelection::from(vec![
            RowSelector::select(2),
            RowSelector::skip(1),
            RowSelector::select(1),
            RowSelector::skip(2),
        ]);
        assert_eq!(selection(&[true, true, false, true, false, false]), expected);
        assert_eq!(selection(&[]).row_count(), 0);
    }
}
