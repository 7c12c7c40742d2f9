//! Parts of a nested column that are never NULL: a field of a STRUCT, the items of an ARRAY or a MAP that another writer of
//! Delta made NOT NULL.
//!
//! The planner's cast refuses a type whose parts may be NULL before it has seen a value, and an UPDATE of the field beside
//! has no other. So here the values are looked at while rows flow, and a part that is missing is an error with its name.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef, Fields},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    scalar::ScalarValue,
};

use crate::{
    StorageError,
    table::{cast_nested, nullable_parts},
};

/// Whether a part of values of this type cannot be NULL.
pub(super) fn has_required(to: &DataType) -> bool {
    let part = |field: &FieldRef| !field.is_nullable() || has_required(field.data_type());
    match to {
        DataType::Struct(fields) => fields.iter().any(part),
        DataType::List(item) => part(item),
        // Keys never are.
        DataType::Map(entries, _) => {
            pair(entries).is_some_and(|pair| has_required(pair[0].data_type()) || part(&pair[1]))
        }
        _ => false,
    }
}

/// `value` as one of type `to`, into which its type fits, or the error that a part is missing.
pub(super) fn with_required(value: Expr, table: &str, column: &str, to: &DataType) -> Expr {
    // Volatile: a constant is checked like any other value, when rows flow, and the error is ours.
    let signature = Signature::any(1, Volatility::Volatile);
    let required = Required { table: table.to_owned(), column: column.to_owned(), to: to.clone(), signature };
    ScalarUDF::new_from_impl(required).call(vec![value])
}

/// The path of a part that is NULL and must not be.
fn missing(values: &ArrayRef, to: &DataType, path: &str) -> Option<String> {
    match (values.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parent = values.as_struct();
            fields.iter().find_map(|field| {
                let path = format!("{path}.{}", field.name());
                let child = parent.column_by_name(field.name())?;
                let is_missing = |row: usize| parent.is_valid(row) && child.is_null(row);
                match !field.is_nullable() && (0..parent.len()).any(is_missing) {
                    true => Some(path),
                    false => missing(child, field.data_type(), &path),
                }
            })
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = values.as_list::<i32>();
            entries_missing(list.values(), list.offsets(), item, &format!("{path}.element"))
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let (map, pair) = (values.as_map(), pair(entries)?);
            let part = |values: &ArrayRef, field: &FieldRef, name: &str| {
                entries_missing(values, map.offsets(), field, &format!("{path}.{name}"))
            };
            part(map.keys(), &pair[0], "key").or_else(|| part(map.values(), &pair[1], "value"))
        }
        _ => None,
    }
}

fn entries_missing(values: &ArrayRef, offsets: &[i32], field: &FieldRef, path: &str) -> Option<String> {
    let (start, end) = (usize::try_from(*offsets.first()?).ok()?, usize::try_from(*offsets.last()?).ok()?);
    let values = values.slice(start, end - start);
    match !field.is_nullable() && values.logical_null_count() > 0 {
        true => Some(path.to_owned()),
        false => missing(&values, field.data_type(), path),
    }
}

fn pair(entries: &FieldRef) -> Option<&Fields> {
    match entries.data_type() {
        DataType::Struct(pair) if pair.len() == 2 => Some(pair),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Required {
    table: String,
    column: String,
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Required {
    fn name(&self) -> &str {
        "with_required"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.first().is_none_or(|given| given.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return Err(DataFusionError::Internal("one value is looked at".into()));
        };
        // A constant stands for no row when there is none.
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&self.to)?));
        }
        let (values, is_constant) = match value {
            ColumnarValue::Array(values) => (values.clone(), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        // Lists and numbers of all kinds are those of the table before anything is looked for.
        let values = cast_nested(&values, &nullable_parts(&self.to))?;
        if let Some(column) = missing(&values, &self.to, &self.column) {
            let error = StorageError::NullValue { table: self.table.clone(), column };
            return Err(DataFusionError::External(Box::new(error)));
        }
        let values = cast_nested(&values, &self.to)?;
        match is_constant {
            true => ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, ListArray, StructArray},
        buffer::{NullBuffer, OffsetBuffer},
    };

    use super::*;

    fn record(nullable: bool) -> DataType {
        let fields = vec![Field::new("a", DataType::Int32, nullable), Field::new("b", DataType::Int32, true)];
        DataType::Struct(fields.into())
    }

    fn records(a: Vec<Option<i32>>, valid: Vec<bool>) -> ArrayRef {
        let DataType::Struct(fields) = record(true) else { panic!("a struct") };
        let a: ArrayRef = Arc::new(Int32Array::from(a));
        Arc::new(StructArray::new(fields, vec![a.clone(), a], Some(NullBuffer::from(valid))))
    }

    #[test]
    fn a_missing_part_has_a_name_and_one_below_null_is_none() {
        let to = record(false);
        assert!(has_required(&to) && !has_required(&record(true)));
        let good = records(vec![Some(1), None], vec![true, false]);
        assert_eq!(missing(&good, &to, "s"), None);
        assert_eq!(cast_nested(&good, &to).unwrap().data_type(), &to);
        let bad = records(vec![Some(1), None], vec![true, true]);
        assert_eq!(missing(&bad, &to, "s").as_deref(), Some("s.a"));

        let list = |items: ArrayRef| {
            let item = Arc::new(Field::new("element", items.data_type().clone(), true));
            Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1, 1]), items, None)) as ArrayRef
        };
        let items = |item: DataType, nullable| DataType::List(Arc::new(Field::new("element", item, nullable)));
        assert_eq!(missing(&list(bad), &items(to.clone(), true), "l").as_deref(), Some("l.element.a"));
        assert_eq!(missing(&list(good.clone()), &items(to, true), "l"), None);
        assert_eq!(missing(&list(good), &items(record(true), false), "l").as_deref(), Some("l.element"));
    }
}
