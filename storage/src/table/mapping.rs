//! From the columns of a Parquet file to the columns of the table.
//!
//! A file may name its columns differently (column mapping), declare its nested fields nullable where the table does
//! not (Spark does), have fewer columns, or narrower types. Names and nullability are put right here by relabelling
//! arrays, without a copy; what is inside of arrays and maps is cast (see `nested`); missing columns and other casts are
//! left to DataFusion's adapter, which works by name.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    common::{
        Result, internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};

use super::nested::{cast_nested, fitted};
use crate::log::physical_name;

pub(crate) const COLUMN_ID: &str = "delta.columnMapping.id";
pub(crate) const PARQUET_ID: &str = "PARQUET:field_id";

/// How columns are found in files: the table property `delta.columnMapping.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MappingMode {
    None,
    Name,
    Id,
}

impl MappingMode {
    /// Reads the property's value.
    pub(crate) fn parse(mode: Option<&str>) -> Self {
        match mode {
            Some("name") => Self::Name,
            Some("id") => Self::Id,
            _ => Self::None,
        }
    }
}

/// Makes the adapter of each file of one table.
#[derive(Debug)]
pub(super) struct TableAdapterFactory {
    /// The table's columns with the protocol's metadata on every field.
    pub(super) columns: SchemaRef,
    pub(super) mode: MappingMode,
}

impl PhysicalExprAdapterFactory for TableAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let named = conform_fields(physical.fields(), self.columns.fields(), self.mode);
        let fields = named.iter().map(|field| match logical.field_with_name(field.name()) {
            Ok(want) => {
                let kind = fitted(field.data_type(), want.data_type());
                Arc::new(field.as_ref().clone().with_data_type(kind))
            }
            Err(_) => field.clone(),
        });
        let seen = Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), physical.metadata().clone()));
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, seen.clone())?;
        Ok(Arc::new(TableAdapter { inner, named, seen, physical }))
    }
}

/// Rewrites expressions over the table's columns to expressions over one file's columns.
#[derive(Debug)]
struct TableAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    /// The file's columns in the table's words.
    named: Fields,
    /// The same with what is in arrays and maps in the table's types.
    seen: SchemaRef,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for TableAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.inner.rewrite(expr)?;
        adapted
            .transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
                let (seen, stored) = (self.seen.field(column.index()), self.physical.field(column.index()));
                if seen.data_type() != stored.data_type() {
                    let named = self.named.get(column.index()).map_or(seen.data_type(), |named| named.data_type());
                    let (named, to) = (named.clone(), seen.clone().into());
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(stored.name(), column.index()));
                    return Ok(Transformed::yes(Arc::new(Relabel { column, named, to }) as _));
                }
                if seen.name() != stored.name() {
                    return Ok(Transformed::yes(Arc::new(Column::new(stored.name(), column.index())) as _));
                }
                Ok(Transformed::no(expr))
            })
            .data()
    }
}

/// The file's fields with the names and nested nullability of the table's fields that they hold.
fn conform_fields(stored: &Fields, table: &Fields, mode: MappingMode) -> Fields {
    stored
        .iter()
        .map(|field| match table.iter().find(|column| holds(field, column, mode)) {
            Some(column) => conform_field(field, column.name(), field.is_nullable(), column, mode),
            // Hidden from the table, even when a table column happens to have this name.
            None if mode != MappingMode::None && table.iter().any(|column| column.name() == field.name()) => {
                Arc::new(field.as_ref().clone().with_name(format!("{}\u{0}", field.name())))
            }
            None => field.clone(),
        })
        .collect()
}

