//! A look at all rows of a table before it demands something of them, or goes on behind them.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot,
    write::{self, Identity},
};
use datafusion::{
    arrow::{array::Int64Array, record_batch::RecordBatch},
    common::ScalarValue,
    datasource::provider_as_source,
    functions::core::expr_fn::get_field,
    functions_aggregate::expr_fn::{count, max, min},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, ident, lit},
    physical_plan::collect,
};

use super::change::Wanted;
use crate::{EngineError, statement::Context};

/// An error that counts the rows in the way and shows one.
pub(super) async fn all_rows(context: &Context, table: &Arc<Snapshot>, wanted: &Wanted) -> Result<(), EngineError> {
    let broken = match wanted {
        Wanted::NotNull(path) => lacks(path),
        Wanted::Check(check) => check.expr.clone().is_not_true(),
    };
    let shown: Vec<String> = match wanted {
        Wanted::NotNull(_) => table.schema().fields().iter().map(|field| field.name().clone()).collect(),
        Wanted::Check(check) => {
            let used = check.expr.column_refs();
            let schema = table.schema();
            let names = schema.fields().iter().map(|field| field.name().clone());
            names.filter(|name| used.iter().any(|column| column.name() == name)).collect()
        }
    };
    let rows = LogicalPlanBuilder::scan("t", provider_as_source(table.provider()?), None)?.filter(broken)?.build()?;
    let one = LogicalPlanBuilder::from(rows.clone()).project(shown.iter().map(ident))?.limit(0, Some(1))?.build()?;
    let Some(row) = run(context, &one).await?.into_iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
    let all = LogicalPlanBuilder::from(rows).aggregate(Vec::<Expr>::new(), [count(lit(1_i64)).alias("n")])?;
    let all = all.project([col("n")])?.build()?;
    let counted = run(context, &all).await?;
    let number =
        counted.iter().find_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>()?.iter().next()?);
    let name = table.name();
    let number = number.unwrap_or(1);
    let rows = if number == 1 { "1 row".to_owned() } else { format!("{number} rows") };
    let message = match wanted {
        Wanted::NotNull(path) => format!("column \"{}\" of table \"{name}\" has no value in {rows}", path.join(".")),
        Wanted::Check(check) => format!("{rows} of table \"{name}\" would break the {}: {}", check.rule, check.sql),
    };
    let values = write::row_text(&shown, &first_row(&row)?);
    Err(EngineError::invalid(message).with_detail(format!("One has {values}.")))
}

/// Whether a row has no value at the end of the path.
fn lacks(path: &[String]) -> Expr {
    let Some((column, fields)) = path.split_first() else { return lit(false) };
    fields.iter().fold(ident(column), |outer, field| get_field(outer, field.as_str())).is_null()
}

/// The number of an identity column that is furthest in its direction; nothing where no row has one.
pub(super) async fn furthest_number(
    context: &Context,
    table: &Arc<Snapshot>,
    identity: &Identity,
) -> Result<Option<i64>, EngineError> {
    let column = ident(&identity.column);
    let furthest = if identity.step < 0 { min(column) } else { max(column) };
    let rows = LogicalPlanBuilder::scan("t", provider_as_source(table.provider()?), None)?;
    let plan = rows.aggregate(Vec::<Expr>::new(), [furthest.alias("n")])?.build()?;
    let found = run(context, &plan).await?;
    Ok(found.iter().find_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>()?.iter().next()?))
}

async fn run(context: &Context, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, EngineError> {
    let plan = context.physical_plan(plan).await?;
    collect(plan, context.task()).await.map_err(|error| context.error(error))
}

fn first_row(batch: &RecordBatch) -> Result<Vec<ScalarValue>, EngineError> {
    Ok(batch.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect::<Result<_, _>>()?)
}
