//! Which of the files that a query has to read are read, and which of them by one stream.

use std::collections::HashMap;

use datafusion::datasource::{listing::PartitionedFile, physical_plan::FileGroup};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::{files::FileIndex, source::PAGE_ROWS};

/// Leaves out the files after those that are sure to fill a LIMIT.
pub(super) fn stop_at(kept: &mut Vec<usize>, index: &FileIndex, limit: usize) {
    let mut rows = 0u64;
    let enough = kept.iter().position(|file| {
        rows = rows.saturating_add(index.visible_rows(*file).unwrap_or(0));
        rows >= limit as u64
    });
    if let Some(last) = enough {
        kept.truncate(last + 1);
    }
}

/// The first `limit` rows of each file, where they are all that a LIMIT asks of it: the reader then fetches the pages that
/// have them, and not whole row groups. Files of few pages, and those of which rows are hidden, stay as they are.
pub(super) fn first_rows(
    selections: &mut HashMap<usize, RowSelection>,
    kept: &[usize],
    index: &FileIndex,
    limit: usize,
) {
    for file in kept {
        let stored = index.stored_rows_of(*file).filter(|rows| *rows > PAGE_ROWS);
        let rest = stored.and_then(|rows| usize::try_from(rows).ok()?.checked_sub(limit));
        if let Some(rest) = rest.filter(|rest| *rest >= limit && limit > 0) {
            let first = || RowSelection::from(vec![RowSelector::select(limit), RowSelector::skip(rest)]);
            selections.entry(*file).or_insert_with(first);
        }
    }
}

/// At most `groups` groups of about equal size: the largest file goes first, always to the smallest group.
pub(super) fn group_by_size(mut files: Vec<PartitionedFile>, groups: usize) -> Vec<FileGroup> {
    let groups = groups.min(files.len()).max(1);
    files.sort_by_key(|file| std::cmp::Reverse(file.object_meta.size));
    let mut grouped: Vec<(u64, Vec<PartitionedFile>)> = (0..groups).map(|_| (0, vec![])).collect();
    for file in files {
        if let Some((size, group)) = grouped.iter_mut().min_by_key(|(size, _)| *size) {
            *size = size.saturating_add(file.object_meta.size.max(1));
            group.push(file);
        }
    }
    grouped.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}
