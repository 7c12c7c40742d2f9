//! A nested loop join that ends when its statement is cancelled, and that leaves its neighbours a thread: see `stop`.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, Statistics, exec_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        coop::make_cooperative,
        execution_plan::{CardinalityEffect, ChildrenPropertiesMode, SchedulingType},
        joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
        statistics::{ChildStats, StatisticsArgs},
    },
};

use super::stop::{Stop, StoppableStream, Watched};

/// Hands on the rows of a join, which is its only input.
#[derive(Debug)]
pub(crate) struct StoppableExec {
    join: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl StoppableExec {
    /// Over the same join with its condition watched.
    pub fn over(join: &NestedLoopJoinExec) -> Result<Self> {
        let watched = join.filter().map(|filter| {
            let condition: Arc<dyn PhysicalExpr> = Arc::new(Watched::new(filter.expression().clone()));
            JoinFilter::new(condition, filter.column_indices().to_vec(), filter.schema().clone())
        });
        Ok(Self::new(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(watched).build()?)))
    }

    fn new(join: Arc<dyn ExecutionPlan>) -> Self {
        let properties = join.properties().as_ref().clone().with_scheduling_type(SchedulingType::Cooperative);
        Self { join, properties: Arc::new(properties) }
    }
}

impl DisplayAs for StoppableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StoppableExec")
    }
}

impl ExecutionPlan for StoppableExec {
    fn name(&self) -> &str {
        "StoppableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(join), true) => Ok(Arc::new(Self::new(join))),
            _ => exec_err!("a join that can be stopped is one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stop = context.session_config().get_extension::<Stop>();
        let rows = StoppableStream::new(self.join.execute(partition, context)?, stop);
        Ok(make_cooperative(Box::pin(rows)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => exec_err!("a join that can be stopped is one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
