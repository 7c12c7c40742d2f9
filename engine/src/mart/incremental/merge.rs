//! Counts, sums and extremes of the changed rows alone, put together with those that are in the table.
//!
//! Only what comes out the same to the last digit is: sums of whole numbers and decimals, never of floating numbers. With
//! rows that went a group ends when its count of all rows is 0, so that count must be a column of the mart, and a sum must
//! be one of values that are never NULL: whether any is left could not be told else.

use std::sync::Arc;

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::{Column, JoinType, NullEquality},
    datasource::provider_as_source,
    error::{DataFusionError, Result as QueryResult},
    functions_aggregate::expr_fn::sum,
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, expr::AggregateFunction, lit, when,
    },
};

use super::{
    delta::{Side, delta},
    publish::THERE,
    shape::{Grouped, is_text},
    source::Sources,
};

const PARTS: &str = "parts";
const KEPT: &str = "kept";

/// How the number of the changed rows and the one in the table become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combined {
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

/// The rows of changed groups; `None` when the query is not of this kind, or has rows that went and no way to take them away.
pub(super) fn rows(
    sources: &Sources<'_>,
    grouped: &Grouped,
    columns: &[FieldRef],
    target: &Arc<Snapshot>,
) -> Result<Option<LogicalPlan>, String> {
    let Some(kinds) = kinds(grouped, columns) else { return Ok(None) };
    let come = delta(sources, &grouped.aggregate.input, Side::Come)?;
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
    let counts = counts.filter(|_| gone.is_some());
    let parts = parts(grouped, &kinds, columns, come, gone).map_err(text)?;
    together(grouped, &kinds, columns, counts, parts, target).map(Some).map_err(text)
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

/// The numbers of the changed rows: those that went below zero.
fn parts(
    grouped: &Grouped,
    kinds: &[Option<Combined>],
    columns: &[FieldRef],
    come: Option<LogicalPlan>,
    gone: Option<LogicalPlan>,
) -> QueryResult<LogicalPlan> {
    let of = |input: LogicalPlan, minus: bool| {
        let Aggregate { group_expr, aggr_expr, .. } = grouped.aggregate.clone();
        let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), group_expr, aggr_expr)?);
        let given = aggregate.schema().columns();
        let shown = columns.iter().enumerate().map(|(at, column)| {
            let origin = grouped.origin(at).and_then(|origin| given.get(origin).cloned());
            let value = origin.map(Expr::Column).ok_or_else(lost)?;
            let kind = column.data_type().clone();
            let value = match kinds.get(at) {
                Some(Some(_)) if minus => cast(-value, kind),
                _ => cast(value, kind),
            };
            Ok(value.alias(column.name()))
        });
        let shown = shown.collect::<QueryResult<Vec<Expr>>>()?;
        LogicalPlanBuilder::from(aggregate).project(shown)
    };
    let both = match (come, gone) {
        (Some(come), Some(gone)) => {
            let union = of(come, false)?.union(of(gone, true)?.build()?)?;
            let own = |at: usize| Expr::Column(Column::new_unqualified(columns[at].name()));
            let keys: Vec<Expr> = grouped.keys.iter().map(|at| own(*at)).collect();
            let of_group = |at: &usize| kinds.get(*at).is_some_and(Option::is_some);
            let numbers: Vec<usize> = (0..columns.len()).filter(of_group).collect();
            let sums: Vec<Expr> = numbers.iter().map(|at| sum(own(*at)).alias(format!("sum {at}"))).collect();
            let shown = columns.iter().enumerate().map(|(at, column)| match numbers.contains(&at) {
                true => cast(Expr::Column(Column::new_unqualified(format!("sum {at}"))), column.data_type().clone())
                    .alias(column.name()),
                false => own(at),
            });
            let shown: Vec<Expr> = shown.collect();
            union.alias("changed")?.aggregate(keys, sums)?.project(shown)?
        }
        (Some(come), None) => of(come, false)?,
        (None, Some(gone)) => of(gone, true)?,
        (None, None) => return Err(lost()),
    };
    both.alias(PARTS)?.build()
}

/// The numbers together with those of the table.
fn together(
    grouped: &Grouped,
    kinds: &[Option<Combined>],
    columns: &[FieldRef],
    counts: Option<usize>,
    parts: LogicalPlan,
    target: &Arc<Snapshot>,
) -> QueryResult<LogicalPlan> {
    let provider = target.provider().map_err(|error| DataFusionError::External(Box::new(error)))?;
    let kept = LogicalPlanBuilder::scan(KEPT, provider_as_source(provider), None)?.build()?;
    let of = |relation: &str, at: usize| Column::new(Some(relation.to_owned()), columns[at].name());
    let on = |relation: &str| grouped.keys.iter().map(|at| of(relation, *at)).collect::<Vec<_>>();
    let value = |at: usize| -> QueryResult<Expr> {
        let new = Expr::Column(of(PARTS, at));
        let Some(kind) = kinds.get(at).copied().flatten() else { return Ok(new) };
        let old = cast(Expr::Column(of(KEPT, at)), columns[at].data_type().clone());
        let both = match kind {
            Combined::Count { .. } | Combined::Sum { .. } => {
                cast(old.clone() + new.clone(), columns[at].data_type().clone())
            }
            Combined::Least => when(old.clone().lt_eq(new.clone()), old.clone()).otherwise(new.clone())?,
            Combined::Greatest => when(old.clone().gt_eq(new.clone()), old.clone()).otherwise(new.clone())?,
        };
        when(old.clone().is_null(), new.clone()).when(new.is_null(), old).otherwise(both)
    };
    let mut shown = Vec::with_capacity(columns.len() + 1);
    for (at, column) in columns.iter().enumerate() {
        shown.push(value(at)?.alias(column.name()));
    }
    let there = match counts {
        Some(at) => value(at)?.gt(lit(0_i64)),
        None => lit(true),
    };
    shown.push(there.alias(THERE));
    LogicalPlanBuilder::from(parts)
        .join_detailed(kept, JoinType::Left, (on(PARTS), on(KEPT)), None, NullEquality::NullEqualsNull)?
        .project(shown)?
        .build()
}

fn lost() -> DataFusionError {
    DataFusionError::Internal("a group of changed rows without a column".to_owned())
}

fn text(error: DataFusionError) -> String {
    error.to_string()
}
