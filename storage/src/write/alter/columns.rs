//! Changes in a tree of columns: find the struct, rebuild it and all that hold it.

use deltalake::kernel::{DataType, StructField, StructType};

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
            let DataType::Struct(nested) = &mut field.data_type else {
                return Err(format!("\"{name}\" is no STRUCT and has no fields that could be changed"));
            };
            change_struct(nested, inner, change)?;
        }
    }
    *columns = StructType::try_new(fields).map_err(|error| error.to_string())?;
    Ok(())
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
