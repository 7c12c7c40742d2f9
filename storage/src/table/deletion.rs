//! Rows that deletion vectors hide, as the row selections that the readers take.
//!
//! Vectors are read from where the log says they are (see `vector`), all of a file with one request and several files at
//! once, and decoded in parallel. What was read is kept by the identity of the vector, which never changes, so that the
//! versions of a table share it.
//!
//! A selection is a list of runs, or a bitmap where the runs are many and short: see `scattered` for how these are read.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use arrow::array::BooleanBufferBuilder;
use bytes::Bytes;
use datafusion::{
    common::{DataFusionError, Result, runtime::SpawnedTask},
    execution::object_store::ObjectStoreRegistry,
};
use futures::{StreamExt, stream};
use moka::sync::Cache;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::arrow_reader::{RowSelection, RowSelector},
    errors::ParquetError,
};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::{
    Snapshot,
    files::FileIndex,
    location,
    vector::{self, FILE_VERSION, Place},
};
use crate::{StorageError, log};

/// About 16 MB of selections per table.
const CACHED_RUNS_MAX: u64 = 1 << 20;
/// Rows of a bitmap that take as much memory as a run.
const ROWS_OF_A_RUN: usize = 128;
/// With fewer rows a run, on average, the visible rows are a bitmap. Summing two columns took with runs of 50 rows 1.9 of the
/// time of a table without a vector and with a bitmap 1.06; the two were even at some hundred rows a run; with runs of a
/// thousand rows, half of them hidden, runs took 0.57 and a bitmap 0.93.
const RUN_ROWS_MIN: u64 = 256;
/// Files of vectors, and pieces of work on inline ones, that are under way at once.
const AT_ONCE: usize = 16;
/// Inline vectors that are decoded in one piece of work.
const INLINE_VECTORS: usize = 256;

/// Selections that were read before, by the identity of the vector and the rows of its data file.
#[derive(Debug)]
pub(super) struct SelectionCache(Cache<(String, u64), RowSelection>);

impl Default for SelectionCache {
    fn default() -> Self {
        let runs = |_: &(String, u64), selection: &RowSelection| {
            let runs = match selection.as_mask() {
                Some(rows) => rows.len() / ROWS_OF_A_RUN,
                None => selection.iter().count(),
            };
            u32::try_from(runs).unwrap_or(u32::MAX).saturating_add(4)
        };
        Self(Cache::builder().max_capacity(CACHED_RUNS_MAX).weigher(runs).build())
    }
}

/// A data file whose vector has to be read.
struct Hiding {
    file: usize,
    /// In the data file.
    rows: u64,
    cardinality: i64,
    key: (String, u64),
}

/// Vectors that lie in one file, each with its bytes there.
type StoredVectors = Vec<(Hiding, Range<u64>)>;

/// The rows to read of those among `files` (positions in the index) that have a deletion vector.
pub(super) async fn row_selections(
    snapshot: &Snapshot,
    stores: &dyn ObjectStoreRegistry,
    index: &FileIndex,
    files: &[usize],
) -> Result<HashMap<usize, RowSelection>> {
    let hiding: Vec<usize> = files.iter().copied().filter(|file| index.deleted_rows(*file).is_some()).collect();
    let mut found = HashMap::with_capacity(hiding.len());
    let cache = snapshot.library().selections();
    let mut inline: Vec<(Hiding, Vec<u8>)> = Vec::new();
    let mut stored: BTreeMap<(String, Path), StoredVectors> = BTreeMap::new();
    for file in hiding {
        let Some(vector) = index.deletion_vector(file) else { continue };
        let rows = match index.stored_rows_of(file) {
            Some(rows) => rows,
            None => rows_in_footer(snapshot, stores, index, file).await?,
        };
        let key = (vector.id(), rows);
        if let Some(selection) = cache.0.get(&key) {
            found.insert(file, selection);
            continue;
        }
        let hiding = Hiding { file, rows, cardinality: vector.cardinality, key };
        let blame = |reason| blame(snapshot, index.path(file), ParquetError::General(reason));
        match vector::place(snapshot.location(), &vector).map_err(|reason| blame(of_vector(reason)))? {
            Place::Inline(bytes) => inline.push((hiding, bytes)),
            Place::File(location, range) => {
                let place = (location.store.as_str().to_owned(), location.path);
                stored.entry(place).or_default().push((hiding, range));
            }
        }
    }
    let mut work = Vec::new();
    while !inline.is_empty() {
        let piece = inline.split_off(inline.len().saturating_sub(INLINE_VECTORS));
        work.push(Work::Inline(piece));
    }
    for ((store, path), vectors) in stored {
        let store = stores.get_store(location::store_url(&store)?.as_ref())?;
        work.push(Work::File(store, path, vectors));
    }
    let done = stream::iter(work).map(|work| SpawnedTask::spawn(work.selections()).join_unwind());
    let mut done = done.buffer_unordered(AT_ONCE);
    while let Some(read) = done.next().await {
        let read = read.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let read = read.map_err(|Failed { file, path, source }| {
            blame(snapshot, path.as_ref().map_or(index.path(file), |path| path.as_ref()), source)
        })?;
        for (hiding, selection) in read {
            cache.0.insert(hiding.key, selection.clone());
            found.insert(hiding.file, selection);
        }
    }
    Ok(found)
}

