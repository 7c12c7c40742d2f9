//! Arrays and maps of older files in the table's types.
//!
//! Since a file was written a STRUCT inside an ARRAY or a MAP may have got fields or lost some, and types inside of them
//! may have become wider. The library's adapter knows that of structs in structs and of lists, but not of maps; here it is
//! done for both alike, by name: a field that the file does not have is NULL. It comes after the file's names have become
//! the table's (see `mapping`), and before the library compares the types that are left.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array},
    compute::{CastOptions, can_cast_types, cast_with_options},
    datatypes::{DataType, FieldRef, Fields},
    error::ArrowError,
};

/// The type of a file's column, under the table's names, with its arrays and maps in the types of `want`. A struct keeps
/// the fields that the file has: the library fills in the others, and reads single ones.
pub(super) fn fitted(stored: &DataType, want: &DataType) -> DataType {
    match (stored, want) {
        (DataType::Struct(have), DataType::Struct(wanted)) => {
            let field = |field: &FieldRef| match find(wanted, field.name()) {
                Some(wanted) => {
                    let kind = fitted(field.data_type(), wanted.data_type());
                    Arc::new(field.as_ref().clone().with_data_type(kind))
                }
                None => field.clone(),
            };
            DataType::Struct(have.iter().map(field).collect())
        }
        (DataType::List(_) | DataType::LargeList(_), DataType::List(_)) | (DataType::Map(..), DataType::Map(..))
            if !same_but_metadata(stored, want) && castable(stored, want) =>
        {
            want.clone()
        }
        (stored, _) => stored.clone(),
    }
}

/// The same values in another type; structs are matched by name at every depth.
pub(crate) fn cast_nested(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = array.as_struct();
            let column = |field: &FieldRef| match from.column_by_name(field.name()) {
                Some(column) => cast_nested(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), from.len())),
            };
            let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
            let nulls = from.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, from.len())?))
        }
        (DataType::LargeList(item), DataType::List(_)) => {
            let list = cast_with_options(array, &DataType::List(item.clone()), &strict())?;
            cast_nested(&list, to)
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast_nested(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(ArrowError::SchemaError(format!("a map of {} is not a map", entries.data_type())));
            };
            // Keys and values are matched by their place.
            let columns = map.entries().columns().iter().zip(pair);
            let columns = columns.map(|(column, field)| cast_nested(column, field.data_type()));
            let pairs = StructArray::try_new(pair.clone(), columns.collect::<Result<Vec<_>, _>>()?, None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?))
        }
        (_, to) => cast_with_options(array, to, &strict()),
    }
}

/// A value that does not fit is an error, and not NULL.
fn strict() -> CastOptions<'static> {
    CastOptions { safe: false, ..CastOptions::default() }
}

/// The type with every part of it nullable, at any depth, but for the keys of a map.
pub fn nullable_parts(kind: &DataType) -> DataType {
    let part = |field: &FieldRef| {
        let kind = nullable_parts(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(kind).with_nullable(true))
    };
    match kind {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(part).collect()),
        DataType::List(element) => DataType::List(part(element)),
        DataType::Map(entries, sorted) => {
            let pair = match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    let key = Arc::new(pair[0].as_ref().clone().with_data_type(nullable_parts(pair[0].data_type())));
                    DataType::Struct([key, part(&pair[1])].into_iter().collect())
                }
                other => other.clone(),
            };
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(pair)), *sorted)
        }
        other => other.clone(),
    }
}

/// Whether the types differ in nothing but metadata and nullability, which the library puts right.
pub(crate) fn same_but_metadata(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            let same = |(one, other): (&FieldRef, &FieldRef)| {
                one.name() == other.name() && same_but_metadata(one.data_type(), other.data_type())
            };
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (DataType::List(one) | DataType::LargeList(one), DataType::List(other)) => {
            same_but_metadata(one.data_type(), other.data_type())
        }
        (DataType::Map(one, _), DataType::Map(other, _)) => match (one.data_type(), other.data_type()) {
            // Keys and values are matched by their place.
            (DataType::Struct(one), DataType::Struct(other)) => {
                let same = |(one, other): (&FieldRef, &FieldRef)| same_but_metadata(one.data_type(), other.data_type());
                one.len() == other.len() && one.iter().zip(other).all(same)
            }
            _ => false,
        },
        (one, other) => one == other,
    }
}

