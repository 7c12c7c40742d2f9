//! One column of one row group, on its way from the old file to the new one.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, new_null_array},
    compute::interleave,
    datatypes::Schema,
};
use bytes::{Buf, Bytes};
use datafusion::common::{Result, exec_datafusion_err};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::RowSelection,
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    column::writer::ColumnCloseResult,
    errors::ParquetError,
    file::{
        page_index::column_index::ColumnIndexMetaData,
        properties::WriterProperties,
        reader::{ChunkReader, Length},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
};
use roaring::RoaringBitmap;

use super::{columns::ColumnPlan, patches::RowPatches};
use crate::{
    table::{RawFile, all_but, relabel},
    write::pages::TightPages,
};

/// Rows that are decoded, changed and encoded at once.
const BATCH_ROWS: usize = 8192;
/// Of a column that is decoded, so many bytes are held at once: the text of a million rows has tens of megabytes. Less would
/// be too many requests for a store that is far. Tests have small files.
const READ_BYTES: i64 = if cfg!(test) { 100 } else { 4 << 20 };

/// The rows of a row group that come into the new file.
#[derive(Debug)]
pub(super) struct GroupRows {
    /// Which row group.
    pub(super) group: usize,
    /// Its rows by their numbers in the file.
    pub(super) rows: Range<u32>,
    /// Those that stay, counted from its first; `None`: all.
    pub(super) selection: Option<RowSelection>,
    /// Changed values.
    pub(super) patches: RowPatches,
}

impl GroupRows {
    pub(super) fn new(group: usize, rows: Range<u32>, gone: &RoaringBitmap, patches: RowPatches) -> Self {
        let first = rows.start;
        let gone: RoaringBitmap = gone.range(rows.clone()).map(|row| row - first).collect();
        let selection = (!gone.is_empty()).then(|| all_but(&gone, rows.len()));
        Self { group, rows, selection, patches }
    }

    /// How many rows stay.
    pub(super) fn kept(&self) -> usize {
        self.selection.as_ref().map_or(self.rows.len(), RowSelection::row_count)
    }

    /// Runs of rows that stay, by their numbers in the file.
    fn runs(&self) -> Vec<Range<u32>> {
        let Some(selection) = &self.selection else { return vec![self.rows.clone()] };
        let (mut runs, mut next) = (Vec::new(), self.rows.start);
        for run in selection.iter() {
            let end = next + run.row_count as u32;
            if !run.skip {
                runs.push(next..end);
            }
            next = end;
        }
        runs
    }
}

/// What one column takes in one row group.
pub(super) enum Piece {
    /// As it was.
    Copied(Vec<(Chunk, ColumnCloseResult)>),
    Encoded(Vec<ArrowColumnChunk>),
}

impl Piece {
    pub(super) fn append<W: std::io::Write + Send>(
        self,
        writer: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Copied(chunks) => {
                chunks.into_iter().try_for_each(|(chunk, close)| writer.append_column(&chunk, close))
            }
            Self::Encoded(chunks) => chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(writer)),
        }
    }
}

/// One column of one row group.
pub(super) async fn piece(
    file: Arc<RawFile>,
    plan: Arc<ColumnPlan>,
    rows: Arc<GroupRows>,
    properties: Arc<WriterProperties>,
) -> Result<Piece> {
    let changes = rows.selection.is_some() || plan.patch.is_some() && !rows.patches.is_empty();
    match changes || plan.anew {
        false => copied(&file, &plan, &rows).await,
        true => encoded(&file, &plan, &rows, properties).await,
    }
}

async fn copied(file: &RawFile, plan: &ColumnPlan, rows: &GroupRows) -> Result<Piece> {
    let metadata = file.footer.metadata();
    let group = metadata.row_group(rows.group);
    let place = |leaf: usize| {
        let (start, length) = group.column(leaf).byte_range();
        start..start + length
    };
    let ranges: Vec<Range<u64>> = plan.leaves.clone().map(place).collect();
    let bytes = file.reader()?.get_byte_ranges(ranges.clone()).await?;
    let chunks = plan.leaves.clone().zip(ranges).zip(bytes).map(|((leaf, range), bytes)| {
        let column_index = metadata.column_index().and_then(|index| index.get(rows.group)?.get(leaf)).cloned();
        let close = ColumnCloseResult {
            bytes_written: range.end - range.start,
            rows_written: rows.rows.len() as u64,
            metadata: group.column(leaf).clone(),
            bloom_filter: None,
            column_index: column_index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)),
            offset_index: metadata.offset_index().and_then(|index| index.get(rows.group)?.get(leaf)).cloned(),
        };
        (Chunk { start: range.start, bytes }, close)
    });
    Ok(Piece::Copied(chunks.collect()))
}

