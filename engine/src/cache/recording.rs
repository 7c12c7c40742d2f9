//! The rows of a running query on their way into the cache.
//!
//! Batches are taken as they pass. Only a stream that was read to its end without an error becomes a result; a recording
//! that is dropped before leaves nothing.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
};

use super::{ResultKey, Results, results::Rows};

/// What a batch takes besides its columns.
const BATCH_BYTES: usize = 256;

/// One result in the making.
#[derive(Debug)]
pub(crate) struct Recording {
    results: Arc<Results>,
    key: Option<ResultKey>,
    batches: Vec<RecordBatch>,
    bytes: u64,
}

impl Recording {
    pub fn new(results: &Arc<Results>, key: ResultKey) -> Self {
        Self { results: results.clone(), key: Some(key), batches: Vec::new(), bytes: 0 }
    }

    /// Takes one batch, or gives the recording up when it would grow too large.
    pub fn add(&mut self, batch: &RecordBatch) {
        if self.key.is_none() {
            return;
        }
        // What is not used of a batch must not be held, but copying it is no use when it is too large anyway.
        let bytes = used_bytes(batch) as u64;
        if self.bytes + bytes > self.results.entry_bytes_max() {
            return self.give_up();
        }
        let Some(batch) = compact(batch) else { return self.give_up() };
        let bytes = (batch.get_array_memory_size() + BATCH_BYTES) as u64;
        if self.bytes + bytes > self.results.entry_bytes_max() || !self.results.reserve(bytes) {
            return self.give_up();
        }
        self.bytes += bytes;
        self.batches.push(batch);
    }

    /// The query has ended, and all of its rows were taken.
    pub fn finish(mut self) {
        if let Some(key) = self.key.take() {
            let batches = std::mem::take(&mut self.batches);
            self.results.put(key, Rows { batches, bytes: self.bytes });
        }
    }

    fn give_up(&mut self) {
        self.key = None;
        self.batches.clear();
        self.results.release(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.results.release(self.bytes);
    }
}

/// Bytes of the rows themselves.
fn used_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX / 1024)).sum()
}

/// The batch in memory of its own when it is a small part of larger buffers.
fn compact(batch: &RecordBatch) -> Option<RecordBatch> {
    if batch.num_columns() == 0 || batch.get_array_memory_size() <= 2 * used_bytes(batch) + BATCH_BYTES {
        return Some(batch.clone());
    }
    let rows = UInt32Array::from_iter_values(0..u32::try_from(batch.num_rows()).ok()?);
    take_record_batch(batch, &rows).ok()
}
