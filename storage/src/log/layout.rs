//! Which columns a table has, as the log and its statistics name them.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema};

pub(crate) const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// The name under which a column stands in files, partition values and statistics.
pub(crate) fn physical_name(field: &Field) -> &str {
    field.metadata().get(PHYSICAL_NAME).map_or(field.name(), String::as_str)
}

/// A column of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its name in files, partition values and statistics.
    pub(crate) stored: String,
    pub(crate) data_type: DataType,
}

/// The columns of which the log says something: partition columns in their declared order, and all others that are not
/// nested. Writers disagree on what they count inside structs, lists and maps, so nothing is kept of these.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) partitions: Vec<Column>,
    pub(crate) columns: Vec<Column>,
    /// From stored names to positions in `columns`.
    pub(super) stored: HashMap<String, usize>,
}

impl Layout {
    /// From the table's schema, the protocol's metadata on every field. The first partition column that the schema
    /// lacks is the error.
    pub(super) fn try_new(schema: &Schema, partition_columns: &[String]) -> Result<Self, String> {
        let column = |field: &Field| Column {
            name: field.name().clone(),
            stored: physical_name(field).to_owned(),
            data_type: field.data_type().clone(),
        };
        let partition = |name: &String| {
            let field = schema.field_with_name(name);
            field.map(column).map_err(|_| format!("its partition column \"{name}\" is not in its schema"))
        };
        let partitions = partition_columns.iter().map(partition).collect::<Result<Vec<_>, _>>()?;
        let rest = schema.fields().iter().filter(|field| !partition_columns.contains(field.name()));
        let columns: Vec<Column> =
            rest.filter(|field| !field.data_type().is_nested()).map(|field| column(field)).collect();
        let stored = columns.iter().enumerate().map(|(at, column)| (column.stored.clone(), at)).collect();
        Ok(Self { partitions, columns, stored })
    }
}
