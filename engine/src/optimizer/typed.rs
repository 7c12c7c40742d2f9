//! How rules that run before types are made equal go over a plan: every expression of every node, inner ones first, with
//! the columns that the node sees. A column keeps the name that it had.

use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, Operator, expr_rewriter::NamePreserver, utils::merge_schema},
};

/// Mends the expressions of one node, whose inputs are mended.
pub(super) fn mend_node(
    plan: LogicalPlan,
    mend: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    let mended = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| mend(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    if mended.transformed { mended.map_data(LogicalPlan::recompute_schema) } else { Ok(mended) }
}

pub(super) fn is_comparison(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}
