//! VALUES as rows: what is constant is put into arrays at once, and not carried through every rule of a planner.
//!
//! An INSERT of some hundred values is some hundred expressions, each of which an optimizer copies and names many times. By
//! now they were judged one by one (see `conform`); all that is left to do with them is to write them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::DataType,
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    datasource::{MemTable, provider_as_source},
    error::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Values, col},
    scalar::ScalarValue,
};

/// A few values are planned faster than a table of them.
const VALUES_MIN: usize = 16;
const NAME: &str = "values";

/// The plan with a table in the place of every VALUES that is constant.
pub(super) fn as_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rows = plan.transform_down(|node| match &node {
        LogicalPlan::Values(values) => match rows(values)? {
            Some(table) => Ok(Transformed::yes(table)),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    });
    Ok(rows?.data)
}

fn rows(values: &Values) -> Result<Option<LogicalPlan>> {
    let schema = values.schema.inner().clone();
    if values.values.len() * schema.fields().len() < VALUES_MIN {
        return Ok(None);
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let of_column = values.values.iter().map(|row| constant(row.get(at)?, field.data_type()));
        let Some(of_column) = of_column.collect::<Option<Vec<ScalarValue>>>() else { return Ok(None) };
        columns.push(ScalarValue::iter_to_array(of_column)?);
    }
    let Ok(batch) = RecordBatch::try_new(schema.clone(), columns) else { return Ok(None) };
    let table = MemTable::try_new(schema.clone(), vec![vec![batch]])?;
    // Under the names of VALUES, which have no qualifier.
    let names = schema.fields().iter().map(|field| col(format!("{NAME}.\"{}\"", field.name())).alias(field.name()));
    let scan = LogicalPlanBuilder::scan(NAME, provider_as_source(Arc::new(table)), None)?;
    scan.project(names.collect::<Vec<Expr>>())?.build().map(Some)
}

/// A literal, perhaps in another type; `None` for anything that has to be computed.
fn constant(expr: &Expr, kind: &DataType) -> Option<ScalarValue> {
    let value = match expr {
        Expr::Literal(value, _) => value.clone(),
        Expr::Alias(alias) => constant(&alias.expr, kind)?,
        Expr::Cast(cast) => constant(&cast.expr, cast.field.data_type())?,
        _ => return None,
    };
    if value.data_type() == *kind { Some(value) } else { value.cast_to(kind).ok() }
}
