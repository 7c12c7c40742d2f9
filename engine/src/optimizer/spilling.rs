//! Lets hash joins spill.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, joins::HashJoinExec},
};

use crate::exec::SpillingJoinExec;

/// Puts a [`SpillingJoinExec`] in the place of every hash join that can be split by its keys. Runs after the library's
/// rules, which know hash joins only.
#[derive(Debug)]
pub(crate) struct SpillingJoins;

impl PhysicalOptimizerRule for SpillingJoins {
    fn name(&self) -> &str {
        "spilling_joins"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match node.downcast_ref::<HashJoinExec>() {
            Some(join) if can_spill(join)? => {
                let join = join.builder().build()?;
                Ok(Transformed::yes(Arc::new(SpillingJoinExec::new(Arc::new(join))?)))
            }
            _ => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// NOT IN asks for NULLs anywhere on the other side. And what is split has lost its order: one order can be made anew by
/// sorting, several that hold at once cannot.
fn can_spill(join: &HashJoinExec) -> Result<bool> {
    if join.null_aware {
        return Ok(false);
    }
    let properties = join.properties().equivalence_properties();
    let Some(order) = join.properties().output_ordering() else { return Ok(true) };
    let mut sorted = properties.clone();
    sorted.clear_orderings();
    sorted.add_ordering(order.clone());
    for order in properties.oeq_class().iter() {
        if !sorted.ordering_satisfy(order.clone())? {
            return Ok(false);
        }
    }
    Ok(true)
}
