//! DESCRIBE DETAIL: one row about a Delta table, with Databricks' column names.

use std::sync::Arc;

use boathouse_storage::Snapshot;
use datafusion::arrow::{
    array::{
        ArrayRef, Int32Array, Int64Array, ListBuilder, MapBuilder, MapFieldNames, RecordBatch, StringArray,
        StringBuilder, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};

use crate::{
    EngineError, Outcome, RowStream,
    catalog::{Relation, TableName},
    error::convert,
    file::access,
    statement::Context,
};

/// The Delta table behind a name.
pub(super) async fn snapshot(
    context: &Context,
    name: &TableName,
    statement: &str,
) -> Result<Arc<Snapshot>, EngineError> {
    let not_delta = |what: &str| {
        EngineError::unsupported(format!("\"{name}\" is {what}: {statement} tells about Delta tables"))
            .with_hint(format!("DESCRIBE {name} lists its columns."))
    };
    if crate::catalog::is_reserved(&name.schema) {
        return Err(not_delta("a table of the system"));
    }
    match context.pinned.require(name).await? {
        Relation::Table(snapshot) => Ok(snapshot),
        Relation::View(_) => Err(not_delta("a view")),
        Relation::External(table) if table.format.eq_ignore_ascii_case("delta") => {
            let location = access::locate(&context.engine, &table.location)?.folder_url();
            context.pinned.external_snapshot(name, &location).await
        }
        Relation::External(_) => Err(not_delta("an external table of files")),
    }
}

pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let list =
        |name: &str| Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true);
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    Arc::new(Schema::new(vec![
        text("format"),
        text("id"),
        text("name"),
        text("description"),
        text("location"),
        time("createdAt"),
        time("lastModified"),
        list("partitionColumns"),
        Field::new("numFiles", DataType::Int64, true),
        Field::new("sizeInBytes", DataType::Int64, true),
        Field::new("properties", DataType::Map(Arc::new(entries), false), true),
        Field::new("minReaderVersion", DataType::Int32, true),
        Field::new("minWriterVersion", DataType::Int32, true),
        list("tableFeatures"),
        Field::new("version", DataType::Int64, true),
    ]))
}

pub(super) async fn run(context: &Context, name: &TableName) -> Result<Outcome, EngineError> {
    let snapshot = snapshot(context, name, "DESCRIBE DETAIL").await?;
    let batch = row(&snapshot).map_err(|error| convert(error.into(), None))?;
    Ok(Outcome::Rows(RowStream::of_batch(batch)))
}

fn row(snapshot: &Snapshot) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let time = |ms: Option<i64>| {
        let micros = ms.map(|ms| ms.saturating_mul(1_000));
        Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")) as ArrayRef
    };
    let number = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let version = |value: i32| Arc::new(Int32Array::from(vec![value])) as ArrayRef;
    let columns = vec![
        text(Some("delta")),
        text(Some(snapshot.id())),
        text(Some(snapshot.name())),
        text(snapshot.comment()),
        text(Some(snapshot.location().as_str())),
        time(snapshot.created_ms()),
        time(snapshot.modified_ms()),
        list(snapshot.partition_columns()),
        number(i64::try_from(snapshot.file_count()).unwrap_or(i64::MAX)),
        number(i64::try_from(snapshot.size_bytes()).unwrap_or(i64::MAX)),
        properties(snapshot)?,
        version(snapshot.reader_version()),
        version(snapshot.writer_version()),
        list(&snapshot.features()),
        number(i64::try_from(snapshot.version()).unwrap_or(i64::MAX)),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn list(values: &[String]) -> ArrayRef {
    let mut builder =
        ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new("element", DataType::Utf8, true)));
    for value in values {
        builder.values().append_value(value);
    }
    builder.append(true);
    Arc::new(builder.finish())
}

fn properties(snapshot: &Snapshot) -> Result<ArrayRef, datafusion::arrow::error::ArrowError> {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for (key, value) in snapshot.properties() {
        builder.keys().append_value(key);
        builder.values().append_value(value);
    }
    builder.append(true)?;
    Ok(Arc::new(builder.finish()))
}
