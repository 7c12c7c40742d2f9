//! Groups of rows that files have in order are ended one after the other.
//!
//! Where the first column of the groups rises from row to row, a group is complete when the next begins: no table of all
//! groups is held, and the few that are open stay in the processor's cache. The scans below declare the order of their
//! files for it. Runs when all that DataFusion puts between the operators is there: of the order it would make sorts and
//! merges that cost more than they bring.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, InputOrderMode,
        aggregates::{AggregateExec, AggregateMode},
        execution_plan::replace_children_if_necessary,
    },
};

use super::stored_order::ordered;

/// Lets aggregations read their rows in the order of the files, if that orders their groups.
#[derive(Debug)]
pub(crate) struct OrderedGroups;

impl PhysicalOptimizerRule for OrderedGroups {
    fn name(&self) -> &str {
        "ordered_groups"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match in_order(&node)? {
            Some(ordered) => Ok(Transformed::yes(ordered)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn in_order(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(groups) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
    // A LIMIT ends the aggregation early in a way of its own.
    if !reads_rows(*groups.mode())
        || *groups.input_order_mode() != InputOrderMode::Linear
        || groups.limit_options().is_some()
    {
        return Ok(None);
    }
    let Some(input) = ordered(groups.input())? else { return Ok(None) };
    let node = replace_children_if_necessary(node.clone(), vec![input])?;
    let sorted =
        node.downcast_ref::<AggregateExec>().is_some_and(|groups| *groups.input_order_mode() != InputOrderMode::Linear);
    Ok(sorted.then_some(node))
}

/// Whether the input are rows, not groups that others made of them.
fn reads_rows(mode: AggregateMode) -> bool {
    matches!(mode, AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned)
}
