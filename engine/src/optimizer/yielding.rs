//! Lets a statement be cancelled while an operator makes many rows of few.
//!
//! A query gives way to others, and to its own cancelling, when its source has handed out so many batches; DataFusion
//! sees to that. A join or an UNNEST makes any number of batches of one, and an aggregate above it takes them all in one
//! go: a cross join of two small tables held its thread for minutes after the client had left. So those operators count
//! their own batches too. A nested loop join may also find nothing for minutes: it can be stopped between two batches.

use std::{fmt::Debug, sync::Arc};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, coop::CooperativeExec, joins::NestedLoopJoinExec, union::UnionExec, unnest::UnnestExec,
    },
};

use crate::exec::StoppableExec;

/// Puts a [`CooperativeExec`], or what does its work, over every operator that can return more batches than it reads. Runs last.
#[derive(Debug)]
pub(crate) struct YieldingRows;

impl PhysicalOptimizerRule for YieldingRows {
    fn name(&self) -> &str {
        "yielding_rows"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                return Ok(Transformed::yes(Arc::new(StoppableExec::over(join)?)));
            }
            if multiplies(node.as_ref()) {
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(node))));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// All joins have two inputs; a union has them too, but only hands on what they give.
fn multiplies(node: &dyn ExecutionPlan) -> bool {
    node.is::<UnnestExec>() || (node.children().len() > 1 && !node.is::<UnionExec>())
}
