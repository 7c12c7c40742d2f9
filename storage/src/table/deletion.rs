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
use roaring::RoaringBitmap;

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

/// The rows that a selection leaves out.
pub(super) fn hidden(selection: &RowSelection) -> RoaringBitmap {
    let (mut hidden, mut next) = (RoaringBitmap::new(), 0u32);
    for selector in selection.iter() {
        let end = next.saturating_add(u32::try_from(selector.row_count).unwrap_or(u32::MAX));
        if selector.skip {
            hidden.insert_range(next..end);
        }
        next = end;
    }
    hidden
}

/// The rows of a file of `stored` rows that are not in `gone`.
pub(super) fn all_but(gone: &RoaringBitmap, stored: usize) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for row in gone.iter().map(|row| row as usize).take_while(|row| *row < stored) {
        if row > next {
            selectors.push(RowSelector::select(row - next));
        }
        match selectors.last_mut() {
            Some(last) if last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::skip(1)),
        }
        next = row + 1;
    }
    if stored > next {
        selectors.push(RowSelector::select(stored - next));
    }
    selectors.into()
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

    #[test]
    fn all_rows_but_those_gone() {
        let expected = selection(&[true, false, false, true, false]);
        assert_eq!(all_but(&RoaringBitmap::from_iter([1, 2, 4]), 5), expected);
        assert_eq!(all_but(&RoaringBitmap::from_iter([0]), 2), selection(&[false, true]));
        assert_eq!(all_but(&RoaringBitmap::new(), 2), selection(&[true, true]));
        assert_eq!(all_but(&RoaringBitmap::from_iter(0..3), 3), selection(&[false; 3]));
        assert_eq!(hidden(&expected), RoaringBitmap::from_iter([1, 2, 4]));
    }
}
