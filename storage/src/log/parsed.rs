//! What a checkpoint says of its files in the types of the table: `stats_parsed` and `partitionValues_parsed`.
//!
//! Delta protocol, "Checkpoint Schema": a table asks for them with `delta.checkpoint.writeStatsAsStruct`. They say what the
//! text says; a value that is none of its column's type is NULL, and nothing here fails because of one.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StringArray, StructArray},
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema},
    error::ArrowError,
    json::{LineDelimitedWriter, ReaderBuilder},
};
use serde::de::IgnoredAny;

use super::{columns::conform, layout::physical_name};

/// The types of what is parsed, of one table.
#[derive(Debug, Clone)]
pub(super) struct ParsedFields {
    pub(super) stats: Fields,
    /// None when the table has no partitions.
    pub(super) partitions: Option<Fields>,
}

impl ParsedFields {
    pub(super) fn new(schema: &Schema, partition_columns: &[String]) -> Self {
        let is_partition = |field: &Field| partition_columns.contains(field.name());
        let data: Vec<&Field> =
            schema.fields().iter().map(AsRef::as_ref).filter(|field| !is_partition(field)).collect();
        let (bounds, nulls) = (bounds(&data), null_counts(&data));
        let stats = vec![
            Field::new("numRecords", DataType::Int64, true),
            Field::new("tightBounds", DataType::Boolean, true),
            Field::new("minValues", DataType::Struct(bounds.clone()), true),
            Field::new("maxValues", DataType::Struct(bounds), true),
            Field::new("nullCount", DataType::Struct(nulls), true),
        ];
        // A Parquet file has no columns without leaves.
        let stats = stats.into_iter().filter(|field| !matches!(field.data_type(), DataType::Struct(f) if f.is_empty()));
        let partitions = partition_columns.iter().filter_map(|name| schema.field_with_name(name).ok());
        let partitions: Fields =
            partitions.map(|field| Field::new(physical_name(field), field.data_type().clone(), true)).collect();
        Self { stats: stats.collect(), partitions: (!partitions.is_empty()).then_some(partitions) }
    }
}

fn bounds(fields: &[&Field]) -> Fields {
    let of = |field: &Field| match field.data_type() {
        DataType::Struct(inner) => bounds(&plain(inner)),
        _ => Fields::empty(),
    };
    let kept = fields.iter().filter_map(|field| {
        let name = physical_name(field);
        let inner = of(field);
        let kind = match field.data_type() {
            DataType::Struct(_) if !inner.is_empty() => DataType::Struct(inner),
            kind if has_bounds(kind) => kind.clone(),
            _ => return None,
        };
        Some(Field::new(name, kind, true))
    });
    kept.collect()
}

fn null_counts(fields: &[&Field]) -> Fields {
    let kind = |field: &Field| match field.data_type() {
        DataType::Struct(inner) => DataType::Struct(null_counts(&plain(inner))),
        _ => DataType::Int64,
    };
    fields.iter().map(|field| Field::new(physical_name(field), kind(field), true)).collect()
}

fn plain(fields: &Fields) -> Vec<&Field> {
    fields.iter().map(AsRef::as_ref).collect()
}

fn has_bounds(kind: &DataType) -> bool {
    kind.is_signed_integer()
        || kind.is_floating()
        || matches!(kind, DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8)
}

/// Statistics as text in the types of the table.
pub(super) fn parse_stats(json: &StringArray, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    let as_text = Arc::new(Schema::new(text_fields(fields)));
    // Numbers as they are written: what is too large or too fine for its column is found out by the cast.
    let decoder = ReaderBuilder::new(as_text.clone()).with_coerce_primitive(true).with_ignore_type_conflicts(true);
    let mut decoder = decoder.with_batch_size(json.len().max(1)).build_decoder()?;
    let is_object =
        |json: &&str| json.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(json).is_ok();
    let mut lines = String::with_capacity(json.value_data().len() + 3 * json.len());
    for json in json {
        lines.push_str(json.filter(is_object).unwrap_or("{}"));
        lines.push('\n');
    }
    let mut rest = lines.as_bytes();
    while !rest.is_empty() {
        match decoder.decode(rest)? {
            0 => break,
            read => rest = &rest[read..],
        }
    }
    let rows = decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(as_text));
    let typed = conform(&(Arc::new(StructArray::from(rows)) as ArrayRef), &DataType::Struct(fields.clone()))?;
    let arrays = typed.as_struct().columns().to_vec();
    Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, json.nulls().cloned())?))
}

fn text_fields(fields: &Fields) -> Fields {
    let kind = |field: &Field| match field.data_type() {
        DataType::Struct(inner) => DataType::Struct(text_fields(inner)),
        _ => DataType::Utf8,
    };
    fields.iter().map(|field| Field::new(field.name(), kind(field), true)).collect()
}

