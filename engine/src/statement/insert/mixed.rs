//! VALUES of which one row says a type and another writes a text: `(DATE '2026-01-31'), ('2026-02-01')`.
//!
//! The rows of VALUES share a type for each column, and the planner finds none for a date and a text. In SQL a text has no
//! type of its own: it is what stands beside it. Here it is what the column is, when nothing of it is lost. So is the
//! statement's own time, `now()`, which has a zone, in a column without one: alone it goes into both.

use boathouse_storage::{StorageError, write};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::ScalarValue,
    sql::sqlparser::ast::{self, BinaryOperator, CastKind, Expr, Query, SetExpr, TimezoneInfo, Value},
};

use super::{Misfit, Target, unfit};

/// The same rows with the texts and the clocks of such columns in the types of the columns. `None` when there are none.
pub(super) fn settled(target: &Target<'_>, source: &Query) -> Result<Option<Query>, Box<Misfit>> {
    let SetExpr::Values(values) = source.body.as_ref() else { return Ok(None) };
    let mixed: Vec<(usize, &FieldRef, ast::DataType)> = target
        .columns
        .iter()
        .enumerate()
        .filter_map(|(at, column)| Some((at, column, written_type(column.data_type())?)))
        .filter(|(at, column, _)| {
            let of_column = || values.rows.iter().filter_map(|row| row.content.get(*at));
            let is_clock = |value: &Expr| is_clock(value, column.data_type());
            let settles = |value: &Expr| text(value).is_some() || is_clock(value);
            of_column().any(settles) && of_column().any(says_type) && !of_column().all(is_clock)
        })
        .collect();
    if mixed.is_empty() {
        return Ok(None);
    }
    let mut source = source.clone();
    let SetExpr::Values(values) = source.body.as_mut() else { return Ok(None) };
    for row in &mut values.rows {
        for (at, column, kind) in &mixed {
            let Some(value) = row.content.get_mut(*at) else { continue };
            let given = match text(value) {
                Some(text) => {
                    let kept = write::kept_text(text, column.data_type());
                    let kept = kept.ok_or_else(|| Box::new(misfit(target, *at, column, text)))?;
                    Expr::value(Value::SingleQuotedString(kept))
                }
                None if is_clock(value, column.data_type()) => value.clone(),
                None => continue,
            };
            *value = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(given),
                data_type: kind.clone(),
                array: false,
                format: None,
            };
        }
    }
    Ok(Some(source))
}

/// The type of which a text and a typed value can stand in one column.
fn written_type(kind: &DataType) -> Option<ast::DataType> {
    const MICROSECONDS: Option<u64> = Some(6);
    Some(match kind {
        DataType::Boolean => ast::DataType::Boolean,
        DataType::Date32 => ast::DataType::Date,
        DataType::Timestamp(_, None) => ast::DataType::Timestamp(MICROSECONDS, TimezoneInfo::None),
        DataType::Timestamp(_, Some(_)) => ast::DataType::Timestamp(MICROSECONDS, TimezoneInfo::WithTimeZone),
        _ => return None,
    })
}

fn text(value: &Expr) -> Option<&str> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}

/// Whether it is the time at which the statement began, or one that is so far from it, which a column of this type takes.
fn is_clock(value: &Expr, kind: &DataType) -> bool {
    let DataType::Timestamp(_, zone) = kind else { return false };
    match value {
        Expr::Function(call) => match call.name.to_string().to_lowercase().as_str() {
            "now" | "current_timestamp" => true,
            // Midnight of a day is no instant.
            "current_date" => zone.is_none(),
            _ => false,
        },
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => {
            is_clock(left, kind) && matches!(right.as_ref(), Expr::Interval(_))
        }
        Expr::Nested(inner) => is_clock(inner, kind),
        _ => false,
    }
}

/// Neither a text nor NULL, which take any type.
fn says_type(value: &Expr) -> bool {
    match value {
        Expr::Value(inner) => text(value).is_none() && inner.value != Value::Null,
        Expr::Nested(inner) => says_type(inner),
        _ => true,
    }
}

fn misfit(target: &Target<'_>, at: usize, column: &Field, text: &str) -> Misfit {
    let error = StorageError::TypeMismatch {
        table: target.name.to_string(),
        column: column.name().clone(),
        expected: write::type_name(column.data_type()),
        given: write::described(&ScalarValue::from(text)),
    };
    Misfit { error: unfit(error), column: Some(at), fails: false }
}
