//! The side of an outer join whose rows are given up for NULLs where they match nothing.
//!
//! A column that has one value in all rows of that side has two above the join: that value, and NULL. DataFusion hands what
//! it knows of the side up through the join as it is (`EquivalenceGroup::join`), leaves the column out of an ORDER BY, and
//! rows come in a wrong order, or with a LIMIT wrong rows. This operator stands between the two and says less: of what is
//! equal only whole columns, of which NULLs are equal, too, and nothing of constants.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, Statistics, config::ConfigOptions, exec_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, PhysicalExpr,
        equivalence::{EquivalenceClass, EquivalenceGroup},
        expressions::Column,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{CardinalityEffect, ChildrenPropertiesMode},
        filter_pushdown::{ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation},
        statistics::{ChildStats, StatisticsArgs},
    },
};

/// Hands on the rows of its input.
#[derive(Debug)]
pub(crate) struct PaddedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PaddedExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let properties = input.properties().as_ref().clone();
        let known = properties.equivalence_properties();
        let mut padded = EquivalenceProperties::new(known.schema().clone());
        let classes = known.eq_group().iter().map(|class| class.iter().filter(|part| part.is::<Column>()).cloned());
        let classes = classes.map(EquivalenceClass::new).filter(|class| class.iter().count() > 1);
        padded.add_equivalence_group(EquivalenceGroup::new(classes))?;
        padded.add_orderings(known.oeq_class().iter().cloned());
        Ok(Self { properties: Arc::new(properties.with_eq_properties(padded)), input })
    }

    /// Is there something of this input that does not hold above the join?
    pub fn is_needed(input: &dyn ExecutionPlan) -> bool {
        let known = input.properties().equivalence_properties();
        let holds = |class: &EquivalenceClass| class.iter().all(|part| part.is::<Column>());
        !known.constants().is_empty() || !known.eq_group().iter().all(holds)
    }
}

impl DisplayAs for PaddedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "PaddedExec")
    }
}

impl ExecutionPlan for PaddedExec {
    fn name(&self) -> &str {
        "PaddedExec"
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
        vec![&self.input]
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
            (Some(input), true) => Ok(Arc::new(Self::new(input)?)),
            _ => exec_err!("the padded side of a join has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => exec_err!("the padded side of a join has one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