async fn encoded(
    file: &RawFile,
    plan: &ColumnPlan,
    rows: &GroupRows,
    properties: Arc<WriterProperties>,
) -> Result<Piece> {
    let mut writers = writers(plan, properties)?;
    let mut patching = plan.patch.map(|column| Patching { column, runs: rows.runs(), next: 0 });
    let mut old = old_values(file, plan, rows);
    let mut count = 0;
    while let Some(values) = old.next().await {
        let mut values = relabel(&values?, plan.field.data_type())?;
        if let Some(patching) = &mut patching {
            values = patching.apply(values, &rows.patches)?;
        }
        if !plan.field.is_nullable() && values.logical_null_count() > 0 {
            return Err(exec_datafusion_err!("column {} has a NULL that it must not have", plan.field.name()));
        }
        count += values.len();
        for (writer, leaf) in writers.iter_mut().zip(compute_leaves(&plan.field, &values)?) {
            writer.write(&leaf)?;
        }
    }
    if count != rows.kept() {
        return Err(exec_datafusion_err!("{count} values of column {} for {} rows", plan.field.name(), rows.kept()));
    }
    let mut chunks = writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
    // A file has a page index for all of its columns or for none.
    if file.footer.metadata().offset_index().is_none() {
        for chunk in &mut chunks {
            (chunk.close_mut().column_index, chunk.close_mut().offset_index) = (None, None);
        }
    }
    Ok(Piece::Encoded(chunks))
}

/// The values that the rows that stay have in the old file; NULL for those that are all replaced.
fn old_values<'a>(file: &'a RawFile, plan: &ColumnPlan, rows: &GroupRows) -> BoxStream<'a, Result<ArrayRef>> {
    let all_change = plan.patch.is_some() && rows.patches.len() == rows.kept();
    let Some(root) = plan.root.filter(|_| !all_change) else {
        let (kind, kept) = (plan.field.data_type().clone(), rows.kept());
        let lengths = (0..kept).step_by(BATCH_ROWS).map(move |at| BATCH_ROWS.min(kept - at));
        return futures::stream::iter(lengths.map(move |rows| Ok(new_null_array(&kind, rows)))).boxed();
    };
    let group = rows.group;
    let parts = selections(rows, parts(file, plan, rows)).into_iter();
    // One after the other: of each the reader holds all bytes while it decodes.
    futures::stream::iter(parts.map(move |selection| decoded(file, root, group, selection))).try_flatten().boxed()
}

/// The values of a column in some rows of a row group; `None`: in all.
fn decoded(
    file: &RawFile,
    root: usize,
    group: usize,
    selection: Option<RowSelection>,
) -> Result<BoxStream<'static, Result<ArrayRef>>> {
    let schema = file.footer.metadata().file_metadata().schema_descr();
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file.reader()?, file.footer.clone())
        .with_projection(ProjectionMask::roots(schema, [root]))
        .with_row_groups(vec![group])
        .with_batch_size(BATCH_ROWS);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    Ok(builder.build()?.map(|batch| Ok(batch?.column(0).clone())).boxed())
}

