//! Small answers made of text: SHOW, DESCRIBE, EXPLAIN and the tables of `information_schema`.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    compute::{filter_record_batch, ilike},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

/// A row of text; `None` is NULL.
pub(crate) type Row = Vec<Option<String>>;

/// Columns of text.
pub(crate) fn text_schema(columns: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    Arc::new(Schema::new(fields))
}

/// Rows as one batch; every row has one value for each column.
pub(crate) fn text_batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|at| {
            let values = rows.iter().map(|row| row.get(at).and_then(Option::as_deref));
            Arc::new(StringArray::from_iter(values)) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns)
}

/// Keeps the rows whose value in `column` matches a LIKE pattern, in any case.
pub(crate) fn keep_like(batch: RecordBatch, column: usize, pattern: Option<&str>) -> Result<RecordBatch, ArrowError> {
    let Some(pattern) = pattern else { return Ok(batch) };
    let pattern = StringArray::new_scalar(pattern);
    let keep: BooleanArray = ilike(&batch.column(column), &pattern)?;
    debug_assert_eq!(keep.len(), batch.num_rows());
    filter_record_batch(&batch, &keep)
}

/// A value that is there.
pub(crate) fn some(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}
