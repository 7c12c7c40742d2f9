//! Which column, or which field in a column, an action is about.
//!
//! `s.a` is a field of a STRUCT. What an ARRAY holds is called `element`, what a MAP holds `key` and `value`: names that have
//! a type and are no fields. Whoever leaves them out, or takes them for fields, is told what to write.

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::{DataType, FieldRef, Fields},
    sql::sqlparser::ast::Ident,
};

use crate::{
    EngineError,
    catalog::TableName,
    error::{Place, did_you_mean},
    parser::alter::ColumnChange,
    statement::{Context, data_type::sql_type, view::folded},
};

/// The path as the table spells it; it may end with what an ARRAY or a MAP holds.
pub(super) fn find(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
) -> Result<Vec<String>, EngineError> {
    Ok(walk(context, table, snapshot, path)?.into_iter().map(|(name, _)| name).collect())
}

/// The path of what `change` is about.
pub(super) fn of_change(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
    change: &ColumnChange,
) -> Result<Vec<String>, EngineError> {
    match change {
        ColumnChange::Type(_) => find(context, table, snapshot, path),
        ColumnChange::SetNotNull => of_strict_field(context, table, snapshot, path),
        ColumnChange::DropNotNull => of_loose_field(context, table, snapshot, path),
        _ => of_field(context, table, snapshot, path),
    }
}

/// The path of a column, or of a field of a STRUCT.
pub(super) fn of_field(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
) -> Result<Vec<String>, EngineError> {
    if let Some((last, outer)) = path.split_last() {
        of_struct(context, table, snapshot, outer, last)?;
    }
    find(context, table, snapshot, path)
}

/// The path of a STRUCT of which `field` is or becomes a field; the empty path is the table.
pub(super) fn of_struct(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    outer: &[Ident],
    field: &Ident,
) -> Result<Vec<String>, EngineError> {
    let found = walk(context, table, snapshot, outer)?;
    let path: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let Some((_, kind)) = found.last() else { return Ok(path) };
    if matches!(kind, DataType::Struct(_)) {
        return Ok(path);
    }
    let place = outer.first().map(|first| first.span.union(&field.span)).and_then(Place::of_token_span);
    Err(no_fields(&path.join("."), kind, field).at(&context.sql, place))
}

/// The path of what can be NOT NULL for all writers of Delta: in no ARRAY and no MAP, and where its STRUCT is there in every
/// row (<https://docs.delta.io/delta-constraints/>).
fn of_strict_field(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
) -> Result<Vec<String>, EngineError> {
    let found = walk(context, table, snapshot, path)?;
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let whole = names.join(".");
    let place = path.first().zip(path.last()).map(|(first, last)| first.span.union(&last.span));
    let refused = |message: String, hint: String| {
        EngineError::unsupported(message).with_hint(hint).at(&context.sql, place.and_then(Place::of_token_span))
    };
    let mut fields = snapshot.schema().fields().clone();
    for at in 0..found.len().saturating_sub(1) {
        let Some(holder) = fields.iter().find(|field| *field.name() == names[at]).cloned() else { break };
        let name = names[..=at].join(".");
        let what = match holder.data_type() {
            DataType::List(_) => Some("an ARRAY"),
            DataType::Map(..) => Some("a MAP"),
            _ => None,
        };
        if let Some(what) = what {
            let message = format!("SET NOT NULL is not supported for \"{whole}\", which lies in {what}, \"{name}\"");
            let hint = "NOT NULL holds for columns and for fields of STRUCTs that lie in no ARRAY or MAP: other writers refuse \
                        tables that have it elsewhere.";
            return Err(refused(message, hint.to_owned()));
        }
        if holder.is_nullable() {
            let message = format!("\"{whole}\" cannot be NOT NULL while its STRUCT \"{name}\" may be NULL");
            return Err(refused(message, format!("ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL first.")));
        }
        fields = inside(holder.data_type());
    }
    Ok(names)
}

/// The path of what may become NULL: no field in it is NOT NULL.
fn of_loose_field(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
) -> Result<Vec<String>, EngineError> {
    let names = of_field(context, table, snapshot, path)?;
    let Some((_, DataType::Struct(fields))) = walk(context, table, snapshot, path)?.pop() else { return Ok(names) };
    match fields.iter().find(|field| !field.is_nullable()) {
        None => Ok(names),
        Some(strict) => {
            let (whole, field) = (names.join("."), strict.name());
            let message = format!("\"{whole}\" must stay NOT NULL while its field \"{field}\" is");
            let hint = format!("ALTER TABLE {table} ALTER COLUMN {whole}.{field} DROP NOT NULL first.");
            let place = path.last().and_then(|last| Place::of_token_span(last.span));
            Err(EngineError::unsupported(message).with_hint(hint).at(&context.sql, place))
        }
    }
}

