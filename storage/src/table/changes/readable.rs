//! Whether rows of an older version can be read under the columns of a newer one.
//!
//! A query on a feed sees the columns of its last version. Columns that came meanwhile are NULL in older rows, renamed ones
//! keep their values under their new names, narrower types fit into wider ones. A column that went, or became of another
//! type, would lose values without a word: that is refused.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use crate::{log::physical_name, table::nullable_parts};

/// The first column of `old` that cannot be read under the columns of `new`, and why.
pub(super) fn unreadable(old: &Schema, new: &Schema) -> Option<(String, String)> {
    of_fields(old.fields(), new.fields(), "")
}

fn of_fields(old: &Fields, new: &Fields, parent: &str) -> Option<(String, String)> {
    old.iter().find_map(|field| {
        let name = format!("{parent}{}", field.name());
        match new.iter().find(|column| physical_name(column) == physical_name(field)) {
            Some(column) => of_type(field, column, &name),
            None => Some((name, "is not there any more".to_owned())),
        }
    })
}

fn of_type(old: &Field, new: &Field, name: &str) -> Option<(String, String)> {
    match (old.data_type(), new.data_type()) {
        (DataType::Struct(old), DataType::Struct(new)) => of_fields(old, new, &format!("{name}.")),
        (DataType::List(old), DataType::List(new)) => of_type(old, new, &format!("{name}.element")),
        (DataType::Map(old, _), DataType::Map(new, _)) => of_entries(old, new, name),
        (old, new) if old == new || widens(old, new) => None,
        (old, new) => {
            let (old, new) = (crate::write::type_name(old), crate::write::type_name(new));
            Some((name.to_owned(), format!("was {old} and became {new}")))
        }
    }
}

/// Keys and values are matched by their place.
fn of_entries(old: &FieldRef, new: &FieldRef, name: &str) -> Option<(String, String)> {
    let (DataType::Struct(old), DataType::Struct(new)) = (old.data_type(), new.data_type()) else { return None };
    old.iter().zip(new).find_map(|(old, new)| of_type(old, new, &format!("{name}.{}", new.name())))
}

/// Delta protocol, "Type Widening".
fn widens(old: &DataType, new: &DataType) -> bool {
    use DataType::*;
    let whole_digits = |precision: &u8, scale: &i8| i16::from(*precision) - i16::from(*scale);
    match (old, new) {
        (Int8, Int16 | Int32 | Int64 | Float64) => true,
        (Int16, Int32 | Int64 | Float64) => true,
        (Int32, Int64 | Float64) => true,
        (Float32, Float64) => true,
        (Date32, Timestamp(_, None)) => true,
        (Int8 | Int16 | Int32, Decimal128(p, s)) => whole_digits(p, s) >= 10,
        (Int64, Decimal128(p, s)) => whole_digits(p, s) >= 20,
        (Decimal128(p, s), Decimal128(q, t)) => t >= s && whole_digits(q, t) >= whole_digits(p, s),
        _ => false,
    }
}

/// The columns with everything in them nullable: rows of older versions may lack what newer ones must have.
pub(super) fn nullable(fields: &Fields) -> Fields {
    let plain = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
    fields.iter().map(|field| plain(field).with_data_type(nullable_parts(field.data_type()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::PHYSICAL_NAME;

    fn column(name: &str, stored: &str, kind: DataType) -> Field {
        Field::new(name, kind, true).with_metadata([(PHYSICAL_NAME.to_owned(), stored.to_owned())].into())
    }

    #[test]
    fn what_comes_widens_or_gets_another_name_is_read_and_what_goes_is_not() {
        let old = Schema::new(vec![
            column("a", "1", DataType::Int32),
            column("s", "2", DataType::Struct(vec![column("x", "3", DataType::Utf8)].into())),
        ]);
        let new = |a: Field, x: Field| {
            let s = column("s", "2", DataType::Struct(vec![x, column("y", "9", DataType::Utf8)].into()));
            Schema::new(vec![column("b", "8", DataType::Int8), s, a])
        };
        let x = || column("x", "3", DataType::Utf8);
        assert_eq!(unreadable(&old, &new(column("renamed", "1", DataType::Int64), x())), None);
        let gone = unreadable(&old, &new(column("a", "7", DataType::Int32), x())).unwrap();
        assert_eq!(gone, ("a".to_owned(), "is not there any more".to_owned()));
        let other = unreadable(&old, &new(column("a", "1", DataType::Utf8), x())).unwrap();
        assert_eq!(other.0, "a");
        let inner = unreadable(&old, &new(column("a", "1", DataType::Int32), column("x", "5", DataType::Utf8)));
        assert_eq!(inner.unwrap().0, "s.x");
    }
}
