//! Splits rows by the hash of their keys into spill files.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch},
        compute::interleave_record_batch,
        datatypes::SchemaRef,
    },
    common::{
        Result,
        hash_utils::{RandomState, create_hashes},
    },
    execution::{SendableRecordBatchStream, TaskContext, spill_file::SpillFile},
    physical_expr::PhysicalExprRef,
    physical_plan::{
        EmptyRecordBatchStream, SpillManager,
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
    },
};
use futures::{Stream, TryStreamExt};

/// Files that each side is split into. A power of two. Few in tests, to have more in each.
pub(super) const FILES: usize = if cfg!(test) { 4 } else { 32 };
/// Rows that are split at once: some hundred a file make batches that are worth their header.
const ROWS_AT_ONCE: usize = 32 << 10;
/// The most that waits to be split.
const BYTES_AT_ONCE: usize = 4 << 20;
/// Unlike the seed of repartitioning, after which all rows of a partition would go to few of the files.
const SEED: u64 = 0x5b1d_93a6_0c47_ef21;

/// One side of a join, split; rows with equal keys are in files with the same number.
pub(super) struct Files {
    manager: SpillManager,
    /// None where there are no rows.
    files: Vec<Option<Arc<dyn SpillFile>>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("count", &self.files.iter().flatten().count()).finish_non_exhaustive()
    }
}

impl Files {
    pub fn has(&self, number: usize) -> bool {
        self.files.get(number).is_some_and(Option::is_some)
    }

    /// The rows of a file; may be called again.
    pub fn read(&self, number: usize) -> Result<SendableRecordBatchStream> {
        match self.files.get(number).cloned().flatten() {
            Some(file) => self.manager.read_spill_as_stream(file, None),
            None => Ok(Box::pin(EmptyRecordBatchStream::new(self.manager.schema().clone()))),
        }
    }
}

/// What splits one side.
#[derive(Debug)]
pub(super) struct Splitter {
    manager: SpillManager,
    keys: Vec<PhysicalExprRef>,
    rows_per_batch: usize,
}

impl Splitter {
    pub fn new(
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
        schema: SchemaRef,
        keys: Vec<PhysicalExprRef>,
    ) -> Self {
        let metrics = SpillMetrics::new(metrics, partition);
        let manager = SpillManager::new(context.runtime_env(), metrics, schema)
            .with_compression_type(context.session_config().spill_compression());
        Self { manager, keys, rows_per_batch: context.session_config().batch_size() }
    }

    /// Reads all of `rows`. The files go when the answer is dropped, or this is.
    pub async fn split(self, rows: impl Stream<Item = Result<RecordBatch>>) -> Result<Files> {
        let mut rows = std::pin::pin!(rows);
        let mut open = (0..FILES).map(|_| None).collect::<Vec<_>>();
        let mut append = |number: usize, batch: &RecordBatch| {
            let place = &mut open[number];
            let file = match place {
                Some(file) => file,
                None => place.insert(self.manager.create_in_progress_file("hash join")?),
            };
            file.append_batch(batch).map(drop)
        };
        let mut waiting: Vec<RecordBatch> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            waiting.push(batch);
            if count >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                self.distribute(&waiting, &mut append)?;
                waiting.clear();
                (count, bytes) = (0, 0);
            }
        }
        self.distribute(&waiting, &mut append)?;
        let files = open.into_iter().map(|file| file.map_or(Ok(None), |mut file| file.finish()));
        let files = files.collect::<Result<_>>()?;
        Ok(Files { manager: self.manager, files })
    }

    /// Gives each row to its file.
    fn distribute(
        &self,
        batches: &[RecordBatch],
        append: &mut impl FnMut(usize, &RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); FILES];
        let mut hashes = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            hashes.clear();
            hashes.resize(batch.num_rows(), 0);
            for (row, hash) in self.hash(batch, &mut hashes)?.iter().enumerate() {
                places[file_of(*hash)].push((at, row));
            }
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for (number, places) in places.iter().enumerate() {
            for places in places.chunks(self.rows_per_batch) {
                append(number, &interleave_record_batch(&batches, places)?)?;
            }
        }
        Ok(())
    }

    fn hash<'a>(&self, batch: &RecordBatch, hashes: &'a mut [u64]) -> Result<&'a mut [u64]> {
        let keys = self.keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows()));
        let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        create_hashes(&keys, &RandomState::with_seed(SEED), hashes)
    }
}

/// The highest bits of a product that all bits of the hash flow into: the hash is made for speed, not for evenness.
fn file_of(hash: u64) -> usize {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - FILES.ilog2())) as usize
}
