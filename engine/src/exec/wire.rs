//! One schema for a query's rows, wherever it is told: by `prepare`, and by every batch.
//!
//! Plans change types on the way to execution: text becomes a view or a dictionary, nullability is found out. Clients
//! get neither: views and dictionaries are plain columns for them, and every column may be NULL (the planner's belief
//! that one cannot be is no promise to a client, and must not fail a query whose rows are right).

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};

use crate::EngineError;

/// The schema under which a query's rows go to the client.
pub(crate) fn wire_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(wire_field).collect();
    Arc::new(Schema::new(fields))
}

/// A table's column or a parameter as a client is told of it: scans read texts and bytes as views.
pub(crate) fn plain_field(field: &Field) -> Field {
    let kind = match field.data_type() {
        view @ (DataType::Utf8View | DataType::BinaryView) => wire_type(view),
        kind => kind.clone(),
    };
    field.clone().with_data_type(kind)
}

/// A batch under the wire schema: columns by position.
pub(crate) fn wire_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    if batch.num_columns() != schema.fields().len() {
        return Err(EngineError::internal("a batch has other columns than its query"));
    }
    let columns: Result<Vec<ArrayRef>, _> =
        batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = columns.and_then(|columns| RecordBatch::try_new_with_options(schema.clone(), columns, &options));
    batch.map_err(|error| EngineError::internal("a batch does not fit the schema of its query").with_source(error))
}

fn wire_field(field: &FieldRef) -> FieldRef {
    let metadata = field.metadata().clone();
    Arc::new(Field::new(field.name(), wire_type(field.data_type()), true).with_metadata(metadata))
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(wire_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(wire_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(wire_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(wire_entries(entries), *sorted),
        plain => plain.clone(),
    }
}

/// A map's entries and keys are never NULL, by its definition.
fn wire_entries(entries: &FieldRef) -> FieldRef {
    let DataType::Struct(fields) = entries.data_type() else { return entries.clone() };
    let fields = fields
        .iter()
        .enumerate()
        .map(|(at, field)| {
            Arc::new(
                Field::new(field.name(), wire_type(field.data_type()), at > 0).with_metadata(field.metadata().clone()),
            )
        })
        .collect();
    Arc::new(Field::new(entries.name(), DataType::Struct(fields), false))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{DictionaryArray, Int32Array, StringViewArray, types::Int8Type};

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_columns() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let dictionary: ArrayRef = Arc::new(vec!["x", "x"].into_iter().collect::<DictionaryArray<Int8Type>>());
        let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("v", view), ("d", dictionary), ("n", number)]).unwrap();
        let schema = wire_schema(&batch.schema());
        let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, [&DataType::Utf8, &DataType::Utf8, &DataType::Int32]);
        assert!(schema.fields().iter().all(|field| field.is_nullable()));
        assert_eq!(wire_batch(&batch, &schema).unwrap().schema(), schema);
    }

    #[test]
    fn rows_without_columns_keep_their_count() {
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        assert_eq!(wire_batch(&batch, &wire_schema(&batch.schema())).unwrap().num_rows(), 3);
    }
}
