//! Drops rows that an operator above has found out, while running, it will not need.
//!
//! A join that has read its smaller side knows which keys of the other can match, and tells the scan there. The scan
//! leaves out files and row groups by it; here the rows that are left are tested one by one, before they are sent on to
//! other threads, aggregated or looked up. A test that lets most rows pass costs more than it saves, so each stream
//! counts for a while and then rests. Whether a row is tested never changes an answer: the operator tests it again.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use boathouse_storage::Trial;
use datafusion::{
    arrow::{compute::BatchCoalescer, datatypes::SchemaRef, record_batch::RecordBatch},
    common::{Result, Statistics, cast::as_boolean_array, exec_err, tree_node::TreeNodeRecursion},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execution_plan::CardinalityEffect,
        metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
    },
};
use futures::{Stream, StreamExt};

/// Tests the rows of its input against a filter that changes while the query runs.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeFilterExec {
    input: Arc<dyn ExecutionPlan>,
    /// About the columns of the input.
    filter: Arc<dyn PhysicalExpr>,
    metrics: ExecutionPlanMetricsSet,
}

impl RuntimeFilterExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, filter: Arc<dyn PhysicalExpr>) -> Self {
        Self { input, filter, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// What the rows are tested by.
    pub fn filter(&self) -> &Arc<dyn PhysicalExpr> {
        &self.filter
    }
}

impl DisplayAs for RuntimeFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RuntimeFilterExec: {}", self.filter)
    }
}

impl ExecutionPlan for RuntimeFilterExec {
    fn name(&self) -> &str {
        "RuntimeFilterExec"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        visit(&self.filter)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.filter.clone()))),
            _ => exec_err!("a runtime filter has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        Ok(Box::pin(Rows {
            input: Some(input),
            filter: self.filter.clone(),
            kept: BatchCoalescer::new(schema.clone(), batch_rows)
                .with_biggest_coalesce_batch_size(Some(batch_rows / 2)),
            schema,
            trial: Trial::default(),
            dropped: MetricBuilder::new(&self.metrics).counter("rows_dropped", partition),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(Arc::new(input.as_ref().clone().to_inexact())),
            _ => exec_err!("a runtime filter has one input"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}

struct Rows {
    /// None once it has ended.
    input: Option<SendableRecordBatchStream>,
    filter: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    kept: BatchCoalescer,
    trial: Trial,
    dropped: Count,
    metrics: BaselineMetrics,
}

impl Rows {
    fn test(&mut self, batch: RecordBatch) -> Result<()> {
        if !self.trial.tests(batch.num_rows()) {
            return Ok(self.kept.push_batch(batch)?);
        }
        let _timer = self.metrics.elapsed_compute().timer();
        let passes = self.filter.evaluate(&batch)?.into_array(batch.num_rows())?;
        let passes = as_boolean_array(&passes)?;
        // NULL does not pass.
        let passed = passes.true_count();
        self.trial.saw(batch.num_rows(), passed);
        self.dropped.add(batch.num_rows() - passed);
        match passed {
            0 => Ok(()),
            all if all == batch.num_rows() => Ok(self.kept.push_batch(batch)?),
            _ => Ok(self.kept.push_batch_with_filter(batch, passes)?),
        }
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(batch) = self.kept.next_completed_batch() {
                return self.metrics.record_poll(Poll::Ready(Some(Ok(batch))));
            }
            let Some(input) = &mut self.input else { return Poll::Ready(None) };
            match ready!(input.poll_next_unpin(context)) {
                Some(Ok(batch)) => self.test(batch)?,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.input = None;
                    self.kept.finish_buffered_batch()?;
                }
            }
        }
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
