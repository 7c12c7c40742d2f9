//! A copy piece by piece: when something goes wrong, it is known which rows have been read.

use std::{num::NonZero, ops::Range, thread::available_parallelism};

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use vortex::{
    error::{VortexResult, vortex_bail},
    io::session::RuntimeSessionExt,
    layout::scan::scan_builder::ScanBuilder,
    scan::selection::Selection,
};

use super::file::VORTEX;

/// Some rows of a copy, and what of them is wanted: `None` when no row is.
pub(super) type Piece = (Range<u64>, Option<RecordBatch>);

/// The pieces of `rows` with the rows of `selection`, in order when the scan is ordered. Pieces without a selected row are
/// left out. Of an unfiltered scan `limit` rows are enough. Nothing is read before the stream is polled.
pub(super) fn pieces(
    scan: ScanBuilder<RecordBatch>,
    selection: Selection,
    rows: Range<u64>,
    limit: Option<u64>,
) -> BoxStream<'static, VortexResult<Piece>> {
    futures::stream::once(async move { started(scan, &selection, &rows, limit) }).try_flatten().boxed()
}

fn started(
    scan: ScanBuilder<RecordBatch>,
    selection: &Selection,
    rows: &Range<u64>,
    limit: Option<u64>,
) -> VortexResult<BoxStream<'static, VortexResult<Piece>>> {
    let at_once = scan.concurrency() * available_parallelism().map_or(1, NonZero::get);
    let ordered = scan.ordered();
    let cuts = scan.full_file_splits()?;
    let tasks = scan.with_natural_splits(cuts.clone().into()).prepare()?.execute(None)?;
    let mut ranges = Vec::with_capacity(tasks.len());
    let (mut selected, mut enough) = (0, None);
    for cut in cuts.windows(2) {
        let range = cut[0].max(rows.start)..cut[1].min(rows.end);
        if range.is_empty() {
            continue;
        }
        let rows = selection.row_count_in_range(&range);
        if rows == 0 {
            continue;
        }
        ranges.push(range);
        selected += rows;
        if limit.is_some_and(|limit| selected >= limit) {
            enough = enough.or(Some(ranges.len()));
        }
    }
    if ranges.len() != tasks.len() {
        vortex_bail!("{} pieces were planned, {} are read", ranges.len(), tasks.len());
    }
    let handle = VORTEX.handle();
    let work = ranges.into_iter().zip(tasks).take(enough.unwrap_or(usize::MAX));
    let running = futures::stream::iter(work).map(move |(range, task)| {
        let rows = handle.spawn(task);
        async move { Ok((range, rows.await?)) }
    });
    Ok(match ordered {
        true => running.buffered(at_once).boxed(),
        false => running.buffer_unordered(at_once).boxed(),
    })
}
