//! Arithmetic of decimals by our own functions: see [`crate::function::decimal_arithmetic`].
//!
//! The last of the optimizer's rules: those before it know what `+`, `-` and `*` mean, and nothing of the functions.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Expr, ExprSchemable, LogicalPlan, expr::ScalarFunction, expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::{OptimizerConfig, OptimizerRule},
};

use crate::function::decimal_arithmetic;

#[derive(Debug)]
pub(crate) struct QuickDecimals;

impl OptimizerRule for QuickDecimals {
    fn name(&self) -> &str {
        "quick_decimals"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(node)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // Filters of a scan are for statistics, which understand operators alone.
    if matches!(plan, LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    let mut any = false;
    plan.apply_expressions(|expr| {
        any |= expr.exists(|expr| Ok(matches!(expr, Expr::BinaryExpr(b) if decimal_arithmetic(b.op).is_some())))?;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    if !any {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| mend(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })
}

fn mend(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(binary) = expr else { return Ok(Transformed::no(expr)) };
    let is_decimal = |side: &Expr| side.get_type(schema).is_ok_and(|kind| matches!(kind, DataType::Decimal128(..)));
    match decimal_arithmetic(binary.op) {
        Some(function) if is_decimal(&binary.left) && is_decimal(&binary.right) => {
            let args = vec![*binary.left, *binary.right];
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
        }
        _ => Ok(Transformed::no(Expr::BinaryExpr(binary))),
    }
}
