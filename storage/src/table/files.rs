//! The files of a table at one version, as Arrow arrays.
//!
//! Built once per snapshot from the loaded log and shared by all its scans. Partition values and statistics have the
//! types of the table's columns, so that pruning is a few vectorized comparisons however many files there are.
//! The bounds kept here always hold: where a writer may have shortened or rounded them, they are widened first, and
//! where they cannot be trusted, they are left out.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray, new_null_array},
    compute::{cast, concat},
    datatypes::{Field, Int64Type, Schema},
    error::ArrowError,
};
use deltalake::{DeltaResult, DeltaTable, DeltaTableError};

use super::{bounds, deletion::SelectionCache, mapping::physical_name};

/// The active files of one version.
#[derive(Debug)]
pub(crate) struct FileIndex {
    paths: StringArray,
    sizes: Int64Array,
    modified_ms: Int64Array,
    rows: Int64Array,
    deleted: Option<Int64Array>,
    partitions: Vec<(String, ArrayRef)>,
    columns: HashMap<String, ColumnBounds>,
    /// Decoded deletion vectors, by file; read by the first query that needs them.
    pub(super) selections: SelectionCache,
}

/// What the log says about one column, file by file.
#[derive(Debug, Default)]
pub(crate) struct ColumnBounds {
    pub(crate) nulls: Option<Int64Array>,
    pub(crate) min: Option<ArrayRef>,
    pub(crate) max: Option<ArrayRef>,
    /// The bounds are values that occur, not merely bounds. Never so in a table whose files may hide deleted rows.
    pub(crate) exact: bool,
}

