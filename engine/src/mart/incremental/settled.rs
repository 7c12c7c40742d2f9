//! Whether a query gives the same rows each time it looks at the same tables. Rows of a join with a table that did not change
//! are told from those of the last run by running its part of the query again: it must give what it gave then.

use datafusion::{
    arrow::datatypes::DataType,
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Aggregate, Distinct, Expr, LogicalPlan},
};

use super::delta::needs_all;

/// Aggregates whose value hangs on the order in which rows come.
const BY_ORDER: [&str; 6] = ["first_value", "last_value", "nth_value", "array_agg", "string_agg", "any_value"];

/// The error says which part may give other rows of the same tables, subqueries included.
pub(super) fn check_settled(plan: &LogicalPlan) -> Result<(), String> {
    let mut fault = None;
    let walk = plan.apply_with_subqueries(|node| {
        fault = is_unsettled(node).then(|| needs_all(node, "it may give other rows of the same tables"));
        Ok(if fault.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walk.map_err(|error| error.to_string())?;
    fault.map_or(Ok(()), Err)
}

fn is_unsettled(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Limit(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::RecursiveQuery(_)
        | LogicalPlan::Distinct(Distinct::On(_)) => true,
        LogicalPlan::Sort(sort) => sort.fetch.is_some(),
        LogicalPlan::TableScan(scan) => scan.fetch.is_some(),
        LogicalPlan::Aggregate(aggregate) => is_by_order(aggregate),
        _ => false,
    }
}

/// Sums of floating numbers are rounded anew in each order.
fn is_by_order(aggregate: &Aggregate) -> bool {
    let by_name = |expr: &Expr| {
        expr.exists(|part| {
            let name = if let Expr::AggregateFunction(call) = part { call.func.name() } else { "" };
            Ok(BY_ORDER.contains(&name) || name.starts_with("approx"))
        })
    };
    let made = aggregate.schema.fields().iter().skip(aggregate.group_expr.len());
    made.map(|field| field.data_type()).any(DataType::is_floating)
        || aggregate.aggr_expr.iter().any(|expr| by_name(expr).unwrap_or(true))
}
