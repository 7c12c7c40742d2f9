//! `table_changes('table', from [, to])`: the rows that the versions of a table changed, both ends included.
//!
//! ```text
//! from, to    a version (a whole number), or a time (a text or a timestamp); without `to` up to the newest version
//! ```

use datafusion::{
    arrow::datatypes::DataType,
    common::ScalarValue,
    sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, ObjectName, Value},
};

use crate::{
    EngineError,
    catalog::{At, TableName},
    parser,
    statement::Context,
};

/// The name under which the function is called.
pub(crate) const TABLE_CHANGES: &str = "table_changes";

/// What a call asks for.
#[derive(Debug)]
pub(crate) struct ChangesCall {
    pub table: TableName,
    pub from: At,
    pub to: Option<At>,
}

impl ChangesCall {
    pub fn new(context: &Context, args: &[FunctionArg]) -> Result<Self, EngineError> {
        let mut given = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => given.push(expr),
                _ => return Err(usage()),
            }
        }
        let (table, from, to) = match given.as_slice() {
            [table, from] => (*table, *from, None),
            [table, from, to] => (*table, *from, Some(*to)),
            _ => return Err(usage()),
        };
        Ok(Self {
            table: TableName::of_object(&named(table)?, context.default_schema())?,
            from: at(context, from)?,
            to: to.map(|to| at(context, to)).transpose()?,
        })
    }
}

fn usage() -> EngineError {
    EngineError::invalid(format!("{TABLE_CHANGES} takes a table and one or two versions or times"))
        .with_hint("Write table_changes('t', 1), table_changes('t', 1, 5) or table_changes('t', '2026-01-31 12:00').")
}

fn named(table: &Expr) -> Result<ObjectName, EngineError> {
    let text = match table {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
            _ => return Err(usage()),
        },
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let error =
                EngineError::invalid(format!("the table of {TABLE_CHANGES} is given as a text, not as {table}"));
            return Err(error.with_hint(format!("Write {TABLE_CHANGES}('{table}', ...).")));
        }
        _ => return Err(usage()),
    };
    parser::object_name(text).ok_or_else(|| {
        EngineError::invalid(format!("'{text}' is not the name of a table"))
            .with_hint("Write 't' or 'schema.t'; double quotes within the text keep capital letters.")
    })
}

/// A whole number is a version, anything else a time.
fn at(context: &Context, expr: &Expr) -> Result<At, EngineError> {
    let value = context.constant(expr)?;
    let is_number =
        |kind: &DataType| kind.is_integer() || kind.is_floating() || matches!(kind, DataType::Decimal128(..));
    match value.data_type() {
        kind if is_number(&kind) => match value.cast_to(&DataType::UInt64) {
            Ok(ScalarValue::UInt64(Some(version))) if kind.is_integer() && i64::try_from(version).is_ok() => {
                Ok(At::Version(version))
            }
            _ => Err(EngineError::invalid(format!("a version is a whole number from 0, not {expr}"))),
        },
        _ => context
            .constant_time(expr)
            .map(At::Time)
            .map_err(|error| error.with_hint("Write a version, such as 3, or a time, such as '2026-01-31 12:00'.")),
    }
}
