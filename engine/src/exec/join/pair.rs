//! Joins two files whose keys belong together, with as many rows of one in memory as fit.
//!
//! Whether a row of the build side found a match is known when it has met the whole probe side: such joins work in rounds,
//! a part of the build side in each. Whether a row of the probe side did is known when it has met the whole build side: if
//! that does not fit, the sides change places. A full join asks for both: it is the left join and the rows of the right
//! side that the left one has no match for.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
        datatypes::SchemaRef,
    },
    common::{DataFusionError, JoinSide, JoinType, Result},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, PartitionMode},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    build::{Held, Load, probing, stream_of},
    handed::Handed,
    split::Files,
};

/// All that joins two split sides.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    /// How to join; its inputs are not run.
    pub join: Arc<HashJoinExec>,
    pub builds: Arc<Files>,
    /// Split alike; together they are the probe side.
    pub probes: Arc<Vec<Files>>,
    /// For the join: what it needs is reserved.
    pub context: Arc<TaskContext>,
    /// Asked for the rows held at a time.
    pub reservation: Arc<MemoryReservation>,
    /// Held however little memory there is: less would mean too many rounds.
    pub round_bytes_min: usize,
}

/// Rows of one side for a hash table, and their memory.
type Loaded = (Vec<RecordBatch>, Arc<Held>);

impl Pairs {
    /// The rows that the files with this number give.
    pub async fn join(self, number: usize) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let probed = self.probes.iter().any(|probe| probe.has(number));
        if !probed && !self.builds.has(number) {
            return Ok(stream::empty().boxed());
        }
        let kind = *self.join.join_type();
        let mut build = self.loads(JoinSide::Left, number)?;
        let first = build.next().await?;
        if build.done || !judges_probe_rows(kind) {
            return Ok(self.rounds(kind, number, Some(first), build));
        }
        drop((first, build));
        let probe = self.loads(JoinSide::Right, number)?;
        if kind != JoinType::Full {
            return Ok(self.rounds(kind, number, None, probe));
        }
        let build = self.loads(JoinSide::Left, number)?;
        let left = self.clone().rounds(JoinType::Left, number, None, build);
        let pairs = self.clone();
        let right = self.rounds(JoinType::RightAnti, number, None, probe);
        Ok(left.chain(right.map(move |batch| pairs.pad(&batch?))).boxed())
    }

    fn loads(&self, side: JoinSide, number: usize) -> Result<Loads> {
        let rows = self.read(side, number)?;
        let reservation = self.reservation.new_empty();
        Ok(Loads { side, rows, reservation, bytes_min: self.round_bytes_min, refused: None, done: false })
    }

    /// One round for each load of one side, against all of the other.
    fn rounds(
        self,
        kind: JoinType,
        number: usize,
        first: Option<Loaded>,
        loads: Loads,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let schema = self.join.schema();
        let rounds = stream::try_unfold((self, first, loads), move |(pairs, first, mut loads)| async move {
            let loaded = match first {
                Some(first) => first,
                None if loads.done => return Ok::<_, DataFusionError>(None),
                None => loads.next().await?,
            };
            let rows = pairs.round(kind, number, loads.side, loaded)?;
            Ok(Some((rows, (pairs, None, loads))))
        });
        let rows = rounds.try_flatten();
        match kind {
            JoinType::Left => rows.map(move |batch| under(&schema, &batch?)).boxed(),
            _ => rows.boxed(),
        }
    }

    fn round(
        &self,
        kind: JoinType,
        number: usize,
        side: JoinSide,
        (batches, held): Loaded,
    ) -> Result<SendableRecordBatchStream> {
        let loaded = |input: &Arc<dyn ExecutionPlan>| stream_of(input.schema(), batches);
        let (left, right) = match side {
            JoinSide::Left => (loaded(self.join.left()), probing(self.read(JoinSide::Right, number)?, held)),
            _ => (probing(self.read(JoinSide::Left, number)?, held), loaded(self.join.right())),
        };
        let mut builder = self.join.builder().reset_state().with_fetch(None);
        if kind == JoinType::RightAnti && *self.join.join_type() == JoinType::Full {
            builder = builder.with_projection(None);
        }
        let join = builder
            .with_type(kind)
            .with_partition_mode(PartitionMode::CollectLeft)
            .with_new_children(vec![Handed::of(left), Handed::of(right)])?
            .build()?;
        let join = match side {
            JoinSide::Left => Arc::new(join),
            _ => join.swap_inputs(PartitionMode::CollectLeft)?,
        };
        join.execute(0, self.context.clone())
    }

    fn read(&self, side: JoinSide, number: usize) -> Result<SendableRecordBatchStream> {
        if side == JoinSide::Left {
            return self.builds.read(number);
        }
        // One after the other: an open file has buffers.
        let probes = self.probes.clone();
        let streams = stream::iter(0..probes.len()).map(move |at| probes[at].read(number)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.join.right().schema(), streams)))
    }

    /// A row of the right side alone, as the full join returns it.
    fn pad(&self, right: &RecordBatch) -> Result<RecordBatch> {
        let left = self.join.left().schema().fields().len();
        let schema = self.join.schema();
        let column = |(at, field): (usize, usize)| -> ArrayRef {
            match field.checked_sub(left) {
                Some(field) => right.column(field).clone(),
                None => new_null_array(schema.field(at).data_type(), right.num_rows()),
            }
        };
        let columns = match &self.join.projection {
            Some(projection) => projection.iter().copied().enumerate().map(column).collect(),
            None => (0..left + right.num_columns()).enumerate().map(column).collect(),
        };
        batch(&schema, columns, right.num_rows())
    }
}

/// The same rows; a left join's schema says less of NULL than a full join's.
fn under(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    batch(schema, rows.columns().to_vec(), rows.num_rows())
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// What the join says of a row of the probe side needs the whole build side.
fn judges_probe_rows(kind: JoinType) -> bool {
    match kind {
        JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => false,
        JoinType::Right | JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => true,
    }
}

/// The rows of one side, as many at a time as fit.
struct Loads {
    side: JoinSide,
    rows: SendableRecordBatchStream,
    reservation: MemoryReservation,
    bytes_min: usize,
    refused: Option<RecordBatch>,
    /// There are no more.
    done: bool,
}

impl Loads {
    /// The next ones; none only if the side is empty.
    async fn next(&mut self) -> Result<Loaded> {
        let mut load = Load::new(self.reservation.new_empty());
        loop {
            let batch = match self.refused.take() {
                Some(batch) => batch,
                None => match self.rows.try_next().await? {
                    Some(batch) => batch,
                    None => {
                        self.done = true;
                        break;
                    }
                },
            };
            let Some(batch) = load.add(batch) else { continue };
            if !load.is_empty() && load.bytes() >= self.bytes_min {
                self.refused = Some(batch);
                break;
            }
            load.add_anyway(batch);
        }
        Ok(load.finish())
    }
}
