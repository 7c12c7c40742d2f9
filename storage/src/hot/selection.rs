//! Rows that deletion vectors hide, as Vortex takes them. Rows have the same positions in a copy and its original.

use std::ops::Range;

use datafusion::{
    common::{Result, exec_datafusion_err},
    datasource::listing::PartitionedFile,
};
use parquet::arrow::arrow_reader::RowSelection;
use vortex::{
    buffer::Buffer,
    scan::{selection::Selection, strict_sorted_buffer::StrictSortedBuffer},
};

/// The selection with the rows of `rows` that are not skipped; an error when it does not speak of all `total` rows.
pub(super) fn selection(rows: &RowSelection, total: u64) -> Result<Selection> {
    let (at, hidden) = match rows.as_mask() {
        Some(visible) => {
            let mut hidden = Vec::with_capacity(visible.len() - visible.count_set_bits());
            hidden.extend((!visible).set_indices().map(|row| row as u64));
            (visible.len() as u64, hidden)
        }
        None => {
            let (mut at, mut hidden) = (0, Vec::new());
            for run in rows.iter() {
                let end = at + run.row_count as u64;
                if run.skip {
                    hidden.extend(at..end);
                }
                at = end;
            }
            (at, hidden)
        }
    };
    if at != total {
        return Err(exec_datafusion_err!("rows are selected out of {at}, but the file has {total}"));
    }
    if hidden.is_empty() {
        return Ok(Selection::All);
    }
    let sorted = StrictSortedBuffer::try_new(Buffer::from_iter(hidden));
    Ok(Selection::ExcludeByIndex(sorted.map_err(|error| exec_datafusion_err!("{error}"))?))
}

/// The rows of a part of a plan, in a copy of `rows` rows.
pub(super) fn rows_of_part(file: &PartitionedFile, rows: u64) -> Range<u64> {
    match &file.range {
        Some(range) => rows_of((range.start, range.end), file.object_meta.size, rows),
        None => 0..rows,
    }
}

/// The rows of the part of a file that lies in a range of the original's bytes. The ranges of a file that touch each
/// other give rows that touch each other, and the outermost reach both ends.
fn rows_of(range: (i64, i64), original_bytes: u64, rows: u64) -> Range<u64> {
    // Vortex keeps its statistics in blocks of so many rows.
    const BLOCK_ROWS: u64 = 8192;
    let row_at = |byte: i64| match u64::try_from(byte) {
        Ok(byte) if byte >= original_bytes => rows,
        Ok(byte) => {
            let row = u128::from(byte) * u128::from(rows) / u128::from(original_bytes);
            u64::try_from(row).unwrap_or(rows) / BLOCK_ROWS * BLOCK_ROWS
        }
        Err(_) => 0,
    };
    let start = row_at(range.0);
    start..row_at(range.1).max(start)
}

#[cfg(test)]
mod tests {
    use arrow::buffer::BooleanBuffer;
    use parquet::arrow::arrow_reader::RowSelector;

    use super::*;

    #[test]
    fn hidden_rows_keep_their_positions() {
        let rows = RowSelection::from(vec![
            RowSelector::skip(2),
            RowSelector::select(3),
            RowSelector::skip(1),
            RowSelector::select(1),
        ]);
        let bits = BooleanBuffer::from(vec![false, false, true, true, true, false, true]);
        for rows in [rows, RowSelection::from_boolean_buffer(bits)] {
            match selection(&rows, 7).unwrap() {
                Selection::ExcludeByIndex(hidden) => assert_eq!(hidden.as_slice(), [0, 1, 5]),
                other => panic!("{other:?}"),
            }
            assert!(selection(&rows, 8).is_err());
        }
        let all = RowSelection::from(vec![RowSelector::select(7)]);
        assert!(matches!(selection(&all, 7).unwrap(), Selection::All));
    }

    #[test]
    fn ranges_of_bytes_cover_every_row_once() {
        for (bytes, rows, cuts) in [(1000, 100_000, vec![0, 1, 333, 334, 999, 1000]), (7, 3, vec![0, 3, 7])] {
            let parts: Vec<_> = cuts.windows(2).map(|cut| rows_of((cut[0], cut[1]), bytes, rows)).collect();
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, rows));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "{parts:?}");
        }
        assert_eq!(rows_of((0, 0), 0, 0), 0..0);
    }
}