fn of_vector(reason: String) -> String {
    format!("its deletion vector: {reason}")
}

fn blame(snapshot: &Snapshot, file: &str, source: ParquetError) -> DataFusionError {
    let (table, version) = (snapshot.name().to_owned(), snapshot.version());
    let error = StorageError::DataFile { table, version, file: file.to_owned(), source: Box::new(source) };
    DataFusionError::External(Box::new(error))
}

/// For a table whose writer left out what the protocol asks for beside a vector: how many rows the file has.
async fn rows_in_footer(
    snapshot: &Snapshot,
    stores: &dyn ObjectStoreRegistry,
    index: &FileIndex,
    file: usize,
) -> Result<u64> {
    let location = location::resolve(snapshot.location(), index.path(file))?;
    let store = stores.get_store(location.store.as_ref())?;
    let rows = async {
        let meta = store.head(&location.path).await.map_err(|error| ParquetError::External(Box::new(error)))?;
        log::row_count(store, meta).await
    };
    rows.await.map_err(|error| blame(snapshot, index.path(file), error))
}

/// Why a vector gives no rows; `path` is where it lies when that is a file of its own.
struct Failed {
    file: usize,
    path: Option<Path>,
    source: ParquetError,
}

/// Vectors that are read and decoded together.
enum Work {
    Inline(Vec<(Hiding, Vec<u8>)>),
    File(Arc<dyn ObjectStore>, Path, StoredVectors),
}

impl Work {
    async fn selections(self) -> Result<Vec<(Hiding, RowSelection)>, Failed> {
        match self {
            Self::Inline(vectors) => {
                let selections = vectors.into_iter().map(|(hiding, bytes)| {
                    let selection = hiding.selection(&bytes);
                    let file = hiding.file;
                    let failed = |reason| Failed { file, path: None, source: ParquetError::General(of_vector(reason)) };
                    Ok((hiding, selection.map_err(failed)?))
                });
                selections.collect()
            }
            Self::File(store, path, vectors) => {
                let file = vectors.first().map_or(0, |(hiding, _)| hiding.file);
                let failed = |source| Failed { file, path: Some(path.clone()), source };
                let ranges: Vec<Range<u64>> =
                    std::iter::once(0..1).chain(vectors.iter().map(|(_, range)| range.clone())).collect();
                let read = store.get_ranges(&path, &ranges).await;
                let read = read.map_err(|error| failed(ParquetError::External(Box::new(error))))?;
                let in_words = |reason| failed(ParquetError::General(reason));
                let Some((version, read)) = read.split_first() else {
                    return Err(in_words("nothing was read".to_owned()));
                };
                if version.first() != Some(&FILE_VERSION) {
                    return Err(in_words(format!("it is no file of deletion vectors of version {FILE_VERSION}")));
                }
                let selections = vectors.into_iter().zip(read).map(|((hiding, range), bytes): (_, &Bytes)| {
                    let reason = |reason| in_words(format!("the deletion vector at byte {}: {reason}", range.start));
                    let selection = vector::unframed(bytes).and_then(|bytes| hiding.selection(bytes));
                    Ok((hiding, selection.map_err(reason)?))
                });
                selections.collect()
            }
        }
    }
}

impl Hiding {
    fn selection(&self, bytes: &[u8]) -> Result<RowSelection, String> {
        let hidden = vector::decode(bytes, self.cardinality)?;
        match hidden.max().filter(|last| *last >= self.rows) {
            Some(last) => Err(format!("it hides row {last} of a file with {} rows", self.rows)),
            None => Ok(visible(&hidden, self.rows)),
        }
    }
}

