//! Rows that lie ready, as the input of an operator.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
    },
};
use parking_lot::Mutex;

/// One stream a partition, put in before the operator above asks, and given out once.
pub(super) struct Handed {
    properties: Arc<PlanProperties>,
    /// Where the rows come from: for those who look for an expression in the plan. It is not run from here.
    origin: Option<Arc<dyn ExecutionPlan>>,
    rows: Vec<Mutex<Option<SendableRecordBatchStream>>>,
}

impl Handed {
    /// In place of `origin`, with all its properties.
    pub fn instead_of(origin: &Arc<dyn ExecutionPlan>) -> Arc<Self> {
        let count = origin.output_partitioning().partition_count();
        Arc::new(Self {
            properties: origin.properties().clone(),
            origin: Some(origin.clone()),
            rows: (0..count).map(|_| Mutex::default()).collect(),
        })
    }

    /// One partition.
    pub fn of(rows: SendableRecordBatchStream) -> Arc<Self> {
        let properties = properties(rows.schema());
        Arc::new(Self { properties: Arc::new(properties), origin: None, rows: vec![Mutex::new(Some(rows))] })
    }

    /// What the next run of `partition` returns.
    pub fn put(&self, partition: usize, rows: SendableRecordBatchStream) {
        if let Some(place) = self.rows.get(partition) {
            *place.lock() = Some(rows);
        }
    }
}

fn properties(schema: SchemaRef) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    )
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("partitions", &self.rows.len()).finish_non_exhaustive()
    }
}

impl DisplayAs for Handed {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handed")
    }
}

impl ExecutionPlan for Handed {
    fn name(&self) -> &str {
        "Handed"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.origin.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        match self.rows.get(partition).and_then(|place| place.lock().take()) {
            Some(rows) => Ok(rows),
            None => internal_err!("partition {partition} of a join was run before its rows were there"),
        }
    }
}