/// Whether [`cast_nested`] can do it.
fn castable(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Struct(from), DataType::Struct(to)) => to.iter().all(|field| match find(from, field.name()) {
            Some(stored) => castable(stored.data_type(), field.data_type()),
            None => field.is_nullable(),
        }),
        (DataType::List(from) | DataType::LargeList(from), DataType::List(to)) => {
            castable(from.data_type(), to.data_type())
        }
        (DataType::Map(from, _), DataType::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (DataType::Struct(from), DataType::Struct(to)) => {
                from.len() == to.len()
                    && from.iter().zip(to).all(|(from, to)| castable(from.data_type(), to.data_type()))
            }
            _ => false,
        },
        (from, to) => from == to || can_cast_types(from, to),
    }
}

fn find<'f>(fields: &'f Fields, name: &str) -> Option<&'f FieldRef> {
    fields.iter().find(|field| field.name() == name)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, StringArray},
        buffer::OffsetBuffer,
        datatypes::{Field, Int32Type, Int64Type},
    };

    use super::*;

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("element", item, true)))
    }

    fn map(key: DataType, value: DataType) -> DataType {
        let pair = vec![Field::new("key", key, false), Field::new("value", value, true)];
        DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.into()), false)), false)
    }

    fn record(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect())
    }

    /// Two rows, the first with two entries, the second with one.
    fn stored() -> ArrayRef {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let values = record(&[("n", DataType::Int32), ("gone", DataType::Int32)]);
        let DataType::Struct(fields) = &values else { panic!("{values}") };
        let values = StructArray::new(fields.clone(), vec![numbers.clone(), numbers], None);
        let kind = map(DataType::Utf8, values.data_type().clone());
        let DataType::Map(entries, _) = &kind else { panic!("{kind}") };
        let DataType::Struct(pair) = entries.data_type() else { panic!("{kind}") };
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let pairs = StructArray::new(pair.clone(), vec![keys, Arc::new(values)], None);
        let offsets = OffsetBuffer::from_lengths([2, 1]);
        Arc::new(MapArray::new(entries.clone(), offsets, pairs, None, false))
    }

    #[test]
    fn a_map_of_an_older_file_has_new_fields_as_null_and_wider_numbers() {
        let stored = stored();
        let want = map(DataType::Utf8, record(&[("new", list(DataType::Utf8)), ("n", DataType::Int64)]));
        assert_eq!(fitted(stored.data_type(), &want), want);
        let read = cast_nested(&stored, &want).unwrap();
        assert_eq!(read.data_type(), &want);
        let values = read.as_map().values().as_struct();
        assert_eq!(values.column(0).null_count(), 3);
        assert_eq!(values.column(1).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
        assert_eq!(read.as_map().value_length(0), 2);
    }

    #[test]
    fn a_struct_keeps_its_fields_and_what_differs_in_names_of_metadata_alone_stays() {
        let stored = record(&[("l", list(DataType::Int32)), ("x", DataType::Int32)]);
        let want = record(&[("x", DataType::Int64), ("y", DataType::Utf8), ("l", list(DataType::Int64))]);
        assert_eq!(fitted(&stored, &want), record(&[("l", list(DataType::Int64)), ("x", DataType::Int32)]));
        let noted = Field::new("element", DataType::Int32, true).with_metadata([("id".into(), "7".into())].into());
        assert_eq!(fitted(&list(DataType::Int32), &DataType::List(Arc::new(noted))), list(DataType::Int32));
        // A type that cannot become the other is left for the library's error.
        let odd = list(record(&[("a", DataType::Int32)]));
        assert_eq!(fitted(&odd, &list(DataType::Int32)), odd);
    }

    #[test]
    fn every_part_becomes_nullable_but_keys() {
        let must = |kind| DataType::Struct(vec![Field::new("a", kind, false)].into());
        let items = |item, nullable| DataType::List(Arc::new(Field::new("element", item, nullable)));
        let entries = |key, value, nullable| {
            let pair = vec![Field::new("key", key, false), Field::new("value", value, nullable)];
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.into()), false)), false)
        };
        let may = record(&[("a", DataType::Int32)]);
        assert_eq!(nullable_parts(&must(DataType::Int32)), may);
        assert_eq!(nullable_parts(&must(must(DataType::Int32))), record(&[("a", may.clone())]));
        assert_eq!(nullable_parts(&items(must(DataType::Int32), false)), items(may.clone(), true));
        let strict = entries(must(DataType::Int32), must(DataType::Int32), false);
        assert_eq!(nullable_parts(&strict), entries(may.clone(), may, true));
    }

    #[test]
    fn a_list_in_a_list_is_cast() {
        let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let want = list(DataType::Int64);
        let read = cast_nested(&(Arc::new(inner) as ArrayRef), &want).unwrap();
        assert_eq!((read.data_type(), read.null_count()), (&want, 1));
        assert_eq!(read.as_list::<i32>().value(0).as_primitive::<Int64Type>().value(0), 1);
    }
}
