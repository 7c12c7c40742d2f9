//! VALUES of which one row says a type and another writes a text: `(DATE '2026-01-31'), ('2026-02-01')`.
//!
//! The rows of VALUES share a type for each column, and the planner finds none for a date and a text. In SQL a text has no
//! type of its own: it is what stands beside it. Here it is what the column is, when nothing of it is lost.

use boathouse_storage::{StorageError, write};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::ScalarValue,
    sql::sqlparser::ast::{self, CastKind, Expr, Query, SetExpr, TimezoneInfo, Value},
};

use super::{Misfit, Target, unfit};

/// The same rows with the texts of such columns in the types of the columns. `None` when there are none.
pub(super) fn settled(target: &Target<'_>, source: &Query) -> Result<Option<Query>, Box<Misfit>> {
    let SetExpr::Values(values) = source.body.as_ref() else { return Ok(None) };
    let mixed: Vec<(usize, &FieldRef, ast::DataType)> = target
        .columns
        .iter()
        .enumerate()
        .filter_map(|(at, column)| Some((at, column, written_type(column.data_type())?)))
        .filter(|(at, ..)| {
            let of_column = || values.rows.iter().filter_map(|row| row.content.get(*at));
            of_column().any(|value| text(value).is_some()) && of_column().any(says_type)
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
            let Some(text) = text(value) else { continue };
            let kept = write::kept_text(text, column.data_type());
            let kept = kept.ok_or_else(|| Box::new(misfit(target, *at, column, text)))?;
            *value = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::value(Value::SingleQuotedString(kept))),
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
