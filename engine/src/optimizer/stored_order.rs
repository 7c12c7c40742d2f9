//! Spares a sort of rows that files have in order.
//!
//! Where an operator wants its input in an order, the scans below it declare the order of their files if that is what is
//! wanted; DataFusion then finds the sort needless. Runs before the rules that put sorts into the plan and take them out.

use std::sync::Arc;

use boathouse_storage::table::in_stored_order;
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, execution_plan::replace_children_if_necessary, sorts::sort::SortExec,
    },
};

#[derive(Debug)]
pub(crate) struct StoredOrder;

impl PhysicalOptimizerRule for StoredOrder {
    fn name(&self) -> &str {
        "stored_order"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let mut changed = false;
            let mut inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
            for (at, input) in inputs.iter_mut().enumerate() {
                if let Some(ordered) = wanted(node.as_ref(), at, input)? {
                    *input = ordered;
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

/// An input in the order that the operator wants of it, where the files have it and the input does not yet.
fn wanted(
    node: &dyn ExecutionPlan,
    at: usize,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let satisfies = |input: &Arc<dyn ExecutionPlan>| -> Result<Option<bool>> {
        let properties = input.equivalence_properties();
        if let Some(sort) = node.downcast_ref::<SortExec>() {
            return properties.ordering_satisfy(sort.expr().iter().cloned()).map(Some);
        }
        match node.required_input_ordering().into_iter().nth(at).flatten() {
            Some(order) => properties.ordering_satisfy_requirement(order.into_single()).map(Some),
            None => Ok(None),
        }
    };
    if satisfies(input)? != Some(false) {
        return Ok(None);
    }
    let Some(ordered) = ordered(input)? else { return Ok(None) };
    Ok((satisfies(&ordered)? == Some(true)).then_some(ordered))
}

/// The plan with the orders of all files declared that reach its rows.
pub(super) fn ordered(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
    if inputs.is_empty() {
        return Ok(in_stored_order(plan));
    }
    let mut changed = false;
    for (input, kept) in inputs.iter_mut().zip(plan.maintains_input_order()) {
        if kept && let Some(ordered) = ordered(input)? {
            *input = ordered;
            changed = true;
        }
    }
    Ok(if changed { Some(replace_children_if_necessary(plan.clone(), inputs)?) } else { None })
}
