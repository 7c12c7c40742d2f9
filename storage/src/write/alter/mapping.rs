//! Column mapping: an id and a physical name for every column and field.
//!
//! Delta protocol, "Column Mapping": ids are never used twice, `delta.columnMapping.maxColumnId` is the highest one; a
//! column keeps its id and its physical name for as long as it lives, whatever SQL calls it.

use std::collections::BTreeMap;

use deltalake::kernel::{ArrayType, DataType, MapType, MetadataValue, StructField, StructType};
use uuid::Uuid;

use crate::{log::PHYSICAL_NAME, table::COLUMN_ID};

pub(in crate::write) const MAX_COLUMN_ID: &str = "delta.columnMapping.maxColumnId";

/// How a column that has no physical name gets one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The files that are there have it under its name.
    AsItIs,
    /// No file has it: a name that no column had before.
    New,
}

/// The highest id that was ever used.
pub(super) fn last_id(columns: &StructType, properties: &BTreeMap<String, String>) -> i64 {
    let noted = properties.get(MAX_COLUMN_ID).and_then(|id| id.parse().ok()).unwrap_or(0);
    columns.fields().map(highest).fold(noted, i64::max)
}

/// Columns of files that were written without mapping.
pub(super) fn with_ids(columns: &StructType, last: &mut i64) -> Result<StructType, deltalake::DeltaTableError> {
    mapped(columns, last, Naming::AsItIs)
}

/// A new column.
pub(super) fn with_new_ids(field: StructField, last: &mut i64) -> StructField {
    map_field(&field, last, Naming::New)
}

/// All columns of a new table.
pub(in crate::write) fn assign_new(columns: &StructType) -> Result<(StructType, i64), deltalake::DeltaTableError> {
    let mut last = 0;
    Ok((mapped(columns, &mut last, Naming::New)?, last))
}

fn mapped(columns: &StructType, last: &mut i64, naming: Naming) -> Result<StructType, deltalake::DeltaTableError> {
    let fields: Vec<StructField> = columns.fields().map(|field| map_field(field, last, naming)).collect();
    Ok(StructType::try_new(fields)?)
}

fn map_field(field: &StructField, last: &mut i64, naming: Naming) -> StructField {
    let mut field = field.clone();
    if !field.metadata.contains_key(COLUMN_ID) {
        *last += 1;
        field.metadata.insert(COLUMN_ID.to_owned(), MetadataValue::Number(*last));
    }
    if !field.metadata.contains_key(PHYSICAL_NAME) {
        let name = match naming {
            Naming::AsItIs => field.name.clone(),
            Naming::New => format!("col-{}", Uuid::new_v4()),
        };
        field.metadata.insert(PHYSICAL_NAME.to_owned(), MetadataValue::String(name));
    }
    field.data_type = map_type(&field.data_type, last, naming);
    field
}

fn map_type(kind: &DataType, last: &mut i64, naming: Naming) -> DataType {
    match kind {
        DataType::Struct(inner) => {
            let fields: Vec<StructField> = inner.fields().map(|field| map_field(field, last, naming)).collect();
            StructType::try_new(fields).map_or_else(|_| kind.clone(), DataType::from)
        }
        DataType::Array(array) => {
            ArrayType::new(map_type(array.element_type(), last, naming), array.contains_null()).into()
        }
        DataType::Map(map) => {
            let (key, value) = (map_type(map.key_type(), last, naming), map_type(map.value_type(), last, naming));
            MapType::new(key, value, map.value_contains_null()).into()
        }
        other => other.clone(),
    }
}

fn highest(field: &StructField) -> i64 {
    let own = match field.metadata.get(COLUMN_ID) {
        Some(MetadataValue::Number(id)) => *id,
        _ => 0,
    };
    own.max(highest_in(field.data_type()))
}

fn highest_in(kind: &DataType) -> i64 {
    match kind {
        DataType::Struct(inner) => inner.fields().map(highest).fold(0, i64::max),
        DataType::Array(array) => highest_in(array.element_type()),
        DataType::Map(map) => highest_in(map.key_type()).max(highest_in(map.value_type())),
        _ => 0,
    }
}
