//! `system.queries`: the statements that ended lately in this process, oldest first, then those that run.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use datafusion::arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use crate::{ErrorKind, QueryRecord};

type Number = fn(&QueryRecord) -> u64;

const NUMBERS: [(&str, Number); 13] = [
    ("rows", |query| query.rows),
    ("bytes_read", |query| query.usage.bytes_read),
    ("files_read", |query| query.usage.files_read),
    ("files_skipped", |query| query.usage.files_skipped),
    ("bytes_hot", |query| query.usage.bytes_hot),
    ("bytes_warm", |query| query.usage.bytes_warm),
    ("bytes_fetched", |query| query.usage.bytes_fetched),
    ("requests", |query| query.usage.requests),
    ("memory_bytes_peak", |query| query.usage.memory_bytes_peak),
    ("queued_us", |query| query.queued_us),
    ("planning_us", |query| query.planning_us),
    ("executing_us", |query| query.executing_us),
    ("replays", |query| query.replays),
];

pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("user_name", DataType::Utf8, true),
        Field::new("client", DataType::Utf8, true),
        Field::new("state", DataType::Utf8, false),
        Field::new("statement", DataType::Utf8, true),
        Field::new("sql", DataType::Utf8, false),
        Field::new("error_kind", DataType::Utf8, true),
        Field::new("error", DataType::Utf8, true),
    ];
    fields.extend(NUMBERS.map(|(name, _)| Field::new(name, DataType::Int64, false)));
    fields.extend([
        Field::new("started_at", time.clone(), false),
        Field::new("ended_at", time, true),
        Field::new("result_cache_hit", DataType::Boolean, false),
        Field::new("trace_id", DataType::Utf8, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// A row per statement.
pub(super) fn rows(schema: &SchemaRef, queries: &[Arc<QueryRecord>]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&QueryRecord) -> Option<&str>| -> ArrayRef {
        Arc::new(queries.iter().map(|query| of(query)).collect::<StringArray>())
    };
    let time = |of: fn(&QueryRecord) -> Option<SystemTime>| -> ArrayRef {
        let times = queries.iter().map(|query| of(query).map(micros)).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    let ids = queries.iter().map(|query| query.origin.query_id.to_string());
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(ids)),
        text(|query| query.origin.user.as_deref()),
        text(|query| query.origin.client.as_deref()),
        text(|query| Some(query.state.as_str())),
        text(|query| query.statement),
        text(|query| Some(&query.sql)),
        text(|query| query.error_kind.map(ErrorKind::as_str)),
        text(|query| query.error.as_deref()),
    ];
    columns.extend(NUMBERS.map(|(_, number)| {
        let numbers = queries.iter().map(|query| i64::try_from(number(query)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef
    }));
    columns.extend([time(|query| Some(query.started)), time(|query| query.ended)]);
    let hits = queries.iter().map(|query| Some(query.result_cache_hit));
    columns.push(Arc::new(hits.collect::<BooleanArray>()));
    columns.push(Arc::new(queries.iter().map(|query| query.trace_id()).collect::<StringArray>()));
    RecordBatch::try_new(schema.clone(), columns)
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
