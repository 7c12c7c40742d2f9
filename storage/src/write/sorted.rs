//! Rows that come in order are written in order, and the files say so: in the log, where a scan finds it without opening
//! them, and in their footers, where other readers look for it.
//!
//! Only of one stream into a table without partitions: several streams are several files at once, and the library sorts the
//! rows of partitions in a way of its own. What the log says is believed for as long as there is the file, so each row is
//! compared with the one before it while they are written.

use std::collections::HashMap;

use arrow::{
    array::{ArrayRef, RecordBatch, make_comparator},
    compute::SortOptions,
    datatypes::Schema,
    error::ArrowError,
};
use deltalake::kernel::Add;
use parquet::{
    arrow::ArrowSchemaConverter,
    file::{metadata::SortingColumn, properties::WriterProperties},
};

use super::{data::FileLayout, rows::Rows};
use crate::log::SORTED_BY;

/// Rows that are written in an order: by the values of one column, rising, NULL last.
#[derive(Debug, Clone)]
pub(super) struct Sorted {
    /// Its name in files.
    column: String,
    /// Its place among the columns of the rows.
    at: usize,
    /// Its place among the leaves of a file.
    leaf: Option<i32>,
}

impl Sorted {
    /// The order that the rows of a write have, where it is one that lasts.
    pub(super) fn of(rows: &Rows, layout: &FileLayout) -> Option<Self> {
        if !layout.partition_columns.is_empty() {
            return None;
        }
        let stored = layout.stored();
        let at = rows.sorted_by()?;
        let field = stored.fields().get(at)?;
        // NaN and signed zeros have no place on which all readers agree.
        let lasts = !field.data_type().is_nested() && !field.data_type().is_floating();
        lasts.then(|| Self { column: field.name().clone(), at, leaf: leaf(stored, field.name()) })
    }

    /// For files of this layout that have the order in their footers.
    pub(super) fn properties(&self, layout: &FileLayout) -> WriterProperties {
        let order =
            self.leaf.map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: false }]);
        layout.properties().set_sorting_columns(order).build()
    }

    /// Says in the log of files that were written so.
    pub(super) fn tag(&self, files: &mut [Add]) {
        for file in files {
            let tags = file.tags.get_or_insert_with(HashMap::new);
            tags.insert(SORTED_BY.to_owned(), Some(self.column.clone()));
        }
    }
}

/// The rows of one stream as they come.
pub(super) struct Rising {
    sorted: Sorted,
    /// The last value so far.
    last: Option<ArrayRef>,
}

impl Rising {
    pub(super) fn new(sorted: Sorted) -> Self {
        Self { sorted, last: None }
    }

    /// The next rows. An error when one of them belongs before another.
    pub(super) fn check(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let (rows, values) = (batch.num_rows(), batch.column(self.sorted.at));
        if rows == 0 {
            return Ok(());
        }
        let options = SortOptions { descending: false, nulls_first: false };
        let within = make_comparator(values, values, options)?;
        let mut rises = (1..rows).all(|row| within(row - 1, row).is_le());
        if let Some(last) = self.last.replace(values.slice(rows - 1, 1)) {
            rises &= make_comparator(&last, values, options)?(0, 0).is_le();
        }
        match rises {
            true => Ok(()),
            false => Err(ArrowError::ComputeError(format!(
                "rows that were to come in the order of column \"{}\" do not",
                self.sorted.column
            ))),
        }
    }
}

fn leaf(stored: &Schema, name: &str) -> Option<i32> {
    let leaves = ArrowSchemaConverter::new().convert(stored).ok()?;
    let at = leaves.columns().iter().position(|leaf| matches!(leaf.path().parts(), [only] if only == name))?;
    i32::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_row_that_belongs_before_another_is_found_within_batches_and_between_them() {
        let cases: [(&[&[Option<i64>]], bool); 8] = [
            (&[&[]], true),
            (&[&[Some(1), Some(1), Some(2)], &[], &[Some(2), None], &[None]], true),
            (&[&[None, None]], true),
            (&[&[Some(2), Some(1)]], false),
            (&[&[Some(2)], &[Some(1)]], false),
            (&[&[None], &[Some(1)]], false),
            (&[&[None, Some(1)]], false),
            (&[&[Some(1), Some(3)], &[Some(3), Some(2)]], false),
        ];
        for (batches, expected) in cases {
            let mut rising = Rising::new(Sorted { column: "a".to_owned(), at: 0, leaf: None });
            let batches = batches.iter().map(|values| {
                let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
                RecordBatch::try_from_iter([("a", values)]).unwrap()
            });
            let checked = batches.map(|batch| rising.check(&batch)).collect::<Result<Vec<_>, _>>();
            assert_eq!(checked.is_ok(), expected, "{checked:?}");
        }
    }
}
