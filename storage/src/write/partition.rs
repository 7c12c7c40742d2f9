//! Texts that Delta does not keep as values of partitions: an empty one is NULL for every reader (protocol, "Partition Value
//! Serialization"), so a column that is NOT NULL must not get one.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Schema},
};
use deltalake::DeltaTableError;

use crate::StorageError;

/// The columns of a table whose values are held to that, by their places.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    table: Arc<str>,
    columns: Arc<[(usize, String)]>,
}

impl Texts {
    pub(super) fn of(table: &str, columns: &Schema, partition_columns: &[String]) -> Self {
        let is_text =
            |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let held = columns.fields().iter().enumerate().filter(|(_, field)| {
            !field.is_nullable() && is_text(field.data_type()) && partition_columns.contains(field.name())
        });
        Self { table: table.into(), columns: held.map(|(at, field)| (at, field.name().clone())).collect() }
    }

    /// Rows that are about to be written, their columns in the table's order.
    pub(super) fn check(&self, batch: &RecordBatch) -> Result<(), DeltaTableError> {
        for (at, column) in self.columns.iter() {
            let texts = cast(batch.column(*at), &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            if (0..texts.len()).any(|row| texts.is_valid(row) && texts.value(row).is_empty()) {
                let (table, column) = (self.table.to_string(), column.clone());
                return Err(DeltaTableError::GenericError {
                    source: Box::new(StorageError::EmptyPartition { table, column }),
                });
            }
        }
        Ok(())
    }
}
