//! Constants in a query: `INSERT ... VALUES ('2024-01-01', 2.5)` names values rather than columns, so each is judged by
//! what it is and not by its type.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{DataType, Schema, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatchOptions,
};
use datafusion::{
    common::{DFSchema, tree_node::TreeNode},
    error::{DataFusionError, Result},
    logical_expr::{
        Expr, LogicalPlan, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::create_physical_expr,
    physical_plan::ColumnarValue,
    scalar::ScalarValue,
};

use super::{
    lossless::{fits, is_number},
    row_check::value_text,
};
use crate::table::nullable_parts;

/// The expressions that yield column `index` of `plan`, when it is made of expressions without columns alone.
pub(super) fn constant_exprs(plan: &LogicalPlan, index: usize) -> Option<Vec<&Expr>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let expr = strip(projection.expr.get(index)?);
            match expr {
                Expr::Column(column) => {
                    let below = projection.input.schema().maybe_index_of_column(column)?;
                    constant_exprs(&projection.input, below)
                }
                expr if expr.any_column_refs() => None,
                expr => Some(vec![expr]),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => constant_exprs(&alias.input, index),
        LogicalPlan::Sort(sort) => constant_exprs(&sort.input, index),
        LogicalPlan::Limit(limit) => constant_exprs(&limit.input, index),
        LogicalPlan::Values(values) => values.values.iter().map(|row| row.get(index).map(strip)).collect(),
        LogicalPlan::Union(union) => {
            let all: Option<Vec<_>> = union.inputs.iter().map(|input| constant_exprs(input, index)).collect();
            Some(all?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// What a constant expression yields. `None` when that shows only at run time; the fault of one that yields nothing, such
/// as a map in which a key stands twice.
pub fn constant_value(expr: &Expr) -> Result<Option<ScalarValue>> {
    if let Expr::Literal(value, _) = expr {
        return Ok(Some(value.clone()));
    }
    if let Expr::Cast(cast) = expr
        && let Expr::Literal(value, _) = cast.expr.as_ref()
    {
        return value.cast_to(cast.field.data_type()).map(Some);
    }
    if expr.is_volatile() || is_clock(expr) {
        return Ok(None);
    }
    let (schema, context) = (DFSchema::empty(), PhysicalPlanningContext::default());
    // A parameter, a subquery.
    let Ok(physical) = create_physical_expr(expr, &schema, &ExecutionProps::new(), &context) else { return Ok(None) };
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &one_row)?;
    match physical.evaluate(&batch) {
        Ok(ColumnarValue::Scalar(value)) => Ok(Some(value)),
        Ok(ColumnarValue::Array(values)) => ScalarValue::try_from_array(&values, 0).map(Some),
        Err(error) if is_of_values(&error) => Err(error),
        // A function that planning puts something else in the place of, such as `current_date`.
        Err(_) => Ok(None),
    }
}

/// Whether it is values that an expression fails for, and not memory, a store or a place where it cannot be computed.
pub fn is_of_values(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Execution(_) => true,
        DataFusionError::ArrowError(error, _) => matches!(
            error.as_ref(),
            ArrowError::CastError(_)
                | ArrowError::ComputeError(_)
                | ArrowError::InvalidArgumentError(_)
                | ArrowError::ParseError(_)
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::DivideByZero
        ),
        _ => false,
    }
}

/// Whether the expression is made of the statement's own time, which nobody expects to be kept to the nanosecond, and which
/// is one instant with a time zone and without.
pub(super) fn is_clock(expr: &Expr) -> bool {
    let is_now = |part: &Expr| matches!(part, Expr::ScalarFunction(function) if function.name() == "now");
    expr.exists(|part| Ok(is_now(part))).unwrap_or(false)
}

/// Whether a constant can be kept as `target`: its type fits, or this value survives the way there and back, or, as text,
/// it is how the type is written.
pub fn survives(value: &ScalarValue, target: &DataType) -> bool {
    let given = value.data_type();
    if value.is_null() || (fits(&given, target) && !super::lossless::cuts_nanoseconds(&given, target)) {
        return true;
    }
    // Whether a part is missing that must be there is looked at while rows flow.
    let Ok(kept) = value.cast_to(&nullable_parts(target)) else {
        return false;
    };
    if kept.is_null() {
        return false;
    }
    let back = |middle: &DataType| kept.cast_to(middle).ok() == value.cast_to(middle).ok();
    match (&given, target) {
        (given, DataType::Decimal128(..)) if is_text(given) => {
            // Text is rounded to the scale without a word.
            let exact = DataType::Decimal256(76, 38);
            value.cast_to(&exact).is_err() || back(&exact)
        }
        // A zone would be applied and forgotten.
        (given, DataType::Timestamp(_, None)) if is_text(given) && names_zone(value) => false,
        (given, DataType::Timestamp(_, zone)) if is_text(given) => {
            let exact = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
            value.cast_to(&exact).is_err() || back(&exact)
        }
        (given, DataType::Date32) if is_text(given) => {
            // A time of day is cut off without a word.
            let exact = DataType::Timestamp(TimeUnit::Microsecond, None);
            value.cast_to(&exact).is_err() || back(&exact)
        }
        // A number too large for the type becomes infinity without a word.
        (given, DataType::Float32 | DataType::Float64) if is_text(given) => is_finite(&kept) || says_infinity(value),
        (given, _) if is_text(given) => true,
        // There and back says nothing of a part without a type, `[]` or NULL.
        (DataType::List(_), DataType::List(_)) => back(&given) || parts_survive(value, target).unwrap_or(false),
        (DataType::Struct(_), DataType::Struct(_)) | (DataType::Map(..), DataType::Map(..)) => {
            parts_survive(value, target).unwrap_or(false)
        }
        (given, target) if is_number(given) && is_number(target) => back(given),
        (given, target) if is_number(given) && is_text(target) => true,
        (DataType::Timestamp(_, None), DataType::Date32) => back(&given),
        (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) => from.is_some() == to.is_some() && back(&given),
        _ => false,
    }
}

/// A text as it reads in a type that it can be kept as.
pub fn kept_text(text: &str, target: &DataType) -> Option<String> {
    let value = ScalarValue::from(text);
    let kept = value.cast_to(target).ok().filter(|kept| !kept.is_null() && survives(&value, target))?;
    kept.cast_to(&DataType::Utf8).ok()?.try_as_str()?.map(str::to_owned)
}

/// The same for each value in a struct, a list or a map. `None` when they are made otherwise than the target.
fn parts_survive(value: &ScalarValue, target: &DataType) -> Option<bool> {
    let survive = |values: &ArrayRef, target: &DataType| {
        (0..values.len()).all(|row| {
            ScalarValue::try_from_array(values, row).is_ok_and(|value| value.is_null() || survives(&value, target))
        })
    };
    match (value, target) {
        (ScalarValue::Struct(values), DataType::Struct(to)) => {
            let from = values.fields();
            let same = from.len() == to.len() && from.iter().zip(to).all(|(from, to)| from.name() == to.name());
            Some(same && values.columns().iter().zip(to).all(|(values, to)| survive(values, to.data_type())))
        }
        (ScalarValue::List(values), DataType::List(item)) => Some(survive(&values.value(0), item.data_type())),
        (ScalarValue::Map(values), DataType::Map(entries, _)) => {
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let (key, item) = (pair.first()?, pair.get(1)?);
            Some(survive(values.keys(), key.data_type()) && survive(values.values(), item.data_type()))
        }
        _ => None,
    }
}

/// The text of a number with an exponent, when `kind` is one of exact numbers and what a column of it would keep is another:
/// as a DOUBLE the number is only the nearest one.
pub(super) fn rounded<'a>(expr: &'a Expr, value: &ScalarValue, kind: &DataType) -> Option<&'a str> {
    let (text, is_negative) = written(expr)?;
    if !(kind.is_integer() || kind.is_decimal()) {
        return None;
    }
    let kept = value.cast_to(kind).and_then(|kept| kept.cast_to(&DataType::Utf8)).ok()?;
    let (mut number, kept) = (Digits::of(text)?, Digits::of(kept.try_as_str()??)?);
    number.is_negative ^= is_negative && !number.digits.is_empty();
    (number != kept).then_some(text)
}

