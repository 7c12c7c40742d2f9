//! Changes in a tree of columns: find the struct, rebuild it and all that hold it.
//!
//! A path leads through structs by the names of their fields, through an array by `element`, through a map by `key` or
//! `value`. These three are no fields: they have a type and nothing else.

use deltalake::kernel::{ArrayType, DataType, MapType, StructField, StructType};

use super::Position;

/// What is done to a field among its neighbours, given its place.
type ChangeAt<'a> = &'a dyn Fn(&mut Vec<StructField>, usize) -> Result<(), String>;

/// Changes the fields of the struct at `path`; the empty path is the table.
pub(super) fn change_struct(
    columns: &mut StructType,
    path: &[String],
    change: &dyn Fn(&mut Vec<StructField>) -> Result<(), String>,
) -> Result<(), String> {
    let mut fields: Vec<StructField> = columns.fields().cloned().collect();
    match path.split_first() {
        None => change(&mut fields)?,
        Some((name, inner)) => {
            let at = find(&fields, name)?;
            let field = fields.get_mut(at).ok_or("a column was lost")?;
            let steps = steps(&field.data_type, inner);
            let place = std::iter::once(name).chain(&inner[..steps]).map(String::as_str).collect::<Vec<_>>().join(".");
            change_type(&mut field.data_type, &inner[..steps], &|kind| match kind {
                DataType::Struct(nested) => change_struct(nested, &inner[steps..], change),
                DataType::Array(_) => Err(format!(
                    "\"{place}\" is an ARRAY and has no fields; those of a STRUCT in it are named behind \"{place}.element\""
                )),
                DataType::Map(_) => Err(format!(
                    "\"{place}\" is a MAP and has no fields; those of a STRUCT in it are named behind \"{place}.key\" or \
                     \"{place}.value\""
                )),
                _ => Err(format!("\"{place}\" is no STRUCT and has no fields that could be changed")),
            })?;
        }
    }
    *columns = StructType::try_new(fields).map_err(|error| error.to_string())?;
    Ok(())
}

/// How many names of `path`, which begins at a column of this type, lead through arrays and maps before the next field.
fn steps(kind: &DataType, path: &[String]) -> usize {
    match inner_type(kind, path) {
        Some(inner) => 1 + steps(inner, &path[1..]),
        None => 0,
    }
}

/// The type that the first name of `path` stands for in an array or a map.
fn inner_type<'k>(kind: &'k DataType, path: &[String]) -> Option<&'k DataType> {
    match (kind, path.first()?.as_str()) {
        (DataType::Array(array), "element") => Some(array.element_type()),
        (DataType::Map(map), "key") => Some(map.key_type()),
        (DataType::Map(map), "value") => Some(map.value_type()),
        _ => None,
    }
}

/// Changes the type that lies `steps` deep in arrays and maps.
pub(super) fn change_type(
    kind: &mut DataType,
    steps: &[String],
    change: &dyn Fn(&mut DataType) -> Result<(), String>,
) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else { return change(kind) };
    let mut inner = inner_type(kind, steps).cloned().ok_or_else(|| format!("there is no \"{step}\" in it"))?;
    change_type(&mut inner, rest, change)?;
    *kind = match (&*kind, step.as_str()) {
        (DataType::Array(array), _) => ArrayType::new(inner, array.contains_null()).into(),
        (DataType::Map(map), "key") => MapType::new(inner, map.value_type().clone(), map.value_contains_null()).into(),
        (DataType::Map(map), _) => MapType::new(map.key_type().clone(), inner, map.value_contains_null()).into(),
        _ => return Err(format!("there is no \"{step}\" in it")),
    };
    Ok(())
}

/// The path of the last field on the way, and the steps through arrays and maps that are left behind it.
pub(super) fn split_steps<'p>(columns: &StructType, path: &'p [String]) -> (&'p [String], &'p [String]) {
    let (mut fields, mut at) = (columns, 0);
    while let Some(field) = path.get(at).and_then(|name| fields.fields().find(|field| field.name() == name)) {
        let through = steps(field.data_type(), &path[at + 1..]);
        let end = at + 1 + through;
        if end == path.len() {
            return path.split_at(at + 1);
        }
        let mut kind = field.data_type();
        for step in at + 1..end {
            kind = inner_type(kind, &path[step..]).unwrap_or(kind);
        }
        let DataType::Struct(inner) = kind else { break };
        fields = inner.as_ref();
        at = end;
    }
    (path, &[])
}

