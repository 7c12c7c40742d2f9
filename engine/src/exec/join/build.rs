//! Collects the build side of a join under a reservation, or splits it into files when it does not fit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::{Result, utils::memory::RecordBatchMemoryCounter},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    split::{Files, Splitter},
    table::{self, Choice},
};

/// A row's part of the hash table: 16 bytes a bucket and one of control, of which up to 2.3 a row, and 4 in the chain.
const TABLE_BYTES_PER_ROW: usize = 40;

/// A build side, ready to be joined.
#[derive(Debug, Clone)]
pub(super) enum Built {
    /// Its rows wait in the join's input; what they need is reserved.
    Fits(Arc<Held>),
    Split(Arc<Files>),
}

/// Memory of a build side that fits.
#[derive(Debug)]
pub(super) struct Held {
    reservation: MemoryReservation,
    /// What the batches took before the join made one of them all.
    spare: AtomicUsize,
    /// Of the table by position that the rows are to be put into; `None` where it is one by hash.
    entries: Option<usize>,
}

impl Held {
    pub fn entries(&self) -> Option<usize> {
        self.entries
    }

    /// The hash table is made, and the batches that it was made of are gone.
    fn release_spare(&self) {
        self.reservation.shrink(self.spare.swap(0, Ordering::Relaxed));
    }
}

/// The rows of a probe side. They keep the build side's memory, and give back what only making the table needed.
pub(super) fn probing(rows: SendableRecordBatchStream, held: Arc<Held>) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.inspect(move |_| held.release_spare());
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Reads all of `rows`. Fitting rows come back as a stream for the join.
pub(super) async fn collect(
    mut rows: SendableRecordBatchStream,
    reservation: MemoryReservation,
    splitter: Splitter,
    choice: &Choice,
) -> Result<(Built, Option<SendableRecordBatchStream>)> {
    let schema = rows.schema();
    let mut load = Load::new(reservation);
    while let Some(batch) = rows.try_next().await? {
        if let Some(refused) = load.add(batch) {
            let (batches, held) = load.finish();
            let first = batches.into_iter().chain([refused]).map(Ok);
            let all = stream::iter(first).chain(rows);
            let files = splitter.split(all).await?;
            drop(held);
            return Ok((Built::Split(Arc::new(files)), None));
        }
    }
    load.choose_table(choice)?;
    let (batches, held) = load.finish();
    Ok((Built::Fits(held), Some(stream_of(schema, batches))))
}

/// Batches as a stream.
pub(super) fn stream_of(schema: SchemaRef, batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok))))
}

/// Batches for one hash table, with memory for them, for the one batch made of them all, and for the table.
pub(super) struct Load {
    batches: Vec<RecordBatch>,
    counter: RecordBatchMemoryCounter,
    reservation: MemoryReservation,
    entries: Option<usize>,
}

impl Load {
    pub fn new(reservation: MemoryReservation) -> Self {
        Self { batches: Vec::new(), counter: RecordBatchMemoryCounter::new(), reservation, entries: None }
    }

    /// Gives the batch back when there is no memory for it.
    pub fn add(&mut self, batch: RecordBatch) -> Option<RecordBatch> {
        let bytes = bytes_needed(&mut self.counter, &batch);
        match self.reservation.try_grow(bytes) {
            Ok(()) => {
                self.batches.push(batch);
                None
            }
            Err(_) => Some(batch),
        }
    }

    /// Takes a batch without which nothing would go on.
    pub fn add_anyway(&mut self, batch: RecordBatch) {
        self.reservation.grow(bytes_needed(&mut self.counter, &batch));
        self.batches.push(batch);
    }

    /// Asks for the memory of a table by position, where one pays. There is always enough for a table by hash.
    fn choose_table(&mut self, choice: &Choice) -> Result<()> {
        let entries = table::entries(&self.batches, choice)?;
        self.entries = entries.filter(|entries| self.reservation.try_grow(table::entries_bytes(*entries)).is_ok());
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Reserved so far.
    pub fn bytes(&self) -> usize {
        self.reservation.size()
    }

    pub fn finish(self) -> (Vec<RecordBatch>, Arc<Held>) {
        let spare = self.counter.memory_usage().min(self.reservation.size());
        let held = Held { reservation: self.reservation, spare: AtomicUsize::new(spare), entries: self.entries };
        (self.batches, Arc::new(held))
    }
}

fn bytes_needed(counter: &mut RecordBatchMemoryCounter, batch: &RecordBatch) -> usize {
    2 * counter.count_batch(batch) + TABLE_BYTES_PER_ROW * batch.num_rows()
}