/// Statistics that another writer has only in the types of the table, as text. NULL for a file without any.
pub(super) fn stats_text(parsed: &StructArray) -> Result<StringArray, ArrowError> {
    let rows = RecordBatch::from(StructArray::try_new(parsed.fields().clone(), parsed.columns().to_vec(), None)?);
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&rows)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    let said = text.lines().enumerate().map(|(row, text)| (parsed.is_valid(row) && text != "{}").then_some(text));
    Ok(said.collect())
}

/// Partition values in the types of their columns. An empty text is NULL.
pub(super) fn parse_partitions(values: &MapArray, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    let (names, texts) = (values.keys().as_string::<i32>(), values.values().as_string::<i32>());
    let column = |field: &Arc<Field>| {
        let texts = values_of(values, names, texts, field.name());
        let texts: StringArray = texts.iter().map(|text| text.filter(|text| !text.is_empty())).collect();
        cast(&texts, field.data_type())
    };
    let arrays = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, None)?))
}

/// The values of one key of a map; NULL where it has none.
pub(super) fn values_of(map: &MapArray, names: &StringArray, texts: &StringArray, stored: &str) -> StringArray {
    let offsets = map.value_offsets();
    let value = |row: usize| {
        let entries = (offsets[row] as usize)..(offsets[row + 1] as usize);
        let entry = entries.into_iter().find(|entry| names.value(*entry) == stored)?;
        (map.is_valid(row) && texts.is_valid(entry)).then(|| texts.value(entry))
    };
    (0..map.len()).map(value).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Decimal128Type, Int64Type, TimeUnit};

    use super::*;

    fn fields() -> ParsedFields {
        let inner: Fields =
            vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Boolean, true)].into();
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("price", DataType::Decimal128(10, 2), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("inner", DataType::Struct(inner), true),
            Field::new("raw", DataType::Binary, true),
            Field::new("day", DataType::Date32, true),
        ]);
        ParsedFields::new(&schema, &["day".to_owned()])
    }

    #[test]
    fn statistics_go_to_the_types_of_the_table_and_back() {
        let fields = fields();
        let json = StringArray::from(vec![
            Some(
                r#"{"numRecords":3,"minValues":{"id":-9223372036854775808,"price":1.25,"at":"2024-01-02T03:04:05.678Z","inner":{"x":7}},"nullCount":{"id":0,"inner":{"x":1,"y":2},"raw":3}}"#,
            ),
            None,
            Some("nonsense"),
            Some(r#"{"numRecords":"many","minValues":{"id":1.5,"price":"x","inner":3},"maxValues":[1]}"#),
            Some(r#"{"numRecords":4} {"#),
        ]);
        let parsed = parse_stats(&json, &fields.stats).unwrap();
        let parsed = parsed.as_struct();
        let group = |name: &str| parsed.column_by_name(name).unwrap().as_struct().clone();
        let (min, nulls) = (group("minValues"), group("nullCount"));
        assert_eq!(min.column_by_name("id").unwrap().as_primitive::<Int64Type>().value(0), i64::MIN);
        assert_eq!(min.column_by_name("price").unwrap().as_primitive::<Decimal128Type>().value(0), 125);
        assert!(min.column_by_name("raw").is_none() && nulls.column_by_name("raw").is_some());
        let rows = parsed.column_by_name("numRecords").unwrap();
        assert_eq!(rows.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(3), None, None, None, None]);
        assert!(parsed.is_null(1) && min.column_by_name("id").unwrap().is_null(3));
        let text = stats_text(parsed).unwrap();
        let again = parse_stats(&text, &fields.stats).unwrap();
        assert_eq!(again.as_struct().column_by_name("minValues"), parsed.column_by_name("minValues"));
        assert!(text.is_null(1), "{text:?}");
    }

    #[test]
    fn partition_values_go_to_the_types_of_their_columns() {
        let rows = super::super::columns::rows_of(&[
            serde_json::json!({"add": {"path": "a", "partitionValues": {"day": "2024-02-29"}}}),
            serde_json::json!({"add": {"path": "b", "partitionValues": {"day": ""}}}),
            serde_json::json!({"add": {"path": "c", "partitionValues": {"day": "never"}}}),
        ]);
        let rows = rows.unwrap();
        let values = rows.column_by_name("add").unwrap().as_struct().column_by_name("partitionValues").unwrap().clone();
        let parsed = parse_partitions(values.as_map(), fields().partitions.as_ref().unwrap()).unwrap();
        let day = cast(parsed.as_struct().column(0), &DataType::Utf8).unwrap();
        assert_eq!(day.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("2024-02-29"), None, None]);
    }
}
