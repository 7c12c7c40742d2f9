//! What drivers want to know about a column beyond its Arrow type, as metadata of its field.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use boathouse_engine::{TableColumns, TableEntry};

use super::list::CATALOG;

/// The schema of a table with each column described.
pub fn described(columns: &TableColumns, table: &TableEntry) -> Schema {
    let numbered = |field: &Field| columns.numbered.contains(field.name());
    let fields = columns.schema.fields().iter().map(|field| describe(field, table, numbered(field)));
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), columns.schema.metadata().clone())
}

fn describe(field: &Field, table: &TableEntry, is_numbered: bool) -> Field {
    let mut facts = HashMap::from([
        ("CATALOG_NAME", CATALOG.to_owned()),
        ("SCHEMA_NAME", table.schema.clone()),
        ("TABLE_NAME", table.name.clone()),
        ("TYPE_NAME", type_name(field.data_type())),
        ("IS_AUTO_INCREMENT", if is_numbered { "1" } else { "0" }.to_owned()),
        ("IS_CASE_SENSITIVE", if text(field.data_type()) { "1" } else { "0" }.to_owned()),
        ("IS_READ_ONLY", if table.kind == "VIEW" { "1" } else { "0" }.to_owned()),
        ("IS_SEARCHABLE", "1".to_owned()),
    ]);
    if let Some((precision, scale)) = precision(field.data_type()) {
        facts.insert("PRECISION", precision.to_string());
        facts.insert("SCALE", scale.to_string());
    }
    if let Some(comment) = field.metadata().get("comment") {
        facts.insert("REMARKS", comment.clone());
    }
    let facts = facts.into_iter().map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value));
    let metadata = field.metadata().clone().into_iter().chain(facts).collect();
    field.clone().with_metadata(metadata)
}

/// The SQL name of a type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INTEGER UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float16 | DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision},{scale})"),
        data_type if text(data_type) => "VARCHAR".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "VARBINARY".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".to_owned(),
        DataType::Struct(_) => "STRUCT".to_owned(),
        DataType::Map(_, _) => "MAP".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", type_name(item.data_type()))
        }
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_uppercase(),
    }
}

fn text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Decimal digits and those after the point.
fn precision(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Float16 | DataType::Float32 => (7, 0),
        DataType::Float64 => (15, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => (0, 0),
            TimeUnit::Millisecond => (3, 3),
            TimeUnit::Microsecond => (6, 6),
            TimeUnit::Nanosecond => (9, 9),
        },
        _ => return None,
    })
}
