//! Timestamps keep their microseconds where other types meet them.
//!
//! DataFusion compares a date with any timestamp as nanoseconds, which end in the year 2262, and takes a number for seconds
//! only where the timestamp has nanoseconds. Here a date becomes the timestamp's own type, and a number is seconds.

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{DFSchema, Result, config::ConfigOptions, tree_node::Transformed},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, cast},
    optimizer::AnalyzerRule,
};

use super::typed::{is_comparison, mend_node};

#[derive(Debug)]
pub(crate) struct WholeTimestamps;

impl AnalyzerRule for WholeTimestamps {
    fn name(&self) -> &str {
        "whole_timestamps"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| mend_node(plan, |expr, schema| Ok(mend(expr, schema))))?.data)
    }
}

fn mend(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => meet(vec![&mut binary.left, &mut binary.right], schema),
        Expr::Between(between) => meet(vec![&mut between.expr, &mut between.low, &mut between.high], schema),
        Expr::InList(list) => meet(std::iter::once(list.expr.as_mut()).chain(&mut list.list).collect(), schema),
        Expr::Cast(outer) => match outer.field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, zone)
                if outer.expr.get_type(schema).is_ok_and(|kind| kind.is_integer()) =>
            {
                let seconds = DataType::Timestamp(TimeUnit::Second, zone.clone());
                let inner = std::mem::take(outer.expr.as_mut());
                *outer.expr = cast(inner, seconds);
                true
            }
            _ => false,
        },
        _ => false,
    };
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Makes the dates among `exprs` timestamps when there is one among them.
fn meet(exprs: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let kinds: Vec<_> = exprs.iter().map(|expr| expr.get_type(schema).unwrap_or(DataType::Null)).collect();
    let is_date = |kind: &DataType| matches!(kind, DataType::Date32 | DataType::Date64);
    let Some(time) = kinds.iter().find(|kind| matches!(kind, DataType::Timestamp(..))) else { return false };
    if !kinds.iter().any(is_date) {
        return false;
    }
    exprs.into_iter().zip(&kinds).filter(|(_, kind)| is_date(kind)).for_each(|(expr, _)| {
        *expr = cast(std::mem::take(expr), time.clone());
    });
    true
}
