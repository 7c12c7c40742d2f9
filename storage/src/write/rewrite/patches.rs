//! Changed values of single columns, held by file until the files are written anew.
//!
//! They come from all partitions of a statement's query and are bounded in memory: what is more goes to the disk.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, UInt32Array},
    compute::{filter_record_batch, kernels::cmp},
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{Result, exec_datafusion_err},
    execution::{
        SpillFile,
        memory_pool::{MemoryConsumer, MemoryReservation},
        runtime_env::RuntimeEnv,
    },
    physical_plan::{
        SpillManager,
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
    },
};
use futures::TryStreamExt;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

/// Values held in memory, by all partitions together.
const BYTES_MAX: usize = 64 << 20;

/// Filled by all partitions of a query at once, then read file by file.
pub(in crate::write) struct Patches {
    /// Positions of the columns among those of the table.
    columns: Vec<usize>,
    /// The numbers of the rows, then the columns.
    schema: SchemaRef,
    spills: SpillManager,
    held: Mutex<Held>,
}

struct Held {
    files: BTreeMap<usize, FilePatches>,
    reserved: MemoryReservation,
}

#[derive(Default)]
struct FilePatches {
    rows: RoaringBitmap,
    pieces: Vec<Piece>,
}

#[derive(Clone)]
struct Piece {
    rows: RangeInclusive<u32>,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Memory(RecordBatch),
    Disk(Arc<dyn SpillFile>),
}

impl fmt::Debug for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patches").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Patches {
    /// For new values in `columns`, by their positions among those of `table`.
    pub(in crate::write) fn new(table: &Schema, columns: Vec<usize>, runtime: &Arc<RuntimeEnv>) -> Self {
        let row = Arc::new(Field::new("row", DataType::UInt32, false));
        // By position alone: the same name may stand twice.
        let values = columns.iter().map(|column| Arc::new(table.field(*column).clone().with_nullable(true)));
        let schema = Arc::new(Schema::new(std::iter::once(row).chain(values).collect::<Vec<_>>()));
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let spills = SpillManager::new(runtime.clone(), metrics, schema.clone());
        let consumer = MemoryConsumer::new("changed values").with_can_spill(true);
        let held = Held { files: BTreeMap::new(), reserved: consumer.register(&runtime.memory_pool) };
        Self { columns, schema, spills, held: Mutex::new(held) }
    }

    pub(in crate::write) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// New values of rows, one a row and column; no row may come twice.
    pub(in crate::write) fn add(&self, files: &[usize], rows: Vec<u32>, values: Vec<ArrayRef>) -> Result<()> {
        let rows: ArrayRef = Arc::new(UInt32Array::from(rows));
        let batch = RecordBatch::try_new(self.schema.clone(), std::iter::once(rows).chain(values).collect())?;
        let mut held = self.held.lock();
        let bytes = batch.get_array_memory_size();
        if held.reserved.size() + bytes > BYTES_MAX || held.reserved.try_grow(bytes).is_err() {
            self.spill(&mut held)?;
            // One batch more than nothing: it is there already.
            held.reserved.grow(bytes);
        }
        let mut start = 0;
        for run in files.chunk_by(|one, other| one == other) {
            let part = batch.slice(start, run.len());
            start += run.len();
            let patches = held.files.entry(run[0]).or_default();
            let (mut first, mut last) = (u32::MAX, 0);
            for row in part.column(0).as_primitive::<UInt32Type>().values() {
                patches.rows.insert(*row);
                (first, last) = (first.min(*row), last.max(*row));
            }
            patches.pieces.push(Piece { rows: first..=last, place: Place::Memory(part) });
        }
        Ok(())
    }

    /// Everything in memory goes to the disk.
    fn spill(&self, held: &mut Held) -> Result<()> {
        for patches in held.files.values_mut() {
            let (mut batches, mut kept, mut all) = (Vec::new(), Vec::new(), None::<RangeInclusive<u32>>);
            for piece in std::mem::take(&mut patches.pieces) {
                let Place::Memory(batch) = piece.place else {
                    kept.push(piece);
                    continue;
                };
                all = Some(match all {
                    Some(all) => *all.start().min(piece.rows.start())..=*all.end().max(piece.rows.end()),
                    None => piece.rows,
                });
                batches.push(batch);
            }
            if let Some(rows) = all {
                let written = self.spills.spill_record_batch_and_finish(&batches, "changed values")?;
                let file = written.ok_or_else(|| exec_datafusion_err!("values that were not written"))?;
                kept.push(Piece { rows, place: Place::Disk(file) });
            }
            patches.pieces = kept;
        }
        held.reserved.free();
        Ok(())
    }

    /// The rows of a file that change.
    pub(in crate::write) fn rows(&self, file: usize) -> RoaringBitmap {
        self.held.lock().files.get(&file).map(|patches| patches.rows.clone()).unwrap_or_default()
    }

    /// What changes among some rows of a file.
    pub(in crate::write) async fn among(&self, file: usize, rows: Range<u32>) -> Result<RowPatches> {
        let pieces = self.held.lock().files.get(&file).map(|patches| patches.pieces.clone()).unwrap_or_default();
        let mut found = RowPatches::default();
        for piece in
            pieces.into_iter().filter(|piece| *piece.rows.start() < rows.end && *piece.rows.end() >= rows.start)
        {
            match piece.place {
                Place::Memory(batch) => found.add(&batch, &rows)?,
                Place::Disk(file) => {
                    let mut batches = self.spills.read_spill_as_stream_unbuffered(file, None)?;
                    while let Some(batch) = batches.try_next().await? {
                        found.add(&batch, &rows)?;
                    }
                }
            }
        }
        found.places.sort_unstable();
        Ok(found)
    }
}

/// Changed values of some rows of one file.
#[derive(Debug, Default)]
pub(in crate::write) struct RowPatches {
    /// Row, piece and place in the piece, by row.
    places: Vec<(u32, usize, usize)>,
    /// The numbers of the rows, then the columns.
    pieces: Vec<RecordBatch>,
}

impl RowPatches {
    fn add(&mut self, batch: &RecordBatch, wanted: &Range<u32>) -> Result<()> {
        let numbers = batch.column(0).as_primitive::<UInt32Type>();
        let is_in = |row: &u32| wanted.contains(row);
        let batch = match numbers.values().iter().filter(|row| is_in(row)).count() {
            0 => return Ok(()),
            all if all == batch.num_rows() => batch.clone(),
            _ => {
                let from = cmp::gt_eq(numbers, &UInt32Array::new_scalar(wanted.start))?;
                let until = cmp::lt(numbers, &UInt32Array::new_scalar(wanted.end))?;
                filter_record_batch(batch, &arrow::compute::and(&from, &until)?)?
            }
        };
        let piece = self.pieces.len();
        let numbers = batch.column(0).as_primitive::<UInt32Type>().values();
        self.places.extend(numbers.iter().enumerate().map(|(at, row)| (*row, piece, at)));
        self.pieces.push(batch);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many pieces the values of a column come in.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Row, piece and place in the piece, by row.
    pub(in crate::write) fn within(&self, rows: Range<u32>) -> impl Iterator<Item = (u32, usize, usize)> {
        let start = self.places.partition_point(|(row, ..)| *row < rows.start);
        self.places[start..].iter().copied().take_while(move |(row, ..)| *row < rows.end)
    }

    /// The values of a column, piece by piece.
    pub(in crate::write) fn values(&self, column: usize) -> impl Iterator<Item = &ArrayRef> {
        self.pieces.iter().map(move |piece| piece.column(column + 1))
    }
}
