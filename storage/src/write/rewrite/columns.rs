//! How the columns of a file come into the one that takes its place.

use std::{ops::Range, sync::Arc};

use arrow::datatypes::{DataType, FieldRef, Schema};
use parquet::{
    arrow::{ArrowSchemaConverter, arrow_reader::ArrowReaderMetadata},
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

use crate::{
    Snapshot,
    table::{MappingMode, holds},
    write::{data::FileLayout, features::MAPPING_MODE},
};

/// Spark's marks of dates and times in an old calendar. They are about all values of a file.
const OLD_CALENDAR: &str = "legacy";
const ARROW_SCHEMA: &str = "ARROW:schema";

/// One column of the table in the new file.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    /// As it is encoded, under its name in files.
    pub(super) field: FieldRef,
    /// Its place among the columns of the old file; `None` for one that the file does not have yet.
    pub(super) root: Option<usize>,
    /// The same for what the file stores of it.
    pub(super) leaves: Range<usize>,
    /// Its place among the columns whose values change.
    pub(super) patch: Option<usize>,
    /// The file has it in another form: it is encoded everywhere, or the file would have it in two.
    pub(super) anew: bool,
}

/// The columns of the new file.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) schema: TypePtr,
    pub(super) columns: Vec<Arc<ColumnPlan>>,
}

/// `patched` are the positions of the table's columns whose values change, `drops` says whether rows go. `None` for a file
/// that has a column, one that must be decoded, in a form that we do not write.
pub(super) fn columns(
    table: &Snapshot,
    layout: &FileLayout,
    footer: &ArrowReaderMetadata,
    patched: &[usize],
    drops: bool,
) -> Option<Columns> {
    let metadata = footer.metadata();
    let notes = metadata.file_metadata().key_value_metadata();
    let mut chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    if notes.is_some_and(|notes| notes.iter().any(|note| note.key.contains(OLD_CALENDAR)))
        || chunks.any(|chunk| chunk.file_path().is_some())
    {
        return None;
    }
    let mode = MappingMode::parse(table.log().metadata.configuration().get(MAPPING_MODE).map(String::as_str));
    let old = metadata.file_metadata().schema_descr();
    let old_roots = old.root_schema().get_fields();
    let (stored, declared) = (layout.stored(), table.arrow_schema());
    let partition_columns = table.partition_columns();
    let (mut roots, mut columns) = (Vec::new(), Vec::new());
    for (at, (field, column)) in stored.fields().iter().zip(declared.fields()).enumerate() {
        if partition_columns.contains(column.name()) {
            continue;
        }
        let patch = patched.iter().position(|patched| *patched == at);
        let root = footer.schema().fields().iter().position(|stored| holds(stored, column, mode));
        let Some(root) = root else {
            if patch.is_some() {
                roots.push(ours(field)?);
                columns.push(ColumnPlan { field: field.clone(), root: None, leaves: 0..0, patch, anew: true });
            }
            continue;
        };
        let (theirs, seen) = (old_roots.get(root)?, footer.schema().field(root));
        let field = Arc::new(field.as_ref().clone().with_nullable(field.is_nullable() || seen.is_nullable()));
        let mut kept = theirs.clone();
        if drops || patch.is_some() {
            if !same_shape(seen.data_type(), field.data_type()) {
                return None;
            }
            kept = ours(&field)?;
        }
        let anew = kept != *theirs;
        roots.push(kept);
        columns.push(ColumnPlan { field, root: Some(root), leaves: leaves(old, root), patch, anew });
    }
    if columns.is_empty() {
        return None;
    }
    let schema = Type::group_type_builder(old.root_schema().name()).with_fields(roots).build().ok()?;
    let columns = columns.into_iter().map(Arc::new).collect();
    Some(Columns { schema: Arc::new(schema), columns })
}

/// What a footer says besides, for the new file: all but the old one's Arrow types.
pub(super) fn notes(footer: &ArrowReaderMetadata) -> Vec<parquet::file::metadata::KeyValue> {
    let notes = footer.metadata().file_metadata().key_value_metadata();
    notes.into_iter().flatten().filter(|note| note.key != ARROW_SCHEMA).cloned().collect()
}

/// The form in which we write a column.
fn ours(field: &FieldRef) -> Option<TypePtr> {
    let schema = ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()])).ok()?;
    schema.root_schema().get_fields().first().cloned()
}

fn leaves(schema: &SchemaDescriptor, root: usize) -> Range<usize> {
    let is_of_root = |leaf: &usize| schema.get_column_root_idx(*leaf) == root;
    let mut leaves = (0..schema.num_columns()).filter(is_of_root);
    let first = leaves.next().unwrap_or(0);
    first..leaves.next_back().unwrap_or(first) + 1
}

/// Whether one type is the other under other names.
fn same_shape(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| one.name() == other.name() && same_shape(one.data_type(), other.data_type()))
        }
        (DataType::List(one), DataType::List(other)) => same_shape(one.data_type(), other.data_type()),
        (DataType::Map(one, _), DataType::Map(other, _)) => match (one.data_type(), other.data_type()) {
            // Keys and values are matched by their place.
            (DataType::Struct(one), DataType::Struct(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| same_shape(one.data_type(), other.data_type()))
            }
            _ => false,
        },
        (one, other) => one == other,
    }
}
