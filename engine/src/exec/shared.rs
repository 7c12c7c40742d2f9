//! Rows that several places of a query read, computed once.
//!
//! ```text
//! SharedExec (first)   children: the input
//! SharedExec (later)   children: none      both read the same kept rows
//! ```
//!
//! A partition is computed when the first reader asks for it, by whoever of its readers is polled, and kept until the last
//! has asked: in memory as far as that can be reserved, the rest in a file. So a reader that waits for another, or that
//! is dropped before its end, holds nobody up.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{datatypes::SchemaRef, record_batch::RecordBatch},
    common::{
        DataFusionError, Result, Statistics, exec_err, internal_err, tree_node::TreeNodeRecursion,
        utils::memory::RecordBatchMemoryCounter,
    },
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
        spill_file::SpillFile,
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
        SpillManager,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput, SpillMetrics},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use parking_lot::Mutex;

/// One of the readers of the same rows. Nothing is handed down through it: what one reader does not need, another may.
#[derive(Debug)]
pub(crate) struct SharedExec {
    rows: Arc<Rows>,
    place: Place,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Has the input among its children.
    First,
    Later,
}

impl SharedExec {
    /// The only reader of `input` for now. Those of one `id` read the same rows.
    pub fn new(id: usize, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::first(id, input, 1)
    }

    fn first(id: usize, input: Arc<dyn ExecutionPlan>, readers: usize) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let kept = (0..partitions).map(|_| Mutex::default()).collect();
        let rows = Arc::new(Rows { id, input, readers, kept, metrics: ExecutionPlanMetricsSet::new() });
        Self { rows, place: Place::First, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn id(&self) -> usize {
        self.rows.id
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.rows.input
    }

    /// The same rows, which as many as `readers` will read.
    pub fn read_by(&self, readers: usize) -> Self {
        Self::first(self.rows.id, self.rows.input.clone(), readers)
    }

    /// One more reader of the same rows. Only where no rule changes the plan afterwards: a new input would be that of the
    /// first alone.
    pub fn again(&self) -> Self {
        Self { rows: self.rows.clone(), place: Place::Later, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match self.place {
            Place::First => write!(f, "SharedExec: id={}, readers={}", self.rows.id, self.rows.readers),
            Place::Later => write!(f, "SharedExec: id={}, rows of the first", self.rows.id),
        }
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "SharedExec"
    }

    fn schema(&self) -> SchemaRef {
        self.rows.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.input.properties()
    }

    /// Or a sort that one reader asks for would be done below all.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        match self.place {
            Place::First => vec![&self.rows.input],
            Place::Later => vec![],
        }
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
        match (self.place, children.pop(), children.is_empty()) {
            (Place::First, Some(input), true) => Ok(Arc::new(Self::new(self.rows.id, input))),
            (Place::Later, None, true) => Ok(self),
            _ => internal_err!("shared rows have one input, below their first reader"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let kept = self.rows.partition(partition, &context)?;
        let rows = kept.map(|kept| kept.map_err(DataFusionError::Shared)?.read()).try_flatten_stream();
        let rows = rows.map(move |batch| batch.record_output(&baseline));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        if self.place == Place::First {
            self.rows.metrics.clone_inner().iter().for_each(|metric| metrics.push(metric.clone()));
        }
        Some(metrics)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition); self.children().len()]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match (self.place, inputs) {
            (Place::First, [input]) => Ok(input.clone()),
            (Place::Later, []) => Ok(Arc::new(Statistics::new_unknown(self.schema().as_ref()))),
            _ => exec_err!("shared rows have one input, below their first reader"),
        }
    }
}

type KeptRows = Shared<BoxFuture<'static, Result<Arc<Kept>, Arc<DataFusionError>>>>;

/// What the readers have in common.
struct Rows {
    id: usize,
    input: Arc<dyn ExecutionPlan>,
    readers: usize,
    /// Of each partition: its rows, and how many readers have not asked for them. None before the first, and after the last.
    kept: Vec<Mutex<Option<(KeptRows, usize)>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, input, readers, .. } = self;
        f.debug_struct("Rows").field("id", id).field("input", input).field("readers", readers).finish_non_exhaustive()
    }
}

impl Rows {
    fn partition(&self, partition: usize, context: &Arc<TaskContext>) -> Result<KeptRows> {
        let Some(place) = self.kept.get(partition) else {
            return internal_err!("shared rows have no partition {partition}");
        };
        let mut place = place.lock();
        let (rows, waiting) = match place.take() {
            Some((rows, waiting)) => (rows, waiting - 1),
            None => (self.compute(partition, context)?, self.readers - 1),
        };
        if waiting > 0 {
            *place = Some((rows.clone(), waiting));
        }
        Ok(rows)
    }

    fn compute(&self, partition: usize, context: &Arc<TaskContext>) -> Result<KeptRows> {
        let rows = self.input.execute(partition, context.clone())?;
        let metrics = SpillMetrics::new(&self.metrics, partition);
        let manager = SpillManager::new(context.runtime_env(), metrics, self.input.schema())
            .with_compression_type(context.session_config().spill_compression());
        let consumer = MemoryConsumer::new(format!("SharedExec[{partition}]")).with_can_spill(true);
        let reservation = consumer.register(context.memory_pool());
        Ok(async move { keep(rows, reservation, manager).await.map(Arc::new).map_err(Arc::new) }.boxed().shared())
    }
}

/// The rows of one partition.
struct Kept {
    batches: Vec<RecordBatch>,
    /// What did not fit behind them.
    file: Option<Arc<dyn SpillFile>>,
    manager: SpillManager,
    /// Of the batches, until nobody reads them.
    _reservation: MemoryReservation,
}

async fn keep(
    mut rows: SendableRecordBatchStream,
    reservation: MemoryReservation,
    manager: SpillManager,
) -> Result<Kept> {
    let mut batches = Vec::new();
    let mut counter = RecordBatchMemoryCounter::new();
    let mut file = None;
    while let Some(batch) = rows.try_next().await? {
        // The file keeps the order: once there is one, all that follows goes there.
        if file.is_none() && reservation.try_grow(counter.count_batch(&batch)).is_ok() {
            batches.push(batch);
            continue;
        }
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(manager.create_in_progress_file("rows with several readers")?),
        };
        file.append_batch(&batch)?;
    }
    let file = match file {
        Some(mut file) => file.finish()?,
        None => None,
    };
    Ok(Kept { batches, file, manager, _reservation: reservation })
}

impl Kept {
    /// All rows in their order; may be called by any number at once.
    fn read(self: Arc<Self>) -> Result<SendableRecordBatchStream> {
        let schema = self.manager.schema().clone();
        let behind = match &self.file {
            Some(file) => self.manager.read_spill_as_stream(file.clone(), None)?.left_stream(),
            None => stream::empty().right_stream(),
        };
        let held = stream::iter(0..self.batches.len()).map(move |at| Ok(self.batches[at].clone()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, held.chain(behind))))
    }
}

#[cfg(test)]
mod tests;
