//! When a copy turns out to be damaged while it is read: the rows that are left come from the original.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{DataFusionError, Result, internal_err},
    datasource::{listing::PartitionedFile, physical_plan::parquet::ParquetRowSelection},
};
use datafusion_datasource::morsel::{Morsel, MorselPlanner, Morselizer};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::RowSelection;
use tracing::warn;
use vortex::error::VortexError;

use super::{CopyFile, HotCopies};

/// Why a copy gives no more rows.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read.
    Copy(VortexError),
    /// Its rows can, but what the query does with them fails.
    Query(DataFusionError),
}

impl From<VortexError> for Fault {
    fn from(error: VortexError) -> Self {
        Self::Copy(error)
    }
}

impl From<DataFusionError> for Fault {
    fn from(error: DataFusionError) -> Self {
        Self::Query(error)
    }
}

/// The rows of a file that a scan wants, and which of them it has.
#[derive(Debug)]
pub(super) struct Progress {
    wanted: Range<u64>,
    done: Mutex<Vec<Range<u64>>>,
}

impl Progress {
    pub(super) fn new(wanted: Range<u64>) -> Self {
        Self { wanted, done: Mutex::default() }
    }

    pub(super) fn wanted(&self) -> Range<u64> {
        self.wanted.clone()
    }

    /// These rows were read; they will not be read again.
    pub(super) fn add(&self, rows: Range<u64>) {
        let mut done = self.done.lock();
        match done.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => done.push(rows),
        }
    }

    fn left(&self) -> Vec<Range<usize>> {
        let mut done = self.done.lock().clone();
        done.sort_unstable_by_key(|rows| rows.start);
        let mut left = Vec::with_capacity(done.len() + 1);
        let mut at = self.wanted.start;
        for rows in done {
            left.push(at as usize..rows.start as usize);
            at = rows.end;
        }
        left.push(at as usize..self.wanted.end as usize);
        left.retain(|rows| !rows.is_empty());
        left
    }
}

/// One part of a file in a plan, which is read from a copy.
pub(super) struct CopiedPart {
    pub(super) file: PartitionedFile,
    pub(super) copy: Arc<CopyFile>,
    pub(super) progress: Arc<Progress>,
    pub(super) copies: Arc<HotCopies>,
    /// Reads originals.
    pub(super) parquet: Arc<dyn Morselizer>,
}

impl CopiedPart {
    /// The rows of the copy, and after a fault of it those of the original that are left.
    pub(super) fn rows(
        self,
        opened: Result<BoxStream<'static, Result<RecordBatch, Fault>>, Fault>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let rows = opened.unwrap_or_else(|fault| stream::once(async { Err(fault) }).boxed());
        let all = stream::try_unfold((rows, Some(self)), |(mut rows, mut part)| async move {
            loop {
                let fault = match rows.try_next().await {
                    Ok(batch) => return Ok(batch.map(|batch| (batch, (rows, part)))),
                    Err(Fault::Copy(error)) => error,
                    Err(Fault::Query(error)) => return Err(error),
                };
                let Some(part) = part.take() else { return internal_err!("an original is no copy: {fault}") };
                rows = part.original(&fault)?.map_err(Fault::Query).boxed();
            }
        });
        all.boxed()
    }

    fn original(self, fault: &VortexError) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let path = self.file.object_meta.location.clone();
        warn!(%path, error = %fault, "a hot copy is damaged: it is dropped, and the file itself is read");
        self.copies.drop_damaged(&self.copy);
        let left = self.progress.left();
        if left.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let total = usize::try_from(self.copy.about.rows).unwrap_or(usize::MAX);
        let mut selection = RowSelection::from_consecutive_ranges(left.into_iter(), total);
        let mut file = self.file;
        if let Some(visible) = file.extensions.get::<ParquetRowSelection>() {
            selection = selection.intersection(visible.selection());
        }
        // A part of a copy is another than that of the original with the same range of bytes.
        file.range = None;
        let file = file.with_extension(ParquetRowSelection::new(selection));
        Ok(planned(self.parquet.plan_file(file)?))
    }
}

/// What is left of the work on one file.
struct Planned {
    planners: VecDeque<Box<dyn MorselPlanner>>,
    morsels: VecDeque<Box<dyn Morsel>>,
    rows: BoxStream<'static, Result<RecordBatch>>,
}

/// All rows of a planner, in its order.
fn planned(planner: Box<dyn MorselPlanner>) -> BoxStream<'static, Result<RecordBatch>> {
    let work = Planned { planners: [planner].into(), morsels: VecDeque::new(), rows: stream::empty().boxed() };
    let rows = stream::try_unfold(work, |mut work| async move {
        loop {
            if let Some(batch) = work.rows.try_next().await? {
                return Ok(Some((batch, work)));
            }
            if let Some(morsel) = work.morsels.pop_front() {
                work.rows = morsel.into_stream();
                continue;
            }
            let Some(planner) = work.planners.pop_front() else { return Ok(None) };
            let Some(mut plan) = planner.plan()? else { continue };
            work.morsels.extend(plan.take_morsels());
            let ready = plan.take_ready_planners();
            if let Some(pending) = plan.take_pending_planner() {
                work.planners.push_front(pending.await?);
            }
            ready.into_iter().rev().for_each(|planner| work.planners.push_front(planner));
        }
    });
    rows.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_wanted_and_not_read() {
        let progress = Progress::new(10..100);
        assert_eq!(progress.left(), vec![10..100; 1]);
        [50..60, 10..20, 20..30, 90..100].into_iter().for_each(|rows| progress.add(rows));
        assert_eq!(progress.left(), [30..50, 60..90]);
        [30..50, 60..90].into_iter().for_each(|rows| progress.add(rows));
        assert!(progress.left().is_empty());
    }
}
