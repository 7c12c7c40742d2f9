//! The filters of a plan, each with another predicate.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::Schema,
    common::{
        Result,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        ExecutionPlan,
        filter::{FilterExec, FilterExecBuilder},
    },
};

/// The plan with what `change` makes of each filter's predicate, given the schema of its rows; `None` leaves a filter as it is.
pub(super) fn with_predicates(
    plan: Arc<dyn ExecutionPlan>,
    change: impl Fn(&Arc<dyn PhysicalExpr>, &Schema) -> Option<Arc<dyn PhysicalExpr>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
        let Some(predicate) = change(filter.predicate(), &filter.input().schema()) else {
            return Ok(Transformed::no(node));
        };
        let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
        Ok(Transformed::yes(Arc::new(filter) as Arc<dyn ExecutionPlan>))
    })
    .data()
}