impl FileIndex {
    /// Reads the loaded log of `table`, whose columns are those of `schema`.
    pub(crate) fn load(table: &DeltaTable, schema: &Schema) -> DeltaResult<Self> {
        let state = table.snapshot()?;
        let batches = state.add_actions_batches(false)?;
        let hides_rows = state
            .protocol()
            .reader_features()
            .is_some_and(|features| features.iter().any(|feature| feature.to_string() == "deletionVectors"));
        let physical = state.snapshot().arrow_schema();
        let partition_columns = state.metadata().partition_columns();
        let mut index = Self {
            paths: required(&batches, "path")?.as_string::<i32>().clone(),
            sizes: required(&batches, "size_bytes")?.as_primitive::<Int64Type>().clone(),
            modified_ms: required(&batches, "modification_time")?.as_primitive::<Int64Type>().clone(),
            rows: required(&batches, "num_records")?.as_primitive::<Int64Type>().clone(),
            deleted: None,
            partitions: Vec::with_capacity(partition_columns.len()),
            columns: HashMap::new(),
            selections: SelectionCache::default(),
        };
        index.deleted =
            nested(&batches, "deletion_vector", "cardinality")?.map(|a| a.as_primitive::<Int64Type>().clone());
        for name in partition_columns {
            let field = schema.field_with_name(name)?;
            let values = match nested(&batches, "partition", name)? {
                Some(values) => cast(&values, field.data_type())?,
                None if index.len() == 0 => new_null_array(field.data_type(), 0),
                None => {
                    return Err(DeltaTableError::generic(format!("the log has no values of partition column {name}")));
                }
            };
            index.partitions.push((name.clone(), values));
        }
        for field in schema.fields().iter().filter(|field| !partition_columns.contains(field.name())) {
            let stored = physical.field_with_name(field.name()).map_or(field.name().as_str(), physical_name);
            let column = column_bounds(&batches, field, stored, hides_rows)?;
            if column.nulls.is_some() || column.min.is_some() || column.max.is_some() {
                index.columns.insert(field.name().clone(), column);
            }
        }
        Ok(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The path as the log has it: percent-encoded, relative to the table or absolute.
    pub(crate) fn path(&self, file: usize) -> &str {
        self.paths.value(file)
    }

    pub(crate) fn size(&self, file: usize) -> u64 {
        u64::try_from(self.sizes.value(file)).unwrap_or(0)
    }

    pub(crate) fn modified_ms(&self, file: usize) -> i64 {
        self.modified_ms.value(file)
    }

    /// Rows in the file, those that its deletion vector hides included.
    pub(crate) fn stored_rows(&self) -> &Int64Array {
        &self.rows
    }

    /// Rows that a reader sees, where the log knows.
    pub(crate) fn visible_rows(&self, file: usize) -> Option<u64> {
        let stored = self.rows.is_valid(file).then(|| self.rows.value(file))?;
        u64::try_from(stored - self.deleted_rows(file).unwrap_or(0)).ok()
    }

    /// Rows that the file's deletion vector hides; `None` when it has none.
    pub(crate) fn deleted_rows(&self, file: usize) -> Option<i64> {
        self.deleted.as_ref().filter(|deleted| deleted.is_valid(file)).map(|deleted| deleted.value(file))
    }

    /// Partition columns in their declared order.
    pub(crate) fn partitions(&self) -> &[(String, ArrayRef)] {
        &self.partitions
    }

    /// The values of a partition column.
    pub(crate) fn partition(&self, column: &str) -> Option<&ArrayRef> {
        self.partitions.iter().find(|(name, _)| name == column).map(|(_, values)| values)
    }

    /// The statistics of a column that is not a partition column.
    pub(crate) fn column(&self, column: &str) -> Option<&ColumnBounds> {
        self.columns.get(column)
    }
}

/// Statistics of one column. Those inside structs, lists and maps are left out: writers disagree on what they count.
fn column_bounds(batches: &[RecordBatch], field: &Field, stored: &str, hides_rows: bool) -> DeltaResult<ColumnBounds> {
    if field.data_type().is_nested() {
        return Ok(ColumnBounds::default());
    }
    let nulls = nested(batches, "null_count", stored)?.filter(|a| a.null_count() < a.len());
    let typed = |name: &str| -> DeltaResult<Option<ArrayRef>> {
        let values = nested(batches, name, stored)?.filter(|a| a.null_count() < a.len());
        Ok(values.map(|a| cast(&a, field.data_type())).transpose()?)
    };
    let (min, max) = (typed("min")?, typed("max")?);
    let exact = !hides_rows && bounds::are_exact(min.as_ref(), max.as_ref());
    Ok(ColumnBounds {
        nulls: nulls.and_then(|a| a.as_primitive_opt::<Int64Type>().cloned()),
        min: min.as_ref().and_then(bounds::lower),
        max: max.as_ref().and_then(bounds::upper),
        exact,
    })
}

/// A column that every log has.
fn required(batches: &[RecordBatch], name: &str) -> DeltaResult<ArrayRef> {
    let parts = batches.iter().map(|batch| {
        batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("the log has no column {name}")))
    });
    let parts = parts.map(|part| part.map(|a| a.as_ref())).collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        let kind = if name == "path" { arrow::datatypes::DataType::Utf8 } else { arrow::datatypes::DataType::Int64 };
        return Ok(new_null_array(&kind, 0));
    }
    Ok(concat(&parts)?)
}

/// A field of a struct column; `None` when this table has no such column. A NULL struct makes its fields NULL.
fn nested(batches: &[RecordBatch], outer: &str, inner: &str) -> DeltaResult<Option<ArrayRef>> {
    let mut parts = Vec::with_capacity(batches.len());
    for batch in batches {
        let Some(column) = batch.column_by_name(outer).and_then(|a| a.as_struct_opt()) else { return Ok(None) };
        let Some(field) = field_of(column, inner)? else { return Ok(None) };
        parts.push(field);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(if parts.is_empty() { None } else { Some(concat(&parts)?) })
}

fn field_of(column: &StructArray, name: &str) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(field) = column.column_by_name(name) else { return Ok(None) };
    match column.nulls() {
        Some(nulls) if nulls.null_count() > 0 => {
            let absent = arrow::array::BooleanArray::new(!nulls.inner(), None);
            Ok(Some(arrow::compute::nullif(field, &absent)?))
        }
        _ => Ok(Some(field.clone())),
    }
}
