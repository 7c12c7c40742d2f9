//! The definition of a new table, checked before anything is written.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::{DataType, Field, Schema};
use deltalake::kernel::{
    DataType as KernelType, Metadata, MetadataExt, MetadataValue, StructField, StructType,
    engine::arrow_conversion::{TryIntoArrow, TryIntoKernel},
    new_metadata,
};

use super::{
    NewTable,
    alter::{MAX_COLUMN_ID, assign_new},
    features::MAPPING_MODE,
    feed::check_columns,
    identity::{IDENTITY_BY_DEFAULT, IDENTITY_START, IDENTITY_STEP, Identity},
    lossless::delta_type,
    rules::{DEFAULT_KEY, GENERATED_KEY},
    type_name,
};
use crate::{
    StorageError,
    table::{COMMENT_KEY, MappingMode},
};

/// Characters that other readers of the table refuse in a column's name.
const REFUSED_CHARACTERS: [char; 11] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\r', '\t', '='];

/// A new table as Delta will keep it.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) schema: Schema,
    /// The same with the protocol's metadata on every field.
    pub(super) stored: Schema,
    pub(super) columns: StructType,
    pub(super) properties: BTreeMap<String, String>,
    /// The definition as the log will say it, for what its properties mean to the files.
    pub(super) metadata: Metadata,
}

impl Definition {
    pub(super) fn try_new(table: &NewTable) -> Result<Self, StorageError> {
        let name = format!("{}.{}", table.schema_name, table.name);
        let invalid = |reason: String| StorageError::InvalidTable { table: name.clone(), reason };
        if table.schema.fields().is_empty() {
            return Err(invalid("it has no columns".into()));
        }
        let mode = MappingMode::parse(table.properties.get(MAPPING_MODE).map(String::as_str));
        let mapped = mode != MappingMode::None;
        let mut seen = HashSet::new();
        for field in table.schema.fields() {
            check_column(field.name()).map_err(invalid)?;
            if !seen.insert(field.name().to_lowercase()) {
                return Err(invalid(format!("column \"{}\" is there twice", field.name())));
            }
        }
        for field in table.schema.fields() {
            check_parts(field.data_type(), field.name(), mapped).map_err(invalid)?;
        }
        check_partitions(table).map_err(invalid)?;
        check_properties(table).map_err(invalid)?;
        let fields = table.schema.fields().iter().map(|field| delta_field(&name, field));
        let schema = Schema::new(fields.collect::<Result<Vec<_>, _>>()?);
        let refused = |error: &dyn std::fmt::Display| invalid(error.to_string());
        let columns: StructType = (&schema).try_into_kernel().map_err(|error| refused(&error))?;
        let typed = columns.fields().cloned().map(identity_types);
        let mut columns = StructType::try_new(typed).map_err(|error| refused(&error))?;
        check_identities(&columns, &table.partition_columns).map_err(invalid)?;
        let mut properties = table.properties.clone();
        if mapped {
            let (mapped, last) = assign_new(&columns).map_err(|error| refused(&error))?;
            columns = mapped;
            properties.insert(MAX_COLUMN_ID.to_owned(), last.to_string());
        }
        check_columns(&columns, &properties).map_err(invalid)?;
        let stored: Schema = (&columns).try_into_arrow().map_err(|error| refused(&error))?;
        let partition_columns = table.partition_columns.clone();
        let metadata =
            new_metadata(&columns, partition_columns, properties.clone()).map_err(|error| refused(&error))?;
        let metadata = match &table.comment {
            Some(comment) => metadata.with_description(comment.clone()).map_err(|error| refused(&error))?,
            None => metadata,
        };
        Ok(Self { name, schema, stored, columns, properties, metadata })
    }
}

fn delta_field(table: &str, field: &Field) -> Result<Field, StorageError> {
    let data_type = delta_type(field.data_type()).map_err(|reason| StorageError::UnsupportedType {
        table: table.to_owned(),
        column: field.name().clone(),
        given: type_name(field.data_type()),
        reason,
    })?;
    let mut kept = Field::new(field.name(), data_type, field.is_nullable());
    let known = [COMMENT_KEY, DEFAULT_KEY, GENERATED_KEY, IDENTITY_BY_DEFAULT, IDENTITY_START, IDENTITY_STEP];
    let metadata = field.metadata().iter().filter(|(key, _)| known.contains(&key.as_str()));
    kept.set_metadata(metadata.map(|(key, text)| (key.clone(), text.clone())).collect());
    Ok(kept)
}

