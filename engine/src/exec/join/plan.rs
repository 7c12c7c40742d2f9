//! The operator: a hash join as planned, with another way out when memory does not suffice.

use std::{collections::HashMap, fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, UnboundedMemoryPool},
        runtime_env::RuntimeEnv,
    },
    physical_expr::{PhysicalExpr, expressions::DynamicFilterPhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
        PlanProperties, Statistics,
        joins::{HashJoinExec, PartitionMode},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        statistics::{ChildStats, StatisticsArgs},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    FutureExt, TryFutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use parking_lot::Mutex;

use super::{
    build::{Built, collect, probing},
    handed::Handed,
    spilled,
    split::{Files, Splitter},
    table::Choice,
};

/// A [`HashJoinExec`] that spills to disk when its build side does not fit into memory. The same inputs, the same rows, the
/// same promises to the plan above; in EXPLAIN it looks like the join that it runs.
#[derive(Debug)]
pub(crate) struct SpillingJoinExec {
    run: Arc<Run>,
}

/// What the partitions of one run share.
#[derive(Debug)]
pub(super) struct Run {
    pub planned: Arc<HashJoinExec>,
    /// Says in errors what asked for memory.
    pub name: String,
    pub metrics: ExecutionPlanMetricsSet,
    /// Probe partitions that are split, until all are.
    pub probes: Mutex<Vec<Files>>,
    /// The planned join over rows that are handed to it.
    over_handed: HashJoinExec,
    left: Arc<Handed>,
    right: Arc<Handed>,
    /// Of a build side that all partitions share.
    built: Mutex<Option<SharedBuild>>,
}

type Build = BoxFuture<'static, Result<Built>>;
type SharedBuild = Shared<BoxFuture<'static, Result<Built, Arc<DataFusionError>>>>;

impl SpillingJoinExec {
    pub fn new(planned: Arc<HashJoinExec>) -> Result<Self> {
        let left = Handed::instead_of(planned.left());
        let right = Handed::instead_of(planned.right());
        let over_handed = planned.builder().with_new_children(vec![left.clone(), right.clone()])?.build()?;
        let on: Vec<String> = planned.on().iter().map(|(left, right)| format!("{left} = {right}")).collect();
        let run = Run {
            name: format!("hash join on {}", on.join(" and ")),
            metrics: ExecutionPlanMetricsSet::new(),
            probes: Mutex::default(),
            over_handed,
            left,
            right,
            built: Mutex::default(),
            planned,
        };
        Ok(Self { run: Arc::new(run) })
    }
}

impl Run {
    /// The build side of this partition: its own, or the one that all share.
    fn build(self: &Arc<Self>, partition: usize, context: &Arc<TaskContext>) -> Result<Build> {
        match self.planned.partition_mode() {
            PartitionMode::Partitioned => Ok(self.collect(partition, context)?.boxed()),
            PartitionMode::CollectLeft => {
                let mut built = self.built.lock();
                let shared = match &*built {
                    Some(shared) => shared.clone(),
                    None => built.insert(self.collect(0, context)?.map_err(Arc::new).boxed().shared()).clone(),
                };
                Ok(shared.map_err(DataFusionError::Shared).boxed())
            }
            PartitionMode::Auto => internal_err!("a join was run before the side to build was chosen"),
        }
    }

    fn collect(
        self: &Arc<Self>,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<impl Future<Output = Result<Built>> + use<>> {
        let input = self.planned.left();
        let rows = input.execute(partition, context.clone())?;
        let consumer = MemoryConsumer::new(format!("{}[{partition}]", self.name)).with_can_spill(true);
        let reservation = consumer.register(context.memory_pool());
        let keys: Vec<_> = self.planned.on().iter().map(|(left, _)| left.clone()).collect();
        let splitter = Splitter::new(context, &self.metrics, partition, input.schema(), keys.clone());
        let handed = self.left.clone();
        let tables = match self.planned.partition_mode() {
            PartitionMode::Partitioned => input.output_partitioning().partition_count(),
            _ => 1,
        };
        let (null_equality, pool) = (self.planned.null_equality(), context.memory_pool().clone());
        let choice = Choice { keys, null_equality, tables, pool };
        Ok(async move {
            let (built, rows) = collect(rows, reservation, splitter, &choice).await?;
            if let Some(rows) = rows {
                handed.put(partition, rows);
            }
            Ok(built)
        })
    }

    async fn join(
        self: Arc<Self>,
        partition: usize,
        context: Arc<TaskContext>,
        build: Build,
        probe: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        match build.await? {
            Built::Fits(held) => {
                let context = unaccounted(&context, held.entries());
                self.right.put(partition, probing(probe, held));
                self.over_handed.execute(partition, context)
            }
            Built::Split(files) => {
                self.give_up_filter(partition, &context)?;
                spilled::join(self, partition, context, files, probe).await
            }
        }
    }

    /// The join's other partitions wait for this one's keys, to filter the probe side by them; they get none.
    fn give_up_filter(&self, partition: usize, context: &Arc<TaskContext>) -> Result<()> {
        for expression in self.planned.dynamic_expressions_produced() {
            match *self.planned.partition_mode() {
                PartitionMode::Partitioned => {
                    let nothing = |input: &Arc<dyn ExecutionPlan>| super::build::stream_of(input.schema(), Vec::new());
                    self.left.put(partition, nothing(self.planned.left()));
                    self.right.put(partition, nothing(self.planned.right()));
                    // A join that is dropped before it has built its table says so to the others.
                    drop(self.over_handed.execute(partition, unaccounted(context, None))?);
                }
                _ => {
                    if let Some(filter) = expression.downcast_ref::<DynamicFilterPhysicalExpr>() {
                        filter.mark_complete();
                    }
                }
            }
        }
        Ok(())
    }
}

/// A context for a join whose memory is reserved already, with that of `entries` of a table by position where it is to
/// have one; its inputs have contexts of their own.
pub(super) fn unaccounted(context: &TaskContext, entries: Option<usize>) -> Arc<TaskContext> {
    let runtime =
        RuntimeEnv { memory_pool: Arc::new(UnboundedMemoryPool::default()), ..(*context.runtime_env()).clone() };
    let mut config = context.session_config().clone();
    if let Some(entries) = entries {
        config.options_mut().execution.perfect_hash_join_small_build_threshold = entries;
    }
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::new(runtime),
    ))
}

impl DisplayAs for SpillingJoinExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.run.planned.fmt_as(format, f)
    }
}

impl ExecutionPlan for SpillingJoinExec {
    fn name(&self) -> &str {
        self.run.planned.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.run.planned.properties()
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.run.planned.dynamic_expressions_produced()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.run.planned.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.run.planned.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.run.planned.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.run.planned.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let planned = self.run.planned.builder().recompute_properties().with_new_children(children)?.build()?;
        Ok(Arc::new(Self::new(Arc::new(planned))?))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let planned = self.run.planned.builder().reset_state().build()?;
        Ok(Arc::new(Self::new(Arc::new(planned))?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let build = self.run.build(partition, &context)?;
        let probe = self.run.planned.right().execute(partition, context.clone())?;
        let rows = self.run.clone().join(partition, context, build, probe);
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.run.planned.metrics().unwrap_or_default();
        for metric in self.run.metrics.clone_inner().iter() {
            all.push(metric.clone());
        }
        Some(all)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.run.planned.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.run.planned.statistics_from_inputs(inputs, args)
    }

    fn fetch(&self) -> Option<usize> {
        self.run.planned.fetch()
    }
}