/// Changes the struct that holds the column at `path`, given the column's place in it.
pub(super) fn change_siblings(columns: &mut StructType, path: &[String], change: ChangeAt<'_>) -> Result<(), String> {
    let (name, outer) = path.split_last().ok_or("a column has no name")?;
    change_struct(columns, outer, &|fields| {
        let at = find(fields, name)?;
        change(fields, at)
    })
}

/// Puts a field in among its neighbours.
pub(super) fn insert(fields: &mut Vec<StructField>, field: StructField, position: &Position) -> Result<(), String> {
    let at = match position {
        Position::Last => fields.len(),
        Position::First => 0,
        Position::After(name) => find(fields, name)? + 1,
    };
    fields.insert(at, field);
    Ok(())
}

/// Delta compares names without case.
pub(super) fn check_new(fields: &[StructField], name: &str) -> Result<(), String> {
    match fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
        Some(there) => Err(format!("column \"{}\" is there already", there.name)),
        None => Ok(()),
    }
}

fn find(fields: &[StructField], name: &str) -> Result<usize, String> {
    fields.iter().position(|field| field.name == name).ok_or_else(|| format!("there is no column \"{name}\""))
}

/// All names in their order, those of inner structs behind the struct's.
pub(super) fn in_order(columns: &StructType) -> Vec<&str> {
    fn of_type<'a>(kind: &'a DataType, names: &mut Vec<&'a str>) {
        match kind {
            DataType::Struct(inner) => names.extend(in_order(inner)),
            DataType::Array(array) => of_type(array.element_type(), names),
            DataType::Map(map) => {
                of_type(map.key_type(), names);
                of_type(map.value_type(), names);
            }
            DataType::Primitive(_) | DataType::Variant(_) => {}
        }
    }
    let mut names = Vec::new();
    for field in columns.fields() {
        names.push(field.name().as_str());
        of_type(field.data_type(), &mut names);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    /// `m MAP<STRUCT<k>, ARRAY<STRUCT<element, x ARRAY<INT>>>>`
    fn columns() -> StructType {
        let record = |fields: Vec<StructField>| DataType::from(StructType::try_new(fields).unwrap());
        let numbers = DataType::from(ArrayType::new(DataType::INTEGER, true));
        let element = StructField::new("element", DataType::INTEGER, true);
        let values = ArrayType::new(record(vec![element, StructField::new("x", numbers, true)]), true);
        let key = record(vec![StructField::new("k", DataType::STRING, true)]);
        let map = MapType::new(key, DataType::from(values), true);
        StructType::try_new([StructField::new("m", DataType::from(map), true)]).unwrap()
    }

    #[test]
    fn a_path_leads_through_arrays_and_maps_to_a_field() {
        let mut columns = columns();
        for (way, name) in [("m.value.element.element", "element"), ("m.value.element.x", "x"), ("m.key.k", "k")] {
            change_siblings(&mut columns, &path(way), &|fields, at| {
                assert_eq!(fields[at].name, name);
                fields[at].name.push('2');
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(in_order(&columns), ["m", "k2", "element2", "x2"]);
        for (way, why) in
            [("m.x", "is a MAP"), ("m.value", "is a MAP"), ("m.value.x", "is an ARRAY"), ("m.gone.x", "is a MAP")]
        {
            let refused = change_siblings(&mut columns, &path(way), &|_, _| Ok(())).unwrap_err();
            assert!(refused.contains(why), "{way}: {refused}");
        }
    }

    #[test]
    fn what_is_no_field_belongs_to_the_field_before_it() {
        let split = |text: &str| {
            let path = path(text);
            let (field, steps) = split_steps(&columns(), &path);
            (field.join("."), steps.join("."))
        };
        let is = |field: &str, steps: &str| (field.to_owned(), steps.to_owned());
        assert_eq!(split("m.value.element"), is("m", "value.element"));
        assert_eq!(split("m.value.element.element"), is("m.value.element.element", ""));
        assert_eq!(split("m.value.element.x.element"), is("m.value.element.x", "element"));
        assert_eq!(split("m.key"), is("m", "key"));
    }
}
