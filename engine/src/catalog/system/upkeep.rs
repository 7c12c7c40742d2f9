//! `system.upkeep`: what the upkeep of this process did, oldest first.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use crate::upkeep::Record;

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("table_name", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("started_at", time(), false),
        Field::new("took_ms", DataType::Int64, false),
        Field::new("files_before", DataType::Int64, true),
        Field::new("files_after", DataType::Int64, true),
        Field::new("bytes_before", DataType::Int64, true),
        Field::new("bytes_after", DataType::Int64, true),
        Field::new("error", DataType::Utf8, true),
        Field::new("partition_values", DataType::Utf8, true),
    ]))
}

/// A row per job.
pub(super) fn rows(schema: &SchemaRef, records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let started = TimestampMillisecondArray::from_iter_values(records.iter().map(|record| record.started_ms));
    let started: ArrayRef = Arc::new(started.with_timezone("UTC"));
    let took = records.iter().map(|record| i64::try_from(record.took_ms).unwrap_or(i64::MAX));
    let sizes = |number: fn(&Record) -> Option<u64>| -> ArrayRef {
        let numbers = records.iter().map(number);
        Arc::new(numbers.map(|number| number.and_then(|n| i64::try_from(n).ok())).collect::<Int64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(records.iter().map(|record| &record.table))),
        Arc::new(StringArray::from_iter_values(records.iter().map(|record| record.action))),
        cast(&started, &time())?,
        Arc::new(Int64Array::from_iter_values(took)),
        sizes(|record| record.before.map(|size| size.files)),
        sizes(|record| record.after.map(|size| size.files)),
        sizes(|record| record.before.map(|size| size.bytes)),
        sizes(|record| record.after.map(|size| size.bytes)),
        Arc::new(records.iter().map(|record| record.error.as_deref()).collect::<StringArray>()),
        Arc::new(records.iter().map(|record| record.partition.as_deref()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}