/// An exact number that a row of VALUES beside it makes a DOUBLE, when a column of type `kind` would keep another one for it.
pub(super) fn rounded_beside(expr: &Expr, value: &ScalarValue, kind: &DataType) -> Option<String> {
    let Expr::Cast(cast) = expr else { return None };
    let Expr::Literal(written, _) = cast.expr.as_ref() else { return None };
    let is_exact = |kind: &DataType| kind.is_integer() || kind.is_decimal();
    if !is_exact(&written.data_type()) || !value.data_type().is_floating() || !is_exact(kind) {
        return None;
    }
    (written.cast_to(kind).ok() != value.cast_to(kind).ok()).then(|| written.to_string())
}

/// The text of a number with an exponent, and whether a minus stands before it.
fn written(expr: &Expr) -> Option<(&str, bool)> {
    match expr {
        Expr::Negative(inner) => written(inner).map(|(text, is_negative)| (text, !is_negative)),
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => match cast.expr.as_ref() {
            Expr::Literal(text, _) => {
                text.try_as_str().flatten().filter(|text| text.contains('e')).map(|text| (text, false))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number by its digits, without zeros at either end, and the place of the last one. 0 has none.
#[derive(Debug, PartialEq, Eq)]
struct Digits {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Digits {
    fn of(text: &str) -> Option<Self> {
        let (text, is_negative) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
        let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_end_matches('0');
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let exponent = exponent.checked_add(i64::try_from(all.len() - digits.len()).ok()?)?;
        Some(match digits.trim_start_matches('0') {
            "" => Self { is_negative: false, digits: String::new(), exponent: 0 },
            digits => Self { is_negative, digits: digits.to_owned(), exponent },
        })
    }
}

/// A constant in an error's text: its type, and what it is.
pub fn described(value: &ScalarValue) -> String {
    const TEXT_MAX: usize = 60;
    let text = value_text(value);
    let short = match text.char_indices().nth(TEXT_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    };
    let quoted = if is_text(&value.data_type()) { format!("'{short}'") } else { short };
    format!("the {} {quoted}", super::type_name(&value.data_type()))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a time as text says in which zone it is.
fn names_zone(value: &ScalarValue) -> bool {
    let time = value.try_as_str().flatten().and_then(|text| text.trim().get(10..)).unwrap_or_default();
    time.trim_start_matches(['T', 't', ' ']).contains(|c: char| c.is_alphabetic() || c == '+' || c == '-')
}

fn is_finite(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(value)) => !value.is_infinite(),
        ScalarValue::Float64(Some(value)) => !value.is_infinite(),
        _ => true,
    }
}

fn says_infinity(value: &ScalarValue) -> bool {
    value.try_as_str().flatten().is_some_and(|text| text.to_ascii_lowercase().contains("inf"))
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip(&alias.expr),
        expr => expr,
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringArray, StructArray},
        datatypes::Field,
    };

    use super::*;

    fn kept(text: &str, target: &DataType) -> bool {
        survives(&ScalarValue::from(text), target)
    }

    #[test]
    fn nested_constants_are_judged_by_their_values() {
        let field = |name: &str, data_type| std::sync::Arc::new(Field::new(name, data_type, true));
        let pair = |x| DataType::Struct(vec![field("x", x), field("y", DataType::Utf8)].into());
        let of = |x: i64| {
            let values: Vec<(_, ArrayRef)> = vec![
                (field("x", DataType::Int64), std::sync::Arc::new(Int64Array::from(vec![x]))),
                (field("y", DataType::Utf8), std::sync::Arc::new(StringArray::from(vec![None::<&str>]))),
            ];
            ScalarValue::Struct(std::sync::Arc::new(StructArray::from(values)))
        };
        assert!(survives(&of(300), &pair(DataType::Int32)));
        assert!(survives(&of(300), &pair(DataType::Float64)));
        assert!(!survives(&of(300), &pair(DataType::Int8)));
        let must = vec![Field::new("x", DataType::Int32, false), Field::new("y", DataType::Utf8, false)];
        assert!(survives(&of(300), &DataType::Struct(must.into())));
        assert!(!survives(&of(300), &DataType::Struct(vec![field("x", DataType::Int32)].into())));
        assert!(!survives(
            &of(300),
            &DataType::Struct(vec![field("z", DataType::Int32), field("y", DataType::Utf8)].into())
        ));
    }

    #[test]
    fn a_number_that_is_rounded_as_a_double_is_found() {
        use datafusion::logical_expr::{cast, lit};

        let found = |text: &'static str, kind: &DataType| {
            let expr = cast(lit(text), DataType::Float64);
            let value = constant_value(&expr).unwrap().unwrap();
            let negated = Expr::Negative(Box::new(expr.clone()));
            let negative = constant_value(&negated).unwrap().unwrap();
            let is_rounded = rounded(&expr, &value, kind).is_some();
            assert_eq!(rounded(&negated, &negative, kind).is_some(), is_rounded, "{text}");
            is_rounded
        };
        let decimal = DataType::Decimal128(10, 2);
        for text in ["9007199254740993e0", "0.9007199254740993e16", "1e-400"] {
            assert!(found(text, &DataType::Int64), "{text}");
            assert!(!found(text, &DataType::Float64), "{text}");
        }
        for text in ["9007199254740992e0", "1e3", "1.50e1", "100e-2", "0e0"] {
            assert!(!found(text, &DataType::Int64), "{text}");
        }
        for text in ["0.1e0", "2.5e-1", "100e0"] {
            assert!(!found(text, &decimal), "{text}");
        }
        // A text that somebody casts is not a number that somebody wrote.
        assert!(!found("9007199254740993", &DataType::Int64));
    }

    #[test]
    fn text_of_which_a_part_would_be_lost_is_refused() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let keep = [
            ("2024-02-29", DataType::Date32),
            ("2024-02-29T00:00:00", DataType::Date32),
            ("9999-12-31", DataType::Date32),
            ("1e300", DataType::Float64),
            ("-Infinity", DataType::Float64),
            ("nan", DataType::Float32),
            ("2024-02-29 12:00:00.123456", time.clone()),
            ("2024-02-29T12:00:00", time.clone()),
            ("2024-02-29", time.clone()),
            ("2024-02-29 12:00:00+02:00", zoned.clone()),
            ("2024-02-29T12:00:00Z", zoned),
        ];
        for (text, target) in keep {
            assert!(kept(text, &target), "{text} -> {target}");
        }
        let lose = [
            ("2024-02-29 12:00:00", DataType::Date32),
            ("1e400", DataType::Float64),
            ("-1e39", DataType::Float32),
            ("2024-02-29 12:00:00+02:00", time.clone()),
            ("2024-02-29T12:00:00Z", time.clone()),
            ("2024-02-29 12:00:00 Europe/Berlin", time.clone()),
            ("2024-02-29 12:00:00.1234567", time),
        ];
        for (text, target) in lose {
            assert!(!kept(text, &target), "{text} -> {target}");
        }
    }
}
