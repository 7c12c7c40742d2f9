//! Which columns a copy can hold, and as what.
//!
//! Only types whose every value comes back bit by bit are let in; a file with any other gets no copy. Encodings that
//! mean the same are made one, so that a copy has one form whichever library wrote the original. Field metadata (the
//! ids of column mapping) stays.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use parquet::file::metadata::ParquetMetaData;

use crate::views::viewed;

/// The columns of a copy of a file with the columns of `schema`; `None` when a copy cannot hold them.
pub(super) fn stored(schema: &Schema) -> Option<Schema> {
    if schema.fields().is_empty() {
        return None;
    }
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let fields: Option<Fields> = schema.fields().iter().map(stored_field).collect();
    fields.filter(|fields| fields.len() == names.len()).map(Schema::new)
}

/// The same columns, those of them marked that hold no NULL in this file: they take less room, and Vortex decides filters
/// on them (see `filter`). What the file's footer says of NULLs is not believed: a NULL in such a column ends the making.
pub(super) fn without_nulls(stored: Schema, parquet: &ParquetMetaData) -> Schema {
    let mut full = vec![true; stored.fields().len()];
    for group in parquet.row_groups() {
        for (leaf, column) in group.columns().iter().enumerate() {
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            if let Some(full) = full.get_mut(group.schema_descr().get_column_root_idx(leaf)) {
                *full &= nulls == Some(0);
            }
        }
    }
    let field = |(field, full): (&FieldRef, bool)| match full && !field.data_type().is_nested() {
        true => Arc::new(field.as_ref().clone().with_nullable(false)),
        false => field.clone(),
    };
    Schema::new(stored.fields().iter().zip(full).map(field).collect::<Fields>())
}

/// The same columns with texts and bytes in the form that a scan of `table` has them in, which saves a cast.
pub(super) fn as_in_table(stored: &Schema, table: &Schema) -> Schema {
    let is_view = |field: &FieldRef| matches!(field.data_type(), DataType::Utf8View | DataType::BinaryView);
    match table.fields().iter().any(is_view) {
        true => Schema::new(stored.fields().iter().map(viewed).collect::<Fields>()),
        false => stored.clone(),
    }
}

fn stored_field(field: &FieldRef) -> Option<FieldRef> {
    Some(Arc::new(field.as_ref().clone().with_data_type(stored_type(field.data_type())?)))
}

fn stored_type(kind: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match kind {
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => kind.clone(),
        Float32 | Float64 | Date32 | Timestamp(_, _) => kind.clone(),
        Decimal128(_, scale) if *scale >= 0 => kind.clone(),
        Utf8 | LargeUtf8 | Utf8View => Utf8,
        Binary | LargeBinary | BinaryView => Binary,
        Dictionary(_, values) => stored_type(values)?,
        List(item) => List(stored_field(item)?),
        Map(entries, sorted) => Map(stored_field(entries)?, *sorted),
        Struct(fields) if !fields.is_empty() => Struct(fields.iter().map(stored_field).collect::<Option<_>>()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn schema(kind: DataType) -> Schema {
        let id = [("PARQUET:field_id".to_owned(), "7".to_owned())].into();
        Schema::new(vec![Field::new("a", kind, true).with_metadata(id)])
    }

    #[test]
    fn encodings_are_made_one_and_ids_stay() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        assert_eq!(stored(&schema(dictionary)), Some(schema(DataType::Utf8)));
        let list = |kind| DataType::List(Arc::new(Field::new("item", kind, true)));
        let as_scanned = |kind| as_in_table(&schema(kind), &schema(DataType::Utf8View));
        assert_eq!(as_scanned(DataType::Utf8), schema(DataType::Utf8View));
        assert_eq!(as_scanned(list(DataType::Utf8)), schema(list(DataType::Utf8)));
        assert_eq!(as_in_table(&schema(DataType::Utf8), &schema(DataType::Utf8)), schema(DataType::Utf8));
    }

    #[test]
    fn a_column_that_might_not_come_back_gets_no_copy() {
        for kind in [DataType::Float16, DataType::Date64, DataType::Decimal256(50, 2), DataType::FixedSizeBinary(3)] {
            let nested = DataType::Struct(vec![Field::new("in", kind.clone(), true)].into());
            assert_eq!((stored(&schema(kind)), stored(&schema(nested))), (None, None));
        }
        assert_eq!(stored(&Schema::empty()), None);
    }
}
