//! How much of a scan's files was read.
//!
//! Each part of a file weighs the bytes that it has, whether they are fetched or not: what the reader leaves out is done,
//! too. While a part is read its share follows the rows that come out, as far as the log says how many there are; with the
//! end of the part all of it is done.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::array::RecordBatch;
use datafusion::{common::Result, datasource::listing::PartitionedFile};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::{StreamExt, stream::BoxStream};
use parking_lot::Mutex;

/// Of one scan. Only grows.
#[derive(Debug, Default)]
pub(crate) struct ScanProgress {
    planned: AtomicU64,
    done: AtomicU64,
}

impl ScanProgress {
    /// Files of so many bytes will be read.
    pub(super) fn plan(&self, bytes: u64) {
        self.planned.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are done, and bytes that are to be done in all.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.planned.load(Ordering::Relaxed).max(done))
    }

    /// What opens files with `inner`, counted here.
    pub(super) fn counting(self: &Arc<Self>, inner: Box<dyn Morselizer>) -> Box<dyn Morselizer> {
        Box::new(Counting { inner, progress: self.clone() })
    }
}

#[derive(Debug)]
struct Counting {
    inner: Box<dyn Morselizer>,
    progress: Arc<ScanProgress>,
}

impl Morselizer for Counting {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let part = Arc::new(Part::of(&file, &self.progress));
        let inner = self.inner.plan_file(file)?;
        Ok(Box::new(CountingPlanner { inner, part }))
    }
}

#[derive(Debug)]
struct CountingPlanner {
    inner: Box<dyn MorselPlanner>,
    part: Arc<Part>,
}

impl MorselPlanner for CountingPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, part } = *self;
        let Some(mut plan) = inner.plan()? else { return Ok(None) };
        let planner = |inner| Box::new(Self { inner, part: part.clone() }) as Box<dyn MorselPlanner>;
        let morsel = |inner| Box::new(CountingMorsel { inner, part: part.clone() }) as Box<dyn Morsel>;
        let mut counting = MorselPlan::new()
            .with_morsels(plan.take_morsels().into_iter().map(morsel).collect())
            .with_planners(plan.take_ready_planners().into_iter().map(planner).collect());
        if let Some(pending) = plan.take_pending_planner() {
            counting.set_pending_planner(async move {
                let inner = pending.await?;
                Ok(Box::new(Self { inner, part }) as Box<dyn MorselPlanner>)
            });
        }
        Ok(Some(counting))
    }
}

#[derive(Debug)]
struct CountingMorsel {
    inner: Box<dyn Morsel>,
    part: Arc<Part>,
}

impl Morsel for CountingMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, part } = *self;
        let count = move |batch: &Result<RecordBatch>| {
            if let Ok(batch) = batch {
                part.read(batch.num_rows() as u64);
            }
        };
        inner.into_stream().inspect(count).boxed()
    }
}

/// A file, or a range of one. It is done when nobody works on it any more.
#[derive(Debug)]
struct Part {
    bytes: u64,
    /// As far as the log knows.
    rows: Option<u64>,
    counted: Mutex<Counted>,
    scan: Arc<ScanProgress>,
}

#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    bytes: u64,
}

impl Part {
    fn of(file: &PartitionedFile, scan: &Arc<ScanProgress>) -> Self {
        let (bytes, size) = (file.effective_size(), file.object_meta.size.max(1));
        let rows = file.statistics.as_ref().and_then(|statistics| statistics.num_rows.get_value().copied());
        let share = |rows: usize| (rows as u128 * u128::from(bytes) / u128::from(size)) as u64;
        let rows = rows.map(share).filter(|rows| *rows > 0);
        Self { bytes, rows, counted: Mutex::default(), scan: scan.clone() }
    }

    fn read(&self, rows: u64) {
        let Some(total) = self.rows else { return };
        let mut counted = self.counted.lock();
        counted.rows = (counted.rows + rows).min(total);
        let bytes = (u128::from(self.bytes) * u128::from(counted.rows) / u128::from(total)) as u64;
        self.scan.done.fetch_add(bytes - counted.bytes, Ordering::Relaxed);
        counted.bytes = bytes;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let counted = self.counted.get_mut().bytes;
        self.scan.done.fetch_add(self.bytes - counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::{Statistics, stats::Precision};

    use super::*;

    #[test]
    fn a_part_counts_its_rows_and_at_its_end_what_was_left_out() {
        let scan = Arc::new(ScanProgress::default());
        scan.plan(1_000);
        let mut file = PartitionedFile::new("a", 600);
        let statistics = Statistics { num_rows: Precision::Exact(100), ..Statistics::default() };
        file.statistics = Some(Arc::new(statistics));
        let part = Part::of(&file, &scan);
        part.read(50);
        assert_eq!(scan.bytes(), (300, 1_000));
        part.read(1);
        drop(part);
        assert_eq!(scan.bytes(), (600, 1_000));
        // More rows than the log says are no more than all.
        let part = Part::of(&file, &scan);
        part.read(1_000);
        assert_eq!(scan.bytes(), (1_200, 1_200));
        drop(part);
        assert_eq!(scan.bytes(), (1_200, 1_200));
    }

    #[test]
    fn a_part_of_unknown_rows_counts_at_its_end() {
        let scan = Arc::new(ScanProgress::default());
        scan.plan(100);
        let part = Part::of(&PartitionedFile::new("a", 100), &scan);
        part.read(50);
        assert_eq!(scan.bytes(), (0, 100));
        drop(part);
        assert_eq!(scan.bytes(), (100, 100));
    }
}