/// The rows of a row group, counted from its first, in parts of about [`READ_BYTES`] of a column. They are cut where a page
/// begins, so that next to none is read twice; there is one part in a file that does not say where its pages lie.
fn parts(file: &RawFile, plan: &ColumnPlan, rows: &GroupRows) -> Vec<Range<usize>> {
    let (metadata, count) = (file.footer.metadata(), rows.rows.len());
    let largest = plan.leaves.clone().max_by_key(|leaf| metadata.row_group(rows.group).column(*leaf).compressed_size());
    let index = metadata.offset_index().and_then(|index| index.get(rows.group));
    let pages = index.zip(largest).and_then(|(index, largest)| index.get(largest));
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for page in pages.into_iter().flat_map(|pages| &pages.page_locations) {
        let (size, first) = (i64::from(page.compressed_page_size), usize::try_from(page.first_row_index).unwrap_or(0));
        if bytes > 0 && bytes + size > READ_BYTES && (start + 1..count).contains(&first) {
            parts.push(start..first);
            (start, bytes) = (first, 0);
        }
        bytes += size;
    }
    parts.push(start..count);
    parts
}

/// Those rows of the parts that stay, part by part. `None`: all of the row group.
fn selections(rows: &GroupRows, parts: Vec<Range<usize>>) -> Vec<Option<RowSelection>> {
    if parts.len() == 1 {
        return vec![rows.selection.clone()];
    }
    let (first, count) = (rows.rows.start, rows.rows.len());
    let runs = rows.runs().into_iter().map(|run| (run.start - first) as usize..(run.end - first) as usize);
    let runs: Vec<Range<usize>> = runs.collect();
    let within = |part: Range<usize>| {
        let runs = runs.iter().map(|run| run.start.max(part.start)..run.end.min(part.end));
        let runs: Vec<Range<usize>> = runs.filter(|run| !run.is_empty()).collect();
        (!runs.is_empty()).then(|| Some(RowSelection::from_consecutive_ranges(runs.into_iter(), count)))
    };
    parts.into_iter().filter_map(within).collect()
}

/// One for each part of the column that Parquet stores by itself.
fn writers(plan: &ColumnPlan, properties: Arc<WriterProperties>) -> Result<Vec<ArrowColumnWriter>> {
    let schema = Arc::new(Schema::new(vec![plan.field.clone()]));
    let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
    // Nothing is written to it: it tells the columns' writers what they are to do.
    let file = SerializedFileWriter::new(std::io::sink(), root, properties)?;
    let columns = ArrowRowGroupWriterFactory::new(&file, schema).with_page_store_factory(Arc::new(TightPages));
    Ok(columns.create_column_writers(0)?)
}

/// Puts changed values in their places while the rows go by.
struct Patching {
    column: usize,
    /// Rows to come.
    runs: Vec<Range<u32>>,
    /// The first run that is not used up.
    next: usize,
}

impl Patching {
    fn apply(&mut self, old: ArrayRef, patches: &RowPatches) -> Result<ArrayRef> {
        let (mut places, mut changed) = (Vec::with_capacity(old.len()), false);
        while places.len() < old.len() {
            let Some(run) = self.runs.get_mut(self.next) else {
                return Err(exec_datafusion_err!("more values than rows"));
            };
            let (first, count) = (places.len(), (old.len() - places.len()).min(run.len()));
            let rows = run.start..run.start + count as u32;
            places.extend((first..first + count).map(|at| (0, at)));
            for (row, piece, at) in patches.within(rows.clone()) {
                places[first + (row - rows.start) as usize] = (piece + 1, at);
                changed = true;
            }
            run.start = rows.end;
            if run.start >= run.end {
                self.next += 1;
            }
        }
        if !changed {
            return Ok(old);
        }
        let kind = old.data_type().clone();
        let new = patches.values(self.column).map(|values| relabel(values, &kind));
        let new = new.collect::<Result<Vec<_>, _>>()?;
        let arrays: Vec<&dyn Array> =
            std::iter::once(old.as_ref()).chain(new.iter().map(|values| values.as_ref())).collect();
        Ok(interleave(&arrays, &places)?)
    }
}

/// The bytes of a column in a row group, at the place that they have in the old file.
pub(super) struct Chunk {
    start: u64,
    bytes: Bytes,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.get_bytes(start, (self.len().saturating_sub(start)) as usize)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let range = from.and_then(|from| Some(from..from.checked_add(length)?));
        match range.filter(|range| range.end <= self.bytes.len()) {
            Some(range) => Ok(self.bytes.slice(range)),
            None => Err(ParquetError::EOF(format!("{length} bytes at {start} are not in the column"))),
        }
    }
}
