//! Counts, sums and extremes of the changed rows alone, put together with those that are in the table.
//!
//! Only what comes out the same to the last digit is: sums of whole numbers and decimals, never of floating numbers. With
//! rows that went a group ends when its count of all rows is 0, so that count must be a column of the mart, and a sum must
//! be one of values that are never NULL: whether any is left could not be told else.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    error::{DataFusionError, Result as QueryResult},
    functions::core::expr_fn::coalesce,
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, expr::AggregateFunction, lit,
    },
};

use super::{
    delta::{Side, came, delta},
    shape::{Grouped, is_text},
    source::Sources,
};

/// The numbers of changed rows, and what they are put together with.
pub(super) struct Parts {
    /// Under the names of the mart's columns.
    pub rows: LogicalPlan,
    pub combined: Vec<Option<Combined>>,
    /// The column that counts all rows of a group, where rows went: with 0 it is there no more.
    pub count: Option<usize>,
}

/// How the number of the changed rows and the one in the table become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combined {
    Count {
        /// It counts all rows of a group.
        all: bool,
    },
    Sum {
        /// Its values are never NULL.
        full: bool,
    },
    Least,
    Greatest,
}

/// The numbers of changed groups; `None` when the query is not of this kind, or has rows that went and no way to take them
/// away.
pub(super) fn parts(sources: &Sources<'_>, grouped: &Grouped, columns: &[FieldRef]) -> Result<Option<Parts>, String> {
    let Some(kinds) = kinds(grouped, columns) else { return Ok(None) };
    let gone = delta(sources, &grouped.aggregate.input, Side::Gone)?;
    let is_full = |kind: &Option<Combined>| match kind {
        None | Some(Combined::Count { .. } | Combined::Sum { full: true }) => true,
        Some(Combined::Sum { full: false } | Combined::Least | Combined::Greatest) => false,
    };
    let counts = kinds.iter().position(|kind| *kind == Some(Combined::Count { all: true }));
    let is_signed = |at: usize| matches!(columns[at].data_type(), DataType::Int64 | DataType::Decimal128(..));
    let negates = (0..kinds.len()).all(|at| kinds[at].is_none() || is_signed(at));
    if gone.is_some() && !(kinds.iter().all(is_full) && counts.is_some() && negates) {
        return Ok(None);
    }
    let (side, count) = if gone.is_some() { (Side::Both, counts) } else { (Side::Come, None) };
    let rows = delta(sources, &grouped.aggregate.input, side)?.ok_or("changed rows that are none")?;
    let rows = match side {
        Side::Both => difference(grouped, &kinds, columns, rows)?,
        Side::Come | Side::Gone => numbers(grouped, columns, rows).map_err(text)?,
    };
    Ok(Some(Parts { rows, combined: kinds, count }))
}

/// For each column of the mart that is no key, how it is combined; `None` when one cannot be.
fn kinds(grouped: &Grouped, columns: &[FieldRef]) -> Option<Vec<Option<Combined>>> {
    if grouped.has_condition() {
        return None;
    }
    let groups = grouped.aggregate.group_expr.len();
    let mut kinds = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let origin = grouped.origin(at)?;
        if origin < groups {
            // The same key in a second column is not looked for.
            if !grouped.keys.contains(&at) {
                return None;
            }
            kinds.push(None);
            continue;
        }
        let (given, kept) = (grouped.aggregate.schema.field(origin).data_type(), column.data_type());
        if given != kept && !(is_text(given) && is_text(kept)) {
            return None;
        }
        kinds.push(Some(combined(&grouped.aggregate, origin - groups)?));
    }
    Some(kinds)
}

fn combined(aggregate: &Aggregate, at: usize) -> Option<Combined> {
    let expr = aggregate.aggr_expr.get(at)?.clone().unalias_nested().data;
    let Expr::AggregateFunction(AggregateFunction { func, params }) = &expr else { return None };
    let [arg] = params.args.as_slice() else { return None };
    if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
        return None;
    }
    let full = params.filter.is_none() && !arg.nullable(aggregate.input.schema()).ok()?;
    let kept = aggregate.schema.field(aggregate.group_expr.len() + at).data_type();
    let is_exact = kept.is_integer() || kept.is_decimal();
    match func.name() {
        "count" => Some(Combined::Count { all: full }),
        "sum" if is_exact => Some(Combined::Sum { full }),
        "min" if is_exact || is_ordered(kept) => Some(Combined::Least),
        "max" if is_exact || is_ordered(kept) => Some(Combined::Greatest),
        _ => None,
    }
}

