//! Lets a join read its filtered side first when the other side is an aggregation by the join's keys.
//!
//! ```text
//!   join on k ┬─ SELECT k, avg(x) FROM large GROUP BY k      few groups: DataFusion builds this side
//!             └─ rows of a filtered join                     but only few of its k are wanted
//! ```
//! What a join finds out about its keys while it reads one side goes down the other as a filter, through the aggregation
//! to the scan under it, so that only groups that are asked for are made: what others call a delim join or a magic set
//! (Seshadri et al., "Cost-based optimization for magic", SIGMOD 1996), for correlated subqueries above all. DataFusion
//! chooses by the sizes of what comes out of both sides; here the work that goes into the aggregation counts.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    physical_expr::expressions::Column,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        aggregates::AggregateExec,
        filter::FilterExec,
        joins::{HashJoinExec, PartitionMode},
        projection::ProjectionExec,
        statistics::{StatisticsArgs, StatisticsContext},
    },
};

/// Runs right behind the rule that chooses the sides of joins, before rows are distributed over threads.
#[derive(Debug)]
pub(crate) struct BuildSide;

impl BuildSide {
    /// The rule that it corrects.
    pub(super) const AFTER: &str = "join_selection";
}

impl PhysicalOptimizerRule for BuildSide {
    fn name(&self) -> &str {
        "build_side"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.optimizer.join_reordering || !config.optimizer.enable_join_dynamic_filter_pushdown {
            return Ok(plan);
        }
        plan.transform_up(|node| match node.downcast_ref::<HashJoinExec>() {
            Some(join) => match mode_after_swap(join, config)? {
                Some(mode) => Ok(Transformed::yes(join.swap_inputs(mode)?)),
                None => Ok(Transformed::no(node)),
            },
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// How the join runs with its sides changed; `None` when they stay.
fn mode_after_swap(join: &HashJoinExec, config: &ConfigOptions) -> Result<Option<PartitionMode>> {
    let swapped = join.join_type().swap();
    if !join.join_type().supports_swap() || join.null_aware || !swapped.on_lr_is_preserved().1 {
        return Ok(None);
    }
    let Some(input) = aggregated_by_keys(join) else { return Ok(None) };
    if !is_filtered(join.right())? {
        return Ok(None);
    }
    let statistics =
        |plan: &Arc<dyn ExecutionPlan>| StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    let (other, input) = (statistics(join.right())?, statistics(&input)?);
    let (Some(other_rows), Some(input_rows)) = (other.num_rows.get_value(), input.num_rows.get_value()) else {
        return Ok(None);
    };
    // As many rows on the other side would be as much to build as to aggregate.
    if other_rows >= input_rows {
        return Ok(None);
    }
    let limits = &config.optimizer;
    let small = match other.total_byte_size.get_value() {
        Some(bytes) => *bytes < limits.hash_join_single_partition_threshold,
        None => *other_rows < limits.hash_join_single_partition_threshold_rows,
    };
    Ok(Some(if small { PartitionMode::CollectLeft } else { PartitionMode::Partitioned }))
}

/// What is aggregated on the left side of the join, when each key of the join is a column that it is grouped by. Nothing
/// may stand between but a change of columns: a HAVING has already found the few groups that count.
fn aggregated_by_keys(join: &HashJoinExec) -> Option<Arc<dyn ExecutionPlan>> {
    let mut keys: Vec<usize> = join.on().iter().map(|(key, _)| position(key.as_ref())).collect::<Option<_>>()?;
    let mut node = join.left();
    while let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        for key in &mut keys {
            *key = position(projection.expr().get(*key)?.expr.as_ref())?;
        }
        node = projection.input();
    }
    let mut aggregate = node.downcast_ref::<AggregateExec>()?;
    loop {
        let groups = aggregate.group_expr();
        if !groups.is_single() {
            return None;
        }
        for key in &mut keys {
            *key = position(groups.expr().get(*key)?.0.as_ref())?;
        }
        // The second half of an aggregation in two steps stands right above the first.
        match aggregate.input().downcast_ref::<AggregateExec>() {
            Some(first) => aggregate = first,
            None => return Some(aggregate.input().clone()),
        }
    }
}

fn position(expr: &dyn datafusion::physical_expr::PhysicalExpr) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Does anything below leave out rows by their values? If not, every group will be asked for.
fn is_filtered(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= node.is::<FilterExec>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
