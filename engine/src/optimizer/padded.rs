//! Puts a [`PaddedExec`] on the sides of outer joins of which more is known than holds above the join.
//!
//! Runs before DataFusion's rules, which count on what is known.

use std::sync::Arc;

use datafusion::{
    common::{
        JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        execution_plan::replace_children_if_necessary,
        joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec},
    },
};

use crate::exec::PaddedExec;

#[derive(Debug)]
pub(crate) struct PaddedSides;

impl PhysicalOptimizerRule for PaddedSides {
    fn name(&self) -> &str {
        "padded_sides"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let padded = padded_sides(node.as_ref());
            let mut changed = false;
            let mut inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
            for (input, padded) in inputs.iter_mut().zip(padded) {
                if padded && !input.is::<PaddedExec>() && PaddedExec::is_needed(input.as_ref()) {
                    *input = Arc::new(PaddedExec::new(input.clone())?);
                    changed = true;
                }
            }
            match changed {
                true => Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?)),
                false => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whose columns, left and right, are NULL in rows that match nothing.
fn padded_sides(node: &dyn ExecutionPlan) -> [bool; 2] {
    let kind = node.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let kind = kind.or_else(|| node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type()));
    let kind = kind.or_else(|| node.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type()));
    match kind {
        Some(JoinType::Left) => [false, true],
        Some(JoinType::Right) => [true, false],
        Some(JoinType::Full) => [true, true],
        _ => [false, false],
    }
}
