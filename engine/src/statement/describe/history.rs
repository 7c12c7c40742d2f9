//! DESCRIBE HISTORY: what each version of a Delta table did, newest first, with Databricks' column names.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::VersionInfo;
use datafusion::arrow::{
    array::{
        ArrayRef, BooleanArray, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use super::detail;
use crate::{EngineError, Outcome, RowStream, catalog::TableName, error::convert, statement::Context};

/// As many versions are told of, the newest, whatever LIMIT says: they are held in memory.
pub(super) const VERSIONS_MAX: usize = 10_000;

pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let entries = Arc::new(Field::new("entries", DataType::Struct(pair.into()), false));
    let map = |name: &str| Field::new(name, DataType::Map(entries.clone(), false), true);
    Arc::new(Schema::new(vec![
        number("version"),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("userId"),
        text("userName"),
        text("operation"),
        map("operationParameters"),
        map("operationMetrics"),
        text("statement"),
        text("engineInfo"),
        number("readVersion"),
        text("isolationLevel"),
        Field::new("isBlindAppend", DataType::Boolean, true),
        text("userMetadata"),
    ]))
}

pub(super) async fn run(context: &Context, name: &TableName, limit: usize) -> Result<Outcome, EngineError> {
    let snapshot = detail::snapshot(context, name, "DESCRIBE HISTORY").await?;
    let versions = context.engine.lake().history(&snapshot, limit.min(VERSIONS_MAX)).await?;
    let batch = rows(&versions).map_err(|error| convert(error.into(), None))?;
    Ok(Outcome::Rows(RowStream::of_batch(batch)))
}

fn rows(versions: &[VersionInfo]) -> Result<RecordBatch, ArrowError> {
    let text = |value: fn(&VersionInfo) -> Option<&String>| {
        Arc::new(versions.iter().map(|version| value(version).map(String::as_str)).collect::<StringArray>()) as ArrayRef
    };
    let numbers = versions.iter().map(|version| i64::try_from(version.version).ok());
    let times = versions.iter().map(|version| Some(version.timestamp_ms.saturating_mul(1_000)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(numbers.collect::<Int64Array>()),
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        text(|version| version.user_id.as_ref()),
        text(|version| version.user_name.as_ref()),
        text(|version| version.operation.as_ref()),
        maps(versions, |version| &version.parameters)?,
        maps(versions, |version| &version.metrics)?,
        text(|version| version.statement.as_ref()),
        text(|version| version.client.as_ref()),
        Arc::new(versions.iter().map(|version| version.read_version).collect::<Int64Array>()),
        text(|version| version.isolation_level.as_ref()),
        Arc::new(versions.iter().map(|version| version.is_blind_append).collect::<BooleanArray>()),
        text(|version| version.user_metadata.as_ref()),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn maps(
    versions: &[VersionInfo],
    value: fn(&VersionInfo) -> &BTreeMap<String, String>,
) -> Result<ArrayRef, ArrowError> {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for version in versions {
        for (key, value) in value(version) {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}
