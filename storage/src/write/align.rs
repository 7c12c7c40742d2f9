//! Structs by the names of their fields: what WITH SCHEMA EVOLUTION makes of nested values.
//!
//! A table that evolves takes structs that lack some of its fields, or have them in another order: at every depth, in
//! arrays and maps too, fields are matched by name, without case as Delta does, and one that is not given is NULL. Types of
//! values stay as they are given: [`super::conform`] judges them afterwards. No field that is given is ever left out. For
//! `UPDATE SET *` a field of a struct that is not given keeps its value.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray},
    compute::{is_null, nullif},
    datatypes::{DataType, Field, FieldRef, Fields},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    scalar::ScalarValue,
};

use crate::table::{cast_nested, relabel, same_but_metadata};

/// `value`, of type `from`, with its structs in the shape of `to`. As it is where it has that shape already, and where it
/// cannot have it: then it does not fit into a column of type `to`. A field of a struct, not of one in an array or a map,
/// that is not given is that of `kept`, a value of type `to`, when there is one.
pub fn aligned(value: Expr, from: &DataType, to: &DataType, kept: Option<Expr>) -> Expr {
    let Some((named, shape)) = shape(from, to).filter(|(_, shape)| !same_but_metadata(from, shape)) else {
        return value;
    };
    // With nothing to cast there is no need to differ in what nobody sees.
    let shape = if same_but_metadata(&shape, to) { to.clone() } else { shape };
    let args: Vec<Expr> = std::iter::once(value).chain(kept.filter(|_| lacks_fields(from, to))).collect();
    let signature = Signature::any(args.len(), Volatility::Immutable);
    ScalarUDF::new_from_impl(Align { from: from.clone(), named, shape, signature }).call(args)
}

/// Whether a struct has a field that is not given.
fn lacks_fields(from: &DataType, to: &DataType) -> bool {
    let (DataType::Struct(from), DataType::Struct(to)) = (from, to) else { return false };
    let given = |wanted: &FieldRef| from.iter().find(|given| given.name().eq_ignore_ascii_case(wanted.name()));
    to.iter().any(|wanted| given(wanted).is_none_or(|given| lacks_fields(given.data_type(), wanted.data_type())))
}

/// Whether values of type `from` have structs of another shape than those in a column of type `to`.
pub fn reshapes(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Struct(from), Struct(to)) => {
            from.len() != to.len()
                || from
                    .iter()
                    .zip(to)
                    .any(|(from, to)| from.name() != to.name() || reshapes(from.data_type(), to.data_type()))
        }
        (List(from) | LargeList(from), List(to)) => reshapes(from.data_type(), to.data_type()),
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            // Keys and values are matched by their place.
            (Struct(from), Struct(to)) => {
                from.iter().zip(to).any(|(from, to)| reshapes(from.data_type(), to.data_type()))
            }
            _ => false,
        },
        _ => false,
    }
}

/// `from` under the names of `to`, and that in the shape of `to`. `None` when a field that is given would be left out, when
/// two are the same, or when one is missing that cannot be NULL.
fn shape(from: &DataType, to: &DataType) -> Option<(DataType, DataType)> {
    use DataType::*;
    Some(match (from, to) {
        (Struct(from), Struct(to)) => {
            let (named, shape) = fields(from, to)?;
            (Struct(named), Struct(shape))
        }
        (List(from), List(to)) => {
            let (named, shape) = field(from, to)?;
            (List(named), List(shape))
        }
        (LargeList(from), List(to)) => {
            let (named, shape) = field(from, to)?;
            (LargeList(named), List(shape))
        }
        (Map(from, sorted), Map(to, _)) => {
            let (Struct(pair), Struct(wanted)) = (from.data_type(), to.data_type()) else { return None };
            let both = pair.iter().zip(wanted).map(|(from, to)| field(from, to)).collect::<Option<Vec<_>>>()?;
            let (named, shape): (Vec<FieldRef>, Vec<FieldRef>) = both.into_iter().unzip();
            let entries = |pair: Vec<FieldRef>| Arc::new(to.as_ref().clone().with_data_type(Struct(pair.into())));
            (Map(entries(named), *sorted), Map(entries(shape), *sorted))
        }
        (from, _) => (from.clone(), from.clone()),
    })
}

