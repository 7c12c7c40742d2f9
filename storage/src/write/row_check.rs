//! A rule over whole rows, checked while they flow into a write.
//!
//! Like the checks of one column (`check.rs`) it is an expression of the projection that [`super::conform`] puts on top:
//! it yields a column as it is, or the error that names the rule and the first row that breaks it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use datafusion::{
    common::Column,
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
    },
    scalar::ScalarValue,
};

use super::rules::Check;
use crate::StorageError;

/// Values in an error are cut after this many characters.
const VALUE_CHARS_MAX: usize = 60;

/// `value`, or the error that a row breaks the rule, with the values of the columns that the rule looks at.
pub(super) fn row_check(value: Expr, table: &str, target: &Schema, check: &Check) -> Expr {
    let used = check.expr.column_refs();
    let columns: Vec<String> = target
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .filter(|name| used.iter().any(|column| column.name() == name))
        .collect();
    let shown = columns.iter().map(|name| Expr::Column(Column::new_unqualified(name)));
    let arguments = [value, cast(check.expr.clone(), DataType::Boolean)].into_iter().chain(shown).collect();
    let row_check = RowCheck {
        table: table.to_owned(),
        rule: check.rule.clone(),
        sql: check.sql.clone(),
        columns,
        // Volatile, so that it is evaluated for every row and never folded away.
        signature: Signature::variadic_any(Volatility::Volatile),
    };
    ScalarUDF::new_from_impl(row_check).call(arguments)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowCheck {
    table: String,
    rule: String,
    sql: String,
    /// The columns whose values an error shows, as they follow value and condition.
    columns: Vec<String>,
    signature: Signature,
}

impl RowCheck {
    fn broken(&self, row: usize, shown: &[ColumnarValue]) -> Result<DataFusionError> {
        let value = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
            ColumnarValue::Scalar(value) => Ok(value.clone()),
        };
        let values = shown.iter().map(value).collect::<Result<Vec<_>>>()?;
        let error = StorageError::RuleViolated {
            table: self.table.clone(),
            rule: self.rule.clone(),
            sql: self.sql.clone(),
            row: format!("The row has {}.", row_text(&self.columns, &values)),
        };
        Ok(DataFusionError::External(Box::new(error)))
    }
}

/// The first row for which the condition is not TRUE.
fn first_broken(condition: &ArrayRef) -> Option<usize> {
    let condition = condition.as_boolean();
    if condition.null_count() == 0 && condition.true_count() == condition.len() {
        return None;
    }
    (0..condition.len()).find(|row| condition.is_null(*row) || !condition.value(*row))
}

/// `a = 1, b = 'x'`: values of a row as an error shows them, long ones cut.
pub fn row_text(columns: &[String], values: &[ScalarValue]) -> String {
    let pairs = columns.iter().zip(values).map(|(column, value)| format!("{column} = {}", text(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

fn text(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".into();
    }
    let text = value_text(value);
    let short = match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    };
    match value.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => format!("'{short}'"),
        _ => short,
    }
}

/// A value as a person would write it: a time as a time, and not as the number that stands for it.
pub fn value_text(value: &ScalarValue) -> String {
    let kind = value.data_type();
    match kind.is_temporal().then(|| value.cast_to(&DataType::Utf8)) {
        Some(Ok(ScalarValue::Utf8(Some(text)))) if matches!(kind, DataType::Timestamp(..)) => {
            text.replacen('T', " ", 1)
        }
        Some(Ok(ScalarValue::Utf8(Some(text)))) => text,
        _ => value.to_string(),
    }
}

impl ScalarUDFImpl for RowCheck {
    fn name(&self) -> &str {
        "row_check"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        first(arg_types).cloned()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let value = first(args.arg_fields)?;
        Ok(Arc::new(Field::new(self.name(), value.data_type().clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = first(&args.args)?.clone();
        let (Some(condition), Some(shown)) = (args.args.get(1), args.args.get(2..)) else {
            return Err(DataFusionError::Internal("a rule takes a value and a condition".into()));
        };
        // A constant stands for no row when there is none.
        if args.number_rows > 0
            && let Some(row) = first_broken(&condition.to_array(args.number_rows)?)
        {
            return Err(self.broken(row, shown)?);
        }
        Ok(value)
    }
}

fn first<T>(arguments: &[T]) -> Result<&T> {
    arguments.first().ok_or_else(|| DataFusionError::Internal("a rule takes a value and a condition".into()))
}