fn conform_field(stored: &FieldRef, name: &str, nullable: bool, table: &Field, mode: MappingMode) -> FieldRef {
    let kind = match (stored.data_type(), table.data_type()) {
        (DataType::Struct(stored), DataType::Struct(table)) => {
            let inner = conform_fields(stored, table, mode);
            DataType::Struct(inner.iter().map(|field| with_nullability_of(field, table)).collect())
        }
        (DataType::List(stored), DataType::List(table)) => {
            DataType::List(conform_field(stored, table.name(), table.is_nullable(), table, mode))
        }
        (DataType::LargeList(stored), DataType::List(table)) => {
            DataType::LargeList(conform_field(stored, table.name(), table.is_nullable(), table, mode))
        }
        (DataType::Map(stored, sorted), DataType::Map(table, _)) => {
            DataType::Map(conform_entries(stored, table, mode), *sorted)
        }
        (kind, _) => kind.clone(),
    };
    Arc::new(stored.as_ref().clone().with_name(name).with_nullable(nullable).with_data_type(kind))
}

/// Keys and values are matched by their place: writers name them differently.
fn conform_entries(stored: &FieldRef, table: &FieldRef, mode: MappingMode) -> FieldRef {
    let (DataType::Struct(pair), DataType::Struct(table_pair)) = (stored.data_type(), table.data_type()) else {
        return stored.clone();
    };
    let fields: Fields = pair
        .iter()
        .zip(table_pair)
        .map(|(field, column)| conform_field(field, column.name(), column.is_nullable(), column, mode))
        .collect();
    Arc::new(stored.as_ref().clone().with_name(table.name()).with_data_type(DataType::Struct(fields)))
}

fn with_nullability_of(field: &FieldRef, table: &Fields) -> FieldRef {
    match table.iter().find(|column| column.name() == field.name()) {
        Some(column) if column.is_nullable() != field.is_nullable() => {
            Arc::new(field.as_ref().clone().with_nullable(column.is_nullable()))
        }
        _ => field.clone(),
    }
}

/// Whether a file's column `stored` has the values of the table's `column`.
pub(crate) fn holds(stored: &Field, column: &Field, mode: MappingMode) -> bool {
    if mode == MappingMode::Id
        && let (Some(stored), Some(id)) = (stored.metadata().get(PARQUET_ID), column_id(column))
    {
        return stored == id;
    }
    stored.name() == if mode == MappingMode::None { column.name() } else { physical_name(column) }
}

fn column_id(column: &Field) -> Option<&String> {
    column.metadata().get(COLUMN_ID).or_else(|| column.metadata().get(PARQUET_ID))
}

/// A file's column with other names inside it, and other types inside of arrays and maps.
#[derive(Debug)]
struct Relabel {
    column: Arc<dyn PhysicalExpr>,
    /// The type under other names.
    named: DataType,
    to: FieldRef,
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Self) -> bool {
        self.column.as_ref() == other.column.as_ref() && self.named == other.named && self.to == other.to
    }
}

impl Eq for Relabel {}

impl Hash for Relabel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.named.hash(state);
        self.to.hash(state);
    }
}

impl fmt::Display for Relabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to.name())
    }
}

impl PhysicalExpr for Relabel {
    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        let nullable = self.column.nullable(input)?;
        Ok(Arc::new(self.to.as_ref().clone().with_nullable(nullable)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(cast_nested(&relabel(&array, &self.named)?, self.to.data_type())?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(column), true) => Ok(Arc::new(Self { column, named: self.named.clone(), to: self.to.clone() })),
            _ => internal_err!("a relabelled column has one child"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The same values under the names and nullability of `to`. An error when a field that must not be NULL is.
pub(crate) fn relabel(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match to {
        DataType::Struct(fields) => Ok(Arc::new(relabel_struct(array.as_struct(), fields)?)),
        DataType::List(field) => relabel_list::<i32>(array, field),
        DataType::LargeList(field) => relabel_list::<i64>(array, field),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::SchemaError(format!("a map of {} is not a map", entries.data_type())));
            };
            let map = array.as_map();
            let pairs = relabel_struct(map.entries(), fields)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?))
        }
        _ => Err(ArrowError::CastError(format!("{} is not stored as {to}", array.data_type()))),
    }
}

fn relabel_struct(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns = array.columns().iter().zip(fields);
    let columns = columns.map(|(column, field)| relabel(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
}

fn relabel_list<O: OffsetSizeTrait>(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let values = relabel(list.values(), field.data_type())?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    Ok(Arc::new(GenericListArray::<O>::try_new(field.clone(), offsets, values, nulls)?))
}