fn field(from: &FieldRef, to: &FieldRef) -> Option<(FieldRef, FieldRef)> {
    let (named, shape) = shape(from.data_type(), to.data_type())?;
    let of = |kind| Arc::new(Field::new(to.name(), kind, from.is_nullable()));
    Some((of(named), of(shape)))
}

fn fields(from: &Fields, to: &Fields) -> Option<(Fields, Fields)> {
    let is = |one: &FieldRef, other: &FieldRef| one.name().eq_ignore_ascii_case(other.name());
    let mut named = Vec::with_capacity(from.len());
    for given in from {
        let wanted = to.iter().find(|wanted| is(given, wanted))?;
        if from.iter().filter(|other| is(other, wanted)).count() > 1 {
            return None;
        }
        named.push(field(given, wanted)?.0);
    }
    let mut shape = Vec::with_capacity(to.len());
    for wanted in to {
        shape.push(match from.iter().find(|given| is(given, wanted)) {
            Some(given) => field(given, wanted)?.1,
            None if wanted.is_nullable() => wanted.clone(),
            None => return None,
        });
    }
    Some((named.into(), shape.into()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Align {
    from: DataType,
    named: DataType,
    shape: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Align {
    fn name(&self) -> &str {
        "aligned"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.shape.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.first().is_none_or(|given| given.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.shape.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return Err(DataFusionError::Internal("one value is aligned".into()));
        };
        let (array, is_constant) = match value {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let mut aligned = cast_nested(&relabel(&array, &self.named)?, &self.shape)?;
        if let Some(kept) = args.args.get(1) {
            // A constant is one row, and the rows kept are as many as there are.
            if is_constant {
                aligned = ScalarValue::try_from_array(&aligned, 0)?.to_array_of_size(args.number_rows)?;
            }
            let kept = kept.to_array(args.number_rows)?;
            return keep_fields(&aligned, &self.named, &kept).map(ColumnarValue::Array);
        }
        match is_constant {
            true => ScalarValue::try_from_array(&aligned, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(aligned)),
        }
    }
}

/// `aligned`, with the fields of `kept` that were not given. A struct that is NULL stays it.
fn keep_fields(aligned: &ArrayRef, given: &DataType, kept: &ArrayRef) -> Result<ArrayRef> {
    let (DataType::Struct(given), DataType::Struct(shape), DataType::Struct(_)) =
        (given, aligned.data_type(), kept.data_type())
    else {
        return Ok(aligned.clone());
    };
    let (new, old) = (aligned.as_struct(), kept.as_struct());
    let column = |(at, field): (usize, &FieldRef)| -> Result<ArrayRef> {
        let column = new.column(at);
        let Some(before) = old.column_by_name(field.name()) else { return Ok(column.clone()) };
        // What lies below a struct that is NULL is no value.
        let before = nullif(before, &is_null(kept)?)?;
        match given.iter().find(|given| given.name() == field.name()) {
            Some(given) => keep_fields(column, given.data_type(), &before),
            None => Ok(before),
        }
    };
    let columns = shape.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    let nulls = new.nulls().cloned();
    Ok(Arc::new(StructArray::try_new_with_length(shape.clone(), columns, nulls, new.len())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect())
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("element", item, true)))
    }

    #[test]
    fn fields_come_to_their_names_and_none_is_left_out() {
        use DataType::{Int32, Int64, Utf8};
        let to = list(record(&[("A", Int64), ("b", Utf8), ("c", record(&[("d", Utf8)]))]));
        let given = list(record(&[("b", Utf8), ("a", Int32)]));
        let (named, kept) = shape(&given, &to).unwrap();
        assert_eq!(named, list(record(&[("b", Utf8), ("A", Int32)])));
        assert_eq!(kept, list(record(&[("A", Int32), ("b", Utf8), ("c", record(&[("d", Utf8)]))])));
        assert!(reshapes(&given, &to) && !reshapes(&to, &to));
        for wrong in [record(&[("x", Utf8)]), record(&[("a", Int32), ("A", Int32)])] {
            assert_eq!(shape(&list(wrong), &to), None);
        }
        let must = DataType::Struct(vec![Field::new("a", Int32, true), Field::new("b", Int32, false)].into());
        assert_eq!(shape(&record(&[("a", Int32)]), &must), None);
    }
}
