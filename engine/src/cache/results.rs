//! Rows of queries, by all that they were made from.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use boathouse_storage::{CacheCounts, CacheUsage};
use datafusion::arrow::array::RecordBatch;

use super::ResultKey;

/// A result may take this part of the cache.
const ENTRIES_MIN: u64 = 16;

/// The rows of a query, as they went to the client.
#[derive(Debug)]
pub(super) struct Rows {
    pub batches: Vec<RecordBatch>,
    pub bytes: u64,
}

/// The results of one engine. Safe to use from many threads. What is being recorded counts on its own, up to the same
/// bound.
#[derive(Debug)]
pub(crate) struct Results {
    rows: moka::sync::Cache<ResultKey, Arc<Rows>>,
    bytes_max: u64,
    recording: AtomicU64,
    counts: Arc<CacheCounts>,
}

impl Results {
    /// 0 bytes keep nothing.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        let counts = Arc::new(CacheCounts::default());
        let evicted = counts.clone();
        let rows = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &ResultKey, rows: &Arc<Rows>| {
                let bytes = rows.bytes.saturating_add(key.size() as u64);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, _, cause| evicted.removed(cause.was_evicted()))
            .build();
        Arc::new(Self { rows, bytes_max, recording: AtomicU64::new(0), counts })
    }

    pub fn is_on(&self) -> bool {
        self.bytes_max > 0
    }

    /// The rows under a key. Counts as a hit or a miss.
    pub fn get(&self, key: &ResultKey) -> Option<Vec<RecordBatch>> {
        let found = self.rows.get(key);
        self.counts.asked(found.is_some());
        found.map(|rows| rows.batches.clone())
    }

    /// Whether there are rows under a key; not counted.
    pub fn holds(&self, key: &ResultKey) -> bool {
        self.rows.contains_key(key)
    }

    /// Most bytes of one result.
    pub(super) fn entry_bytes_max(&self) -> u64 {
        self.bytes_max / ENTRIES_MIN
    }

    /// Room for a recording; false when others take it all.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let taken = self.recording.fetch_add(bytes, Ordering::Relaxed);
        if taken + bytes <= self.bytes_max {
            return true;
        }
        self.release(bytes);
        false
    }

    pub(super) fn release(&self, bytes: u64) {
        self.recording.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn put(&self, key: ResultKey, rows: Rows) {
        self.rows.insert(key, Arc::new(rows));
        // At once, or what was inserted lately would come on top of the bound.
        self.rows.run_pending_tasks();
    }

    pub fn usage(&self) -> CacheUsage {
        self.rows.run_pending_tasks();
        let usage = CacheUsage {
            name: "results",
            place: "memory".to_owned(),
            entries: Some(self.rows.entry_count()),
            bytes: self.rows.weighted_size(),
            bytes_max: self.bytes_max,
            ..CacheUsage::default()
        };
        self.counts.fill(usage)
    }
}