/// The names of the path as the table spells them, with the types of what they stand for.
fn walk(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: &[Ident],
) -> Result<Vec<(String, DataType)>, EngineError> {
    let schema = snapshot.schema();
    let mut found: Vec<(String, DataType)> = Vec::with_capacity(path.len());
    for ident in path {
        let fields = found.last().map_or_else(|| schema.fields().clone(), |(_, kind)| inside(kind));
        let Some(field) = of_name(&fields, ident, found.is_empty()) else {
            return Err(missing(table, &found, &fields, ident).at(&context.sql, Place::of_token_span(ident.span)));
        };
        found.push((field.name().clone(), field.data_type().clone()));
    }
    Ok(found)
}

fn missing(table: &TableName, found: &[(String, DataType)], fields: &Fields, ident: &Ident) -> EngineError {
    let name = written(ident, found.is_empty());
    let place = found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
    let near = did_you_mean(&name, fields.iter().map(|field| field.name().as_str()));
    match found.last() {
        None => {
            let mut error = EngineError::not_found(format!("column \"{name}\" does not exist in table \"{table}\""));
            error.hint = near;
            error
        }
        Some((_, DataType::Struct(_))) => {
            let mut error = EngineError::not_found(format!("\"{place}\" of table \"{table}\" has no field \"{name}\""));
            error.hint = near;
            error
        }
        Some((_, kind)) => {
            let mut error = no_fields(&place, kind, ident);
            error.hint = near.or(error.hint);
            error
        }
    }
}

/// The error for who looks for `field` in what is no STRUCT, and the names that lead to one.
fn no_fields(place: &str, kind: &DataType, field: &Ident) -> EngineError {
    let parts = inside(kind);
    let what = match kind {
        DataType::List(_) => "is an ARRAY",
        DataType::Map(..) => "is a MAP",
        _ => "is no STRUCT",
    };
    let error = EngineError::invalid(format!("\"{place}\" {what} and has no fields"));
    let structs = parts.iter().filter(|part| matches!(part.data_type(), DataType::Struct(_)));
    let has_it = |part: &&FieldRef| of_name(&inside(part.data_type()), field, false).is_some();
    let is_part = parts.iter().any(|part| part.name().eq_ignore_ascii_case(&field.value));
    let name = if is_part { "field".to_owned() } else { written(field, false) };
    match structs.clone().find(has_it).or_else(|| structs.clone().next_back()) {
        Some(part) => {
            error.with_hint(format!("Write {place}.{}.{name} for a field of the STRUCTs in it.", part.name()))
        }
        None if parts.is_empty() => error.with_hint(format!("It is {}: only a STRUCT has fields.", sql_type(kind))),
        None => {
            let held = parts.iter().map(|part| format!("{place}.{} is {}", part.name(), sql_type(part.data_type())));
            let held = held.collect::<Vec<_>>().join(", ");
            error.with_hint(format!("It holds no STRUCT: {held}. ALTER COLUMN ... TYPE makes these types wider."))
        }
    }
}

/// What a name behind a column can mean: a field, or as in Delta the `element` of an ARRAY, the `key` and `value` of a MAP.
fn inside(kind: &DataType) -> Fields {
    let named = |name: &str, field: &FieldRef| field.as_ref().clone().with_name(name);
    match kind {
        DataType::Struct(fields) => fields.clone(),
        DataType::List(element) => vec![named("element", element)].into(),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                ["key", "value"].into_iter().zip(pair).map(|(name, field)| named(name, field)).collect()
            }
            _ => Fields::empty(),
        },
        _ => Fields::empty(),
    }
}

/// Columns are SQL names, folded without quotes; a struct's field is data and is as it is written.
fn of_name<'f>(fields: &'f Fields, ident: &Ident, is_column: bool) -> Option<&'f FieldRef> {
    let exact = |name: &str| fields.iter().find(|field| field.name() == name);
    let folded = || exact(&folded(ident));
    if is_column { folded() } else { exact(&ident.value).or_else(folded) }
}

pub(super) fn written(ident: &Ident, is_column: bool) -> String {
    if is_column { folded(ident) } else { ident.value.clone() }
}
