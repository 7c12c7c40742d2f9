//! The files of one version: chunks, shared with other versions, and which of their rows are alive.
//!
//! A newer version takes the chunks of the one before, marks what was removed and adds a small chunk of its own. Small
//! chunks at the end are joined as they pile up (each time the last has grown as large as the one before it), so that a
//! row is copied a logarithmic number of times however many commits there are.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Int64Array, UInt32Array, new_null_array},
    compute::{concat, take},
    datatypes::DataType,
    error::ArrowError,
};

use super::{
    action::DeletionVector,
    chunk::{Chunk, ColumnBounds},
    layout::Layout,
};

/// Chunks are not joined past this many files.
const JOINED_FILES_MAX: usize = 1 << 16;

/// Identities of data files: paths as the log has them, each with its deletion vector.
#[derive(Debug, Default)]
pub(super) struct Keys(HashSet<String>);

impl Keys {
    /// Adds a file; `false` when it was there.
    pub(super) fn insert(&mut self, path: &str, vector: Option<&DeletionVector>) -> bool {
        self.0.insert(key(path, vector.map(DeletionVector::id)))
    }

    fn contains(&self, chunk: &Chunk, file: usize) -> bool {
        match chunk.vector(file) {
            None => self.0.contains(chunk.paths.value(file)),
            Some(vector) => self.0.contains(&key(chunk.paths.value(file), Some(vector.id()))),
        }
    }
}

pub(super) fn key(path: &str, vector: Option<String>) -> String {
    match vector {
        Some(vector) => format!("{path}\u{0}{vector}"),
        None => path.to_owned(),
    }
}

/// Some files of a chunk.
#[derive(Debug, Clone)]
struct Part {
    chunk: Arc<Chunk>,
    /// Rows of the chunk, rising; all when `None`.
    alive: Option<UInt32Array>,
    /// How many files the parts before have.
    first: usize,
}

impl Part {
    fn len(&self) -> usize {
        self.alive.as_ref().map_or(self.chunk.len(), Array::len)
    }

    fn row(&self, at: usize) -> usize {
        self.alive.as_ref().map_or(at, |alive| alive.value(at) as usize)
    }

    fn compact(&self) -> Result<Arc<Chunk>, ArrowError> {
        match &self.alive {
            Some(alive) => Ok(Arc::new(self.chunk.take(alive)?)),
            None => Ok(self.chunk.clone()),
        }
    }
}

/// The files of one version of a table. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FileSet {
    layout: Arc<Layout>,
    parts: Vec<Part>,
}

