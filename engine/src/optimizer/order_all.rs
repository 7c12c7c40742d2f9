//! ORDER BY ALL, which the parser leaves as ORDER BY of a mark: the columns that are there take its place.

use datafusion::{
    common::{Result, config::ConfigOptions, tree_node::Transformed},
    logical_expr::{Expr, LogicalPlan, SortExpr},
    optimizer::AnalyzerRule,
};

use crate::parser::EVERY_COLUMN;

#[derive(Debug)]
pub(crate) struct OrderByAll;

impl AnalyzerRule for OrderByAll {
    fn name(&self) -> &str {
        "order_by_all"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| Ok(every_column(plan)))?.data)
    }
}

fn every_column(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    let LogicalPlan::Sort(mut sort) = plan else { return Transformed::no(plan) };
    let [SortExpr { expr: Expr::Literal(mark, _), asc, nulls_first }] = sort.expr.as_slice() else {
        return Transformed::no(LogicalPlan::Sort(sort));
    };
    if mark.try_as_str().flatten() != Some(EVERY_COLUMN) {
        return Transformed::no(LogicalPlan::Sort(sort));
    }
    let (asc, nulls_first) = (*asc, *nulls_first);
    let columns = sort.input.schema().columns().into_iter();
    sort.expr = columns.map(|column| SortExpr { expr: Expr::Column(column), asc, nulls_first }).collect();
    Transformed::yes(LogicalPlan::Sort(sort))
}
