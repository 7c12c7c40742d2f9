//! The groups that have a changed row, made anew of all rows of theirs. It holds for any aggregate.
//!
//! ```text
//! changed rows --> their keys (in memory, at most KEYS_MAX)
//! all rows that are grouped, semi-joined with the keys --> the query
//! keys LEFT JOIN what it gives --> a row a key: new columns, or that the group is there no more
//! ```
//! NULL is a key like any other: all joins here take two NULLs for equal.

use std::sync::Arc;

use datafusion::{
    common::{Column, JoinType, NullEquality},
    datasource::{MemTable, provider_as_source},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, logical_plan::Join},
    physical_plan::collect,
};

use super::{
    delta::{Side, delta},
    publish::THERE,
    shape::Grouped,
    source::Sources,
};
use crate::statement::Context;

/// Groups that one run makes anew; with more, all are.
const KEYS_MAX: usize = 200_000;
const KEYS: &str = "changed_keys";
const NEW: &str = "new_rows";

/// The keys of groups that have a changed row, each once; `None` when no row changed.
pub(super) fn keys(sources: &Sources<'_>, grouped: &Grouped) -> Result<Option<LogicalPlan>, String> {
    let Some(rows) = delta(sources, &grouped.aggregate.input, Side::Both)? else { return Ok(None) };
    let named = grouped.aggregate.group_expr.iter().enumerate();
    let named = named.map(|(n, key)| key.clone().unalias_nested().data.alias(format!("k{n}")));
    let keys = LogicalPlanBuilder::from(rows).project(named).and_then(LogicalPlanBuilder::distinct);
    keys.and_then(LogicalPlanBuilder::build).map(Some).map_err(text)
}

/// The rows of the groups with these keys, as they are now. The keys are looked up once, here.
pub(super) async fn rows(
    context: &Context,
    grouped: &Grouped,
    columns: &[String],
    keys: LogicalPlan,
) -> Result<LogicalPlan, String> {
    let keys = in_memory(context, keys).await?;
    let key = |n: usize| Expr::Column(Column::new(Some(KEYS), format!("k{n}")));
    let scan = || LogicalPlanBuilder::scan(KEYS, provider_as_source(keys.clone()), None)?.build();
    let input = grouped.aggregate.input.clone();
    let on = grouped.aggregate.group_expr.iter().enumerate();
    let on: Vec<(Expr, Expr)> = on.map(|(n, expr)| (expr.clone().unalias_nested().data, key(n))).collect();
    let touched = Join::try_new(
        input,
        Arc::new(scan().map_err(text)?),
        on,
        None,
        JoinType::LeftSemi,
        datafusion::common::JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    );
    let query = grouped.over(LogicalPlan::Join(touched.map_err(text)?))?;
    let given = query.schema().columns();
    let build = || {
        let named = given.into_iter().zip(columns).map(|(given, name)| Expr::Column(given).alias(name));
        let there = datafusion::logical_expr::lit(true).alias(THERE);
        let new = LogicalPlanBuilder::from(query).project(named.chain([there]))?.alias(NEW)?.build()?;
        let new_column = |name: &str| Column::new(Some(NEW), name);
        let left = (0..grouped.keys.len()).map(|n| Column::new(Some(KEYS), format!("k{n}"))).collect::<Vec<_>>();
        let right = grouped.keys.iter().map(|at| new_column(&columns[*at])).collect::<Vec<_>>();
        let shown = columns.iter().enumerate().map(|(at, name)| {
            let key_of = grouped.keys.iter().position(|of| *of == at);
            key_of.map_or_else(|| Expr::Column(new_column(name)), key).alias(name)
        });
        let there = Expr::Column(new_column(THERE)).is_not_null().alias(THERE);
        LogicalPlanBuilder::from(scan()?)
            .join_detailed(new, JoinType::Left, (left, right), None, NullEquality::NullEqualsNull)?
            .project(shown.chain([there]).collect::<Vec<_>>())?
            .build()
    };
    build().map_err(text)
}

/// The rows of a plan, read once.
async fn in_memory(context: &Context, plan: LogicalPlan) -> Result<Arc<MemTable>, String> {
    let some = LogicalPlanBuilder::from(plan).limit(0, Some(KEYS_MAX + 1)).and_then(LogicalPlanBuilder::build);
    let physical = context.physical_plan(&some.map_err(text)?).await.map_err(|error| error.to_string())?;
    let schema = physical.schema();
    let batches = collect(physical, context.task()).await.map_err(text)?;
    if batches.iter().map(|batch| batch.num_rows()).sum::<usize>() > KEYS_MAX {
        return Err(format!("more than {KEYS_MAX} groups have a changed row"));
    }
    MemTable::try_new(schema, vec![batches]).map(Arc::new).map_err(text)
}

fn text(error: DataFusionError) -> String {
    error.to_string()
}