/// All of `rows` rows but those `hidden`.
fn visible(hidden: &RoaringTreemap, rows: u64) -> RowSelection {
    // Each row that is hidden behind one that is not begins a run, and so does the row behind the run.
    let (mut runs, mut next) = (0, 0);
    for row in hidden {
        runs += 2 * u64::from(row != next || row == 0);
        next = row + 1;
    }
    if runs * RUN_ROWS_MIN <= rows {
        return without(hidden.iter(), rows);
    }
    let mut bits = BooleanBufferBuilder::new(rows as usize);
    bits.append_n(rows as usize, true);
    for row in hidden {
        bits.set_bit(row as usize, false);
    }
    RowSelection::from_boolean_buffer(bits.finish())
}

/// All of `rows` rows but those `hidden`, which rise and are fewer.
fn without(hidden: impl Iterator<Item = u64>, rows: u64) -> RowSelection {
    let mut runs: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for row in hidden {
        if row > next {
            runs.push(RowSelector::select((row - next) as usize));
        }
        match runs.last_mut() {
            Some(run) if run.skip => run.row_count += 1,
            _ => runs.push(RowSelector::skip(1)),
        }
        next = row + 1;
    }
    if rows > next {
        runs.push(RowSelector::select((rows - next) as usize));
    }
    runs.into()
}

/// The rows that a selection leaves out.
pub(super) fn hidden(selection: &RowSelection) -> RoaringBitmap {
    let (mut hidden, mut next) = (RoaringBitmap::new(), 0u32);
    for selector in selection.iter() {
        let end = next.saturating_add(u32::try_from(selector.row_count).unwrap_or(u32::MAX));
        if selector.skip {
            hidden.insert_range(next..end);
        }
        next = end;
    }
    hidden
}

/// These rows of a file of `stored` rows.
pub(super) fn only(rows: &RoaringBitmap, stored: usize) -> RowSelection {
    let (mut runs, mut next): (Vec<RowSelector>, usize) = (Vec::new(), 0);
    for row in rows.iter().map(|row| row as usize).take_while(|row| *row < stored) {
        if row > next {
            runs.push(RowSelector::skip(row - next));
        }
        match runs.last_mut() {
            Some(run) if !run.skip => run.row_count += 1,
            _ => runs.push(RowSelector::select(1)),
        }
        next = row + 1;
    }
    if stored > next {
        runs.push(RowSelector::skip(stored - next));
    }
    runs.into()
}

/// The rows of a file of `stored` rows that are not in `gone`.
pub(crate) fn all_but(gone: &RoaringBitmap, stored: usize) -> RowSelection {
    without(gone.iter().map(u64::from).take_while(|row| *row < stored as u64), stored as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_rows_become_runs() {
        let expected = RowSelection::from(vec![
            RowSelector::select(2),
            RowSelector::skip(1),
            RowSelector::select(1),
            RowSelector::skip(2),
        ]);
        assert_eq!(without([2, 4, 5].into_iter(), 6), expected);
        assert_eq!(without([].into_iter(), 0).row_count(), 0);
        assert_eq!(without([].into_iter(), 3), RowSelection::from(vec![RowSelector::select(3)]));
        assert_eq!(without(0..2, 2), RowSelection::from(vec![RowSelector::skip(2)]));
    }

    #[test]
    fn some_rows_and_no_others() {
        for rows in [vec![], vec![0], vec![1, 2, 4], vec![0, 1, 2, 3, 4], vec![4, 9]] {
            let (rows, others) = (RoaringBitmap::from_iter(rows), |rows: &RoaringBitmap| {
                RoaringBitmap::from_iter((0..5).filter(|row| !rows.contains(*row)))
            });
            assert_eq!(only(&rows, 5), all_but(&others(&rows), 5), "{rows:?}");
        }
    }

    #[test]
    fn all_rows_but_those_gone() {
        let expected = without([1, 2, 4].into_iter(), 5);
        assert_eq!(all_but(&RoaringBitmap::from_iter([1, 2, 4, 7]), 5), expected);
        assert_eq!(all_but(&RoaringBitmap::new(), 2), RowSelection::from(vec![RowSelector::select(2)]));
        assert_eq!(hidden(&expected), RoaringBitmap::from_iter([1, 2, 4]));
    }
}
