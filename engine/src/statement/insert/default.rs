//! The keyword DEFAULT among the values of an INSERT.

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::FieldRef,
    sql::sqlparser::ast::{Expr, Ident, Query, SetExpr, Spanned, Value},
};

use super::rules;
use crate::{EngineError, error::Place, parser, statement::Context};

/// Puts the columns' defaults in for DEFAULT. A column that is DEFAULT in every row is left to the table: it leaves the
/// values and `columns`. In other columns each DEFAULT becomes its value, NULL where there is none.
pub(super) fn put_in(
    context: &Context,
    table: &Snapshot,
    source: &mut Query,
    columns: &mut Vec<FieldRef>,
) -> Result<(), EngineError> {
    let SetExpr::Values(values) = source.body.as_mut() else { return Ok(()) };
    let rows: Vec<&mut Vec<Expr>> = values.rows.iter_mut().map(|row| &mut row.content).collect();
    // A row of another length is refused later, with its place.
    if !rows.iter().all(|row| row.len() == columns.len()) || !rows.iter().any(|row| row.iter().any(is_default)) {
        return Ok(());
    }
    let mut rows = rows;
    let kept = match rows.iter().all(|row| row.iter().all(is_default)) {
        true => Some(kept(table, columns)),
        false => None,
    };
    for index in (0..columns.len()).rev() {
        let column = columns[index].name().clone();
        let said = rows.iter().filter(|row| is_default(&row[index])).count();
        if said == rows.len() && kept != Some(index) {
            rows.iter_mut().for_each(|row| drop(row.remove(index)));
            columns.remove(index);
            continue;
        }
        for row in rows.iter_mut().filter(|row| is_default(&row[index])) {
            if table.is_generated(&column) || table.identity(&column).is_some() {
                let what = if table.is_generated(&column) { "is computed by the table" } else { "numbers the rows" };
                let message = format!("column \"{column}\" {what}: it is DEFAULT in every row or in none");
                let place = Place::of_token_span(row[index].span());
                return Err(EngineError::invalid(message).at(&context.sql, place));
            }
            row[index] = rules::default_value(table, &column)?.unwrap_or(Expr::value(Value::Null));
        }
    }
    Ok(())
}

/// A row needs a value: that of one column stays where all are left to the table, one that the table does not fill itself.
fn kept(table: &Snapshot, columns: &mut [FieldRef]) -> usize {
    let is_plain = |column: &FieldRef| !table.is_generated(column.name()) && table.identity(column.name()).is_none();
    if let Some(at) = columns.iter().position(is_plain) {
        return at;
    }
    if let (Some(first), Some(other)) =
        (columns.first_mut(), table.schema().fields().iter().find(|field| is_plain(field)))
    {
        *first = other.clone();
    }
    0
}

/// The query of DEFAULT VALUES: one row of so many columns.
pub(super) fn row(columns: usize) -> Result<Query, EngineError> {
    let mut query = *parser::parse_query("VALUES (0)")?;
    if let SetExpr::Values(values) = query.body.as_mut() {
        for row in &mut values.rows {
            row.content = vec![Expr::Identifier(Ident::new("DEFAULT")); columns];
        }
    }
    Ok(query)
}

fn is_default(value: &Expr) -> bool {
    matches!(value, Expr::Identifier(Ident { value, quote_style: None, .. }) if value.eq_ignore_ascii_case("default"))
}