/// Other writers read numbers and booleans where Arrow's metadata has texts.
fn identity_types(mut field: StructField) -> StructField {
    for key in [IDENTITY_START, IDENTITY_STEP] {
        if let Some(number) = field.metadata.get(key).and_then(|value| value.to_string().parse().ok()) {
            field.metadata.insert(key.to_owned(), MetadataValue::Number(number));
        }
    }
    if let Some(value) = field.metadata.get_mut(IDENTITY_BY_DEFAULT) {
        *value = MetadataValue::Boolean(value.to_string() == "true");
    }
    field
}

fn check_identities(columns: &StructType, partition_columns: &[String]) -> Result<(), String> {
    for field in columns.fields() {
        let Some(Identity { column, step, .. }) = Identity::of(field) else { continue };
        if field.data_type() != &KernelType::LONG {
            return Err(format!("identity column \"{column}\" is not BIGINT"));
        }
        if step == 0 {
            return Err(format!("the numbers of column \"{column}\" do not move: INCREMENT BY 0"));
        }
        if partition_columns.contains(&column) {
            return Err(format!("column \"{column}\" numbers the rows: every one would have a partition of its own"));
        }
    }
    Ok(())
}

pub(super) fn check_column(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a column has no name".into());
    }
    match refused_character(name) {
        Some(c) => Err(format!("column \"{name}\" has {c:?} in its name; name it with AS")),
        None => Ok(()),
    }
}

fn refused_character(name: &str) -> Option<char> {
    name.chars().find(|c| REFUSED_CHARACTERS.contains(c))
}

/// No two fields of a struct, at any depth, have one name, and files can have the names, unless they are `mapped` to others.
pub(super) fn check_parts(data_type: &DataType, path: &str, mapped: bool) -> Result<(), String> {
    match data_type {
        DataType::Struct(fields) => {
            let mut seen = HashSet::new();
            fields.iter().try_for_each(|field| {
                let path = format!("{path}.{}", field.name());
                if !seen.insert(field.name().to_lowercase()) {
                    return Err(format!("field \"{path}\" is there twice"));
                }
                match refused_character(field.name()).filter(|_| !mapped) {
                    Some(c) => Err(format!(
                        "field \"{path}\" has {c:?} in its name; give it another, or the table the property \
                         '{MAPPING_MODE}' = 'name'"
                    )),
                    None => check_parts(field.data_type(), &path, mapped),
                }
            })
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            check_parts(item.data_type(), path, mapped)
        }
        DataType::Map(entries, _) => check_parts(entries.data_type(), path, mapped),
        _ => Ok(()),
    }
}

fn check_partitions(table: &NewTable) -> Result<(), String> {
    let mut seen = HashSet::new();
    for name in &table.partition_columns {
        let Ok(field) = table.schema.field_with_name(name) else {
            return Err(format!("partition column \"{name}\" is not one of its columns"));
        };
        if !seen.insert(name) {
            return Err(format!("partition column \"{name}\" is there twice"));
        }
        if field.data_type().is_nested() || matches!(delta_type(field.data_type()), Ok(DataType::Binary)) {
            return Err(format!("column \"{name}\" is {}; partitions need plain values", type_name(field.data_type())));
        }
    }
    if !seen.is_empty() && seen.len() == table.schema.fields().len() {
        return Err("a column must remain that is not a partition column".into());
    }
    Ok(())
}

/// Features follow from what the definition needs.
fn check_properties(table: &NewTable) -> Result<(), String> {
    let refused = [MAX_COLUMN_ID, "delta.feature.", "delta.minReaderVersion", "delta.minWriterVersion"];
    match table.properties.keys().find(|key| refused.iter().any(|start| key.starts_with(start))) {
        Some(key) => Err(format!("property \"{key}\" cannot be set")),
        None => Ok(()),
    }
}
