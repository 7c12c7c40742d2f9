//! A join whose build side lies in files: the probe side follows, and the files are joined one pair after the other.

use std::sync::Arc;

use datafusion::{
    common::{JoinType, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryLimit},
    },
    physical_plan::{
        EmptyRecordBatchStream, ExecutionPlan, ExecutionPlanProperties,
        joins::PartitionMode,
        limit::LimitStream,
        metrics::{BaselineMetrics, RecordOutput},
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    handed::Handed,
    pair::Pairs,
    plan::{Run, unaccounted},
    split::{FILES, Files, Splitter},
};

/// Joins the rows of one probe partition, or, where all of them share the build side and its unmatched rows are asked for,
/// those of all partitions in the stream of the partition that is read last.
pub(super) async fn join(
    run: Arc<Run>,
    partition: usize,
    context: Arc<TaskContext>,
    builds: Arc<Files>,
    probe: SendableRecordBatchStream,
) -> Result<SendableRecordBatchStream> {
    let planned = &run.planned;
    let keys = planned.on().iter().map(|(_, right)| right.clone()).collect();
    let splitter = Splitter::new(&context, &run.metrics, partition, planned.right().schema(), keys);
    let files = splitter.split(probe).await?;
    let probes = if *planned.partition_mode() == PartitionMode::CollectLeft && judges_build_rows(*planned.join_type()) {
        let mut probes = run.probes.lock();
        probes.push(files);
        if probes.len() < planned.right().output_partitioning().partition_count() {
            return Ok(Box::pin(EmptyRecordBatchStream::new(planned.schema())));
        }
        std::mem::take(&mut *probes)
    } else {
        vec![files]
    };
    let reservation = MemoryConsumer::new(format!("{}[{partition}]", run.name)).with_can_spill(true);
    let pairs = Pairs {
        join: planned.clone(),
        builds,
        probes: Arc::new(probes),
        context: unaccounted(&context, None),
        reservation: Arc::new(reservation.register(context.memory_pool())),
        round_bytes_min: round_bytes_min(&context),
    };
    let rows = stream::iter(0..FILES).then(move |number| pairs.clone().join(number)).try_flatten();
    let rows = Box::pin(RecordBatchStreamAdapter::new(planned.schema(), rows));
    finish(&run, partition, context, rows)
}

/// In the order of the rows that the plan counts on, and no more of them than it asks for.
fn finish(
    run: &Run,
    partition: usize,
    context: Arc<TaskContext>,
    rows: SendableRecordBatchStream,
) -> Result<SendableRecordBatchStream> {
    let planned = &run.planned;
    let baseline = BaselineMetrics::new(&run.metrics, partition);
    let rows: SendableRecordBatchStream = match (planned.properties().output_ordering(), planned.fetch()) {
        (Some(order), fetch) => SortExec::new(order.clone(), Handed::of(rows)).with_fetch(fetch).execute(0, context)?,
        (None, Some(fetch)) => Box::pin(LimitStream::new(rows, 0, Some(fetch), baseline.intermediate())),
        (None, None) => rows,
    };
    let rows = rows.map(move |batch| batch.record_output(&baseline));
    Ok(Box::pin(RecordBatchStreamAdapter::new(planned.schema(), rows)))
}

/// What the join says of a row of the build side needs the whole probe side.
fn judges_build_rows(kind: JoinType) -> bool {
    match kind {
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => true,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => false,
    }
}

/// A share of the pool that all partitions of some joins can take at once.
fn round_bytes_min(context: &TaskContext) -> usize {
    const SHARES: usize = 32;
    match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / (SHARES * context.session_config().target_partitions().max(1)),
        MemoryLimit::Infinite | MemoryLimit::Unknown => 0,
    }
}
