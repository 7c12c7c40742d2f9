//! `$start` and `$end` in a query: the interval whose rows it gives, from its first moment to the first behind it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, Value, visit_expressions, visit_expressions_mut,
};

use super::interval::Interval;
use crate::{EngineError, parser};

const START: &str = "$start";
const END: &str = "$end";

/// What is wrong with a query that is to be run interval by interval. `column` is what it compares with them.
pub(super) fn check(query: &Query, column: &str) -> Result<(), EngineError> {
    let (mut start, mut end, mut named) = (false, false, false);
    let is_column = |ident: Option<&Ident>| ident.is_some_and(|ident| ident.value.eq_ignore_ascii_case(column));
    let _ = visit_expressions(query, |expr: &Expr| {
        match expr {
            Expr::Identifier(ident) => named |= is_column(Some(ident)),
            Expr::CompoundIdentifier(parts) => named |= is_column(parts.last()),
            expr => match parameter(expr) {
                Some(START) => start = true,
                Some(END) => end = true,
                _ => {}
            },
        }
        ControlFlow::<()>::Continue(())
    });
    let hint = format!("Write WHERE {column} >= $start AND {column} < $end: the query gives the rows of one interval.");
    for (given, name) in [(start, START), (end, END)] {
        if !given {
            return Err(EngineError::invalid(format!("the query has no {name}")).with_hint(hint));
        }
    }
    match named {
        true => Ok(()),
        false => Err(EngineError::invalid(format!("the query does not name column \"{column}\"")).with_hint(hint)),
    }
}

/// The query of an interval.
pub(super) fn bind(query: &Query, interval: &Interval) -> Result<Query, EngineError> {
    let (start, end) = (literal(&interval.start_text())?, literal(&interval.end_text())?);
    let mut query = query.clone();
    let _ = visit_expressions_mut(&mut query, |expr: &mut Expr| {
        match parameter(expr) {
            Some(START) => *expr = start.clone(),
            Some(END) => *expr = end.clone(),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(query)
}

fn parameter(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// A time as SQL writes it.
fn literal(time: &str) -> Result<Expr, EngineError> {
    let query = parser::parse_query(&format!("SELECT TIMESTAMP '{time}'"))?;
    let SetExpr::Select(select) = *query.body else { return Err(EngineError::internal("a time is no SELECT")) };
    match select.projection.into_iter().next() {
        Some(SelectItem::UnnamedExpr(expr)) => Ok(expr),
        _ => Err(EngineError::internal("a time is no value")),
    }
}