impl FileSet {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        Self { layout, parts: Vec::new() }
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.first + part.len())
    }

    /// Are all files those of one chunk? Then what is asked of all of them is no copy.
    pub(crate) fn is_one_chunk(&self) -> bool {
        matches!(self.parts.as_slice(), [] | [Part { alive: None, .. }])
    }

    /// Bytes in memory, chunks that are shared with other versions included.
    pub(crate) fn bytes(&self) -> usize {
        let alive = |part: &Part| part.alive.as_ref().map_or(0, Array::get_array_memory_size);
        self.parts.iter().map(|part| part.chunk.bytes() + alive(part)).sum()
    }

    /// The chunk of a file and its row there.
    fn locate(&self, file: usize) -> (&Chunk, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.first <= file).saturating_sub(1)];
        (&part.chunk, part.row(file - part.first))
    }

    pub(crate) fn path(&self, file: usize) -> &str {
        let (chunk, row) = self.locate(file);
        chunk.paths.value(row)
    }

    pub(crate) fn size(&self, file: usize) -> i64 {
        let (chunk, row) = self.locate(file);
        chunk.sizes.value(row)
    }

    pub(crate) fn modified_ms(&self, file: usize) -> i64 {
        let (chunk, row) = self.locate(file);
        chunk.modified_ms.value(row)
    }

    /// What tells a file from all others: its path and its deletion vector.
    pub(crate) fn identity(&self, file: usize) -> String {
        let (chunk, row) = self.locate(file);
        key(chunk.paths.value(row), chunk.vector(row).map(|vector| vector.id()))
    }

    /// The deletion vector of a file.
    pub(crate) fn deletion_vector(&self, file: usize) -> Option<DeletionVector> {
        let (chunk, row) = self.locate(file);
        chunk.vector(row)
    }

    /// The position in the layout of the column by which the file's rows lie in order, where our own writer said so.
    pub(crate) fn sorted_by(&self, file: usize) -> Option<usize> {
        let (chunk, row) = self.locate(file);
        let columns = chunk.sorted_by.as_ref().filter(|columns| columns.is_valid(row))?;
        usize::try_from(columns.value(row)).ok()
    }

    /// Whether the file was written for the cold tier.
    pub(crate) fn is_cold(&self, file: usize) -> bool {
        let (chunk, row) = self.locate(file);
        chunk.cold.as_ref().is_some_and(|cold| cold.is_valid(row) && cold.value(row))
    }

    /// The storage class under which the file was put, where its commit says so.
    pub(crate) fn storage_class(&self, file: usize) -> Option<String> {
        let (chunk, row) = self.locate(file);
        let classes = chunk.class.as_ref().filter(|classes| classes.is_valid(row))?;
        Some(classes.value(row).to_owned())
    }

    /// All files' sizes together.
    pub(crate) fn total_bytes(&self) -> u64 {
        let sizes = self.parts.iter().flat_map(|part| (0..part.len()).map(|at| part.chunk.sizes.value(part.row(at))));
        sizes.map(|size| u64::try_from(size).unwrap_or(0)).sum()
    }

    /// Rows in the files, those that deletion vectors hide included.
    pub(crate) fn rows(&self) -> Result<ArrayRef, ArrowError> {
        self.gather(&DataType::Int64, |chunk| Some(Arc::new(chunk.rows.clone())))
    }

    /// Rows that deletion vectors hide, NULL for files without; `None` when no file has one.
    pub(crate) fn deleted(&self) -> Result<Option<ArrayRef>, ArrowError> {
        if self.parts.iter().all(|part| part.chunk.vectors.is_none()) {
            return Ok(None);
        }
        let deleted = |chunk: &Chunk| Some(Arc::new(chunk.vectors.as_ref()?.cardinality.clone()) as ArrayRef);
        self.gather(&DataType::Int64, deleted).map(Some)
    }

    /// The values of a partition column, by its position in the layout.
    pub(crate) fn partition(&self, at: usize) -> Result<ArrayRef, ArrowError> {
        let kind = self.layout.partitions.get(at).map_or(DataType::Null, |column| column.data_type.clone());
        self.gather(&kind, |chunk| chunk.partitions.get(at).cloned())
    }

    /// The statistics of a column, by its position in the layout.
    pub(crate) fn column(&self, at: usize) -> Result<ColumnBounds, ArrowError> {
        let of = |part: &Part| part.chunk.columns.get(at).cloned().unwrap_or_default();
        let columns: Vec<ColumnBounds> = self.parts.iter().map(of).collect();
        let Some(column) = self.layout.columns.get(at) else { return Ok(ColumnBounds::default()) };
        let bound = |select: fn(&ColumnBounds) -> Option<ArrayRef>| match columns.iter().any(|c| select(c).is_some()) {
            true => self.gather(&column.data_type, |chunk| select(chunk.columns.get(at)?)).map(Some),
            false => Ok(None),
        };
        let nulls = match columns.iter().any(|column| column.nulls.is_some()) {
            true => Some(self.gather(&DataType::Int64, |chunk| Some(Arc::new(chunk.columns.get(at)?.nulls.clone()?)))?),
            false => None,
        };
        Ok(ColumnBounds {
            nulls: nulls.map(numbers),
            min: bound(|column| column.min.clone())?,
            max: bound(|column| column.max.clone())?,
            exact: columns.iter().all(|column| column.exact),
        })
    }

    /// One array over all files, without a copy when there is one chunk that is all alive.
    fn gather(&self, kind: &DataType, select: impl Fn(&Chunk) -> Option<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let mut arrays = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            arrays.push(match (select(&part.chunk), &part.alive) {
                (Some(array), None) => array,
                (Some(array), Some(alive)) => take(&array, alive, None)?,
                (None, _) => new_null_array(kind, part.len()),
            });
        }
        match arrays.as_slice() {
            [] => Ok(new_null_array(kind, 0)),
            [one] => Ok(one.clone()),
            many => concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        }
    }

    /// The files that are not among `gone`.
    pub(super) fn without(&self, gone: &Keys) -> Result<Self, ArrowError> {
        let mut files = Self::new(self.layout.clone());
        for part in &self.parts {
            let dead: Vec<usize> = (0..part.len()).filter(|at| gone.contains(&part.chunk, part.row(*at))).collect();
            if dead.is_empty() {
                files.add(part.chunk.clone(), part.alive.clone());
                continue;
            }
            let dead: HashSet<usize> = dead.into_iter().collect();
            let alive = (0..part.len()).filter(|at| !dead.contains(at)).map(|at| part.row(at) as u32);
            let alive = UInt32Array::from_iter_values(alive);
            match alive.len() {
                0 => {}
                // Most of the chunk is dead: what is alive moves out.
                few if few < part.chunk.len() / 2 => files.add(Arc::new(part.chunk.take(&alive)?), None),
                _ => files.add(part.chunk.clone(), Some(alive)),
            }
        }
        Ok(files)
    }

    /// These files and those of `chunk`, which has the same layout.
    pub(super) fn push(&mut self, chunk: Chunk) -> Result<(), ArrowError> {
        if chunk.len() == 0 {
            return Ok(());
        }
        let mut last = Arc::new(chunk);
        while let Some(before) = self.parts.last()
            && before.len() <= last.len()
            && before.len() + last.len() <= JOINED_FILES_MAX
        {
            last = Arc::new(Chunk::join(vec![before.compact()?.as_ref().clone(), last.as_ref().clone()])?);
            self.parts.pop();
        }
        self.add(last, None);
        Ok(())
    }

    /// Puts a chunk at the end as it is.
    pub(super) fn add(&mut self, chunk: Arc<Chunk>, alive: Option<UInt32Array>) {
        let part = Part { chunk, alive, first: self.len() };
        if part.len() > 0 {
            self.parts.push(part);
        }
    }

    /// Takes out the files among `gone` from a chunk that is not yet part of a set.
    pub(super) fn alive(chunk: &Chunk, gone: &Keys) -> Option<UInt32Array> {
        if gone.0.is_empty() {
            return None;
        }
        let alive: Vec<u32> = (0..chunk.len()).filter(|file| !gone.contains(chunk, *file)).map(|f| f as u32).collect();
        (alive.len() < chunk.len()).then(|| UInt32Array::from(alive))
    }
}

fn numbers(array: ArrayRef) -> Int64Array {
    use arrow::{array::AsArray, datatypes::Int64Type};
    array.as_primitive::<Int64Type>().clone()
}
