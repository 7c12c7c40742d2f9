//! The files of a table at one version, as Arrow arrays.
//!
//! Made by the first scan of a version from what the log says, and shared by all its scans. Partition values and
//! statistics have the types of the table's columns and one row a file, so that pruning is a few vectorized comparisons
//! however many files there are. The statistics of a column are put together when a query first asks for them.

use std::{collections::HashMap, sync::OnceLock};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    datatypes::Int64Type,
    error::ArrowError,
};

pub(crate) use crate::log::ColumnBounds;
use crate::log::{DeletionVector, FileSet, LogState};

/// The active files of one version.
#[derive(Debug)]
pub(crate) struct FileIndex {
    files: FileSet,
    rows: Int64Array,
    deleted: Option<Int64Array>,
    partitions: Vec<(String, ArrayRef)>,
    columns: HashMap<String, Column>,
    /// In a table that may hide rows, no bound is sure to occur.
    hides_rows: bool,
}

/// The statistics of a column, by its position in the log's layout.
#[derive(Debug)]
struct Column {
    position: usize,
    bounds: OnceLock<ColumnBounds>,
}

impl FileIndex {
    /// Indexes what the log says at one version.
    pub(crate) fn try_new(log: &LogState) -> Result<Self, ArrowError> {
        let features = log.protocol.reader_features().unwrap_or_default();
        let hides_rows = features.iter().any(|feature| feature.to_string() == "deletionVectors");
        Self::of(log.files.clone(), hides_rows)
    }

    /// Indexes some files. `hides_rows`: in a table whose files may have deletion vectors.
    pub(crate) fn of(files: FileSet, hides_rows: bool) -> Result<Self, ArrowError> {
        let layout = files.layout().clone();
        let partitions = layout.partitions.iter().enumerate();
        let partitions = partitions.map(|(at, column)| Ok((column.name.clone(), files.partition(at)?)));
        let columns = layout.columns.iter().enumerate();
        let columns = columns.map(|(position, c)| (c.name.clone(), Column { position, bounds: OnceLock::new() }));
        Ok(Self {
            rows: numbers(&files.rows()?),
            deleted: files.deleted()?.as_ref().map(numbers),
            partitions: partitions.collect::<Result<_, ArrowError>>()?,
            columns: columns.collect(),
            hides_rows,
            files,
        })
    }

    /// The same with more columns of which each file has one value.
    pub(crate) fn with_constants(mut self, columns: Vec<(String, ArrayRef)>) -> Self {
        self.partitions.extend(columns);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The path as the log has it: percent-encoded, relative to the table or absolute.
    pub(crate) fn path(&self, file: usize) -> &str {
        self.files.path(file)
    }

    pub(crate) fn size(&self, file: usize) -> u64 {
        u64::try_from(self.files.size(file)).unwrap_or(0)
    }

    pub(crate) fn modified_ms(&self, file: usize) -> i64 {
        self.files.modified_ms(file)
    }

    /// The deletion vector of a file, as the log describes it.
    pub(crate) fn deletion_vector(&self, file: usize) -> Option<DeletionVector> {
        self.files.deletion_vector(file)
    }

    /// Rows in the file, those that its deletion vector hides included.
    pub(crate) fn stored_rows(&self) -> &Int64Array {
        &self.rows
    }

    /// The same for one file, where the log knows.
    pub(crate) fn stored_rows_of(&self, file: usize) -> Option<u64> {
        self.rows.is_valid(file).then(|| self.rows.value(file)).and_then(|rows| u64::try_from(rows).ok())
    }

    /// Rows that a reader sees, where the log knows.
    pub(crate) fn visible_rows(&self, file: usize) -> Option<u64> {
        let stored = self.rows.is_valid(file).then(|| self.rows.value(file))?;
        u64::try_from(stored.checked_sub(self.deleted_rows(file).unwrap_or(0))?).ok()
    }

    /// Rows that the file's deletion vector hides; `None` when it has none.
    pub(crate) fn deleted_rows(&self, file: usize) -> Option<i64> {
        self.deleted.as_ref().filter(|deleted| deleted.is_valid(file)).map(|deleted| deleted.value(file))
    }

    /// Partition columns in their declared order.
    pub(crate) fn partitions(&self) -> &[(String, ArrayRef)] {
        &self.partitions
    }

    /// The values of a partition column.
    pub(crate) fn partition(&self, column: &str) -> Option<&ArrayRef> {
        self.partitions.iter().find(|(name, _)| name == column).map(|(_, values)| values)
    }

    /// The statistics of a column that is not a partition column.
    pub(crate) fn column(&self, column: &str) -> Option<&ColumnBounds> {
        let column = self.columns.get(column)?;
        Some(column.bounds.get_or_init(|| {
            // Unknown statistics are no failure.
            let mut bounds = self.files.column(column.position).unwrap_or_default();
            bounds.exact &= !self.hides_rows;
            bounds
        }))
    }

    /// The column by which the rows of a file lie in rising order, NULL last, by its name in the file.
    pub(crate) fn sorted_by_stored(&self, file: usize) -> Option<&str> {
        let column = self.files.sorted_by(file)?;
        self.files.layout().columns.get(column).map(|column| column.stored.as_str())
    }

    /// The column by which all of `files` have their rows in rising order, NULL last.
    pub(crate) fn sorted_by(&self, files: &[usize]) -> Option<&str> {
        let column = self.files.sorted_by(*files.first()?)?;
        let all = files.iter().all(|file| self.files.sorted_by(*file) == Some(column));
        self.files.layout().columns.get(column).filter(|_| all).map(|column| column.name.as_str())
    }

    /// Whether the file was written for the cold tier.
    pub(crate) fn is_cold(&self, file: usize) -> bool {
        self.files.is_cold(file)
    }

    /// The storage class under which the file was put, where its commit says so.
    pub(crate) fn storage_class(&self, file: usize) -> Option<String> {
        self.files.storage_class(file)
    }

    /// Bytes in memory beyond those of the log's own arrays.
    pub(crate) fn bytes(&self) -> usize {
        // Of one chunk, all of whose files are alive, these are the log's own arrays.
        if self.files.is_one_chunk() {
            return 0;
        }
        let partitions: usize = self.partitions.iter().map(|(_, values)| values.get_array_memory_size()).sum();
        let columns: usize = self.columns.values().filter_map(|c| c.bounds.get()).map(ColumnBounds::bytes).sum();
        let deleted = self.deleted.as_ref().map_or(0, Array::get_array_memory_size);
        self.rows.get_array_memory_size() + deleted + partitions + columns
    }
}

fn numbers(array: &ArrayRef) -> Int64Array {
    array.as_primitive::<Int64Type>().clone()
}