fn is_ordered(kind: &DataType) -> bool {
    matches!(kind, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Utf8View)
}

/// The numbers of rows that came.
fn numbers(grouped: &Grouped, columns: &[FieldRef], rows: LogicalPlan) -> QueryResult<LogicalPlan> {
    let Aggregate { group_expr, aggr_expr, .. } = grouped.aggregate.clone();
    let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rows), group_expr, aggr_expr)?);
    let given = aggregate.schema().columns();
    let shown = columns.iter().enumerate().map(|(at, column)| {
        let value = grouped.origin(at).and_then(|origin| given.get(origin).cloned());
        let value = value.map(Expr::Column).ok_or_else(lost)?;
        Ok(cast(value, column.data_type().clone()).alias(column.name()))
    });
    let shown = shown.collect::<QueryResult<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(aggregate).project(shown)?.build()
}

/// The numbers of rows that came less those of rows that went, of rows of both sides, which are read once. Counts and sums
/// alone, which are never NULL.
fn difference(
    grouped: &Grouped,
    kinds: &[Option<Combined>],
    columns: &[FieldRef],
    rows: LogicalPlan,
) -> Result<LogicalPlan, String> {
    let came = came(&rows)?;
    let groups = grouped.aggregate.group_expr.len();
    let mut sides: Vec<Expr> = Vec::new();
    // For each column where its value is: of a key one, of a number two behind one another.
    let mut places = Vec::with_capacity(columns.len());
    for (at, kind) in kinds.iter().enumerate() {
        let origin = grouped.origin(at).ok_or_else(|| text(lost()))?;
        if kind.is_none() {
            places.push(origin);
            continue;
        }
        places.push(groups + sides.len());
        let of_all = origin.checked_sub(groups).and_then(|number| grouped.aggregate.aggr_expr.get(number));
        // Not IS NOT TRUE: as a part of several aggregates it is never NULL in one plan, and may be in the other.
        for (side, is_of) in [("came", came.clone()), ("went", !came.clone())] {
            let of_side = of_all.and_then(|of_all| only(of_all, is_of)).ok_or_else(|| text(lost()))?;
            sides.push(of_side.alias(format!("{at} {side}")));
        }
    }
    let build = || {
        let keys = grouped.aggregate.group_expr.clone();
        let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rows), keys, sides)?);
        let given = aggregate.schema().columns();
        let shown = columns.iter().zip(kinds).zip(&places).map(|((column, kind), at)| {
            let given = |at: usize| given.get(at).cloned().map(Expr::Column).ok_or_else(lost);
            let kept = column.data_type();
            let value = match kind {
                None => given(*at)?,
                // A side without a row has no sum.
                Some(_) => {
                    let number =
                        |at| Ok::<_, DataFusionError>(coalesce(vec![given(at)?, cast(lit(0_i64), kept.clone())]));
                    number(*at)? - number(*at + 1)?
                }
            };
            Ok(cast(value, kept.clone()).alias(column.name()))
        });
        let shown = shown.collect::<QueryResult<Vec<Expr>>>()?;
        LogicalPlanBuilder::from(aggregate).project(shown)?.build()
    };
    build().map_err(text)
}

/// An aggregate of those of its rows for which a condition holds.
fn only(aggregate: &Expr, condition: Expr) -> Option<Expr> {
    let Expr::AggregateFunction(mut call) = aggregate.clone().unalias_nested().data else { return None };
    let own = call.params.filter.take().map(|own| *own);
    call.params.filter = Some(Box::new(own.into_iter().fold(condition, Expr::and)));
    Some(Expr::AggregateFunction(call))
}

fn lost() -> DataFusionError {
    DataFusionError::Internal("a group of changed rows without a column".to_owned())
}

fn text(error: DataFusionError) -> String {
    error.to_string()
}
