//! Rows that come in order are written in order, and the files say so: in the log, where a scan finds it without opening
//! them, and in their footers, where other readers look for it.
//!
//! Only of one stream into a table without partitions: several streams are several files at once, and the library sorts the
//! rows of partitions in a way of its own.

use std::collections::HashMap;

use arrow::datatypes::Schema;
use deltalake::{datafile::writer::DeltaWriter, kernel::Add};
use parquet::{arrow::ArrowSchemaConverter, file::metadata::SortingColumn};

use super::{data::FileLayout, parquet::properties, rows::Rows};
use crate::log::SORTED_BY;

/// The order in which rows are written: by the values of one column, rising, NULL last.
#[derive(Debug, Clone)]
pub(super) struct Sorted {
    /// Its name in files.
    column: String,
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
        let field = stored.fields().get(rows.sorted_by()?)?;
        // NaN and signed zeros have no place on which all readers agree.
        let lasts = !field.data_type().is_nested() && !field.data_type().is_floating();
        lasts.then(|| Self { column: field.name().clone(), leaf: leaf(stored, field.name()) })
    }

    /// A writer whose files have the order in their footers.
    pub(super) fn told_by(&self, writer: DeltaWriter) -> DeltaWriter {
        let order =
            self.leaf.map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: false }]);
        writer.with_writer_properties(properties().set_sorting_columns(order).build())
    }

    /// Says in the log of files that were written so.
    pub(super) fn tag(&self, files: &mut [Add]) {
        for file in files {
            let tags = file.tags.get_or_insert_with(HashMap::new);
            tags.insert(SORTED_BY.to_owned(), Some(self.column.clone()));
        }
    }
}

fn leaf(stored: &Schema, name: &str) -> Option<i32> {
    let leaves = ArrowSchemaConverter::new().convert(stored).ok()?;
    let at = leaves.columns().iter().position(|leaf| matches!(leaf.path().parts(), [only] if only == name))?;
    i32::try_from(at).ok()
}
