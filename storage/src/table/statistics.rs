//! What the optimizer may know of the files to be read, from the index alone.
//!
//! A count or a bound is `Exact` only when a query may be answered from it (`COUNT(*)`, `MIN`, `MAX`) without reading
//! a row. Everything that was widened, may be hidden by a deletion vector or is merely likely is `Inexact`.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, UInt64Array},
    compute::take,
    datatypes::{DataType, Schema},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::{ColumnStatistics, Result, ScalarValue, Statistics, stats::Precision},
    functions_aggregate::min_max::{MaxAccumulator, MinAccumulator},
    logical_expr::Accumulator,
};

use super::files::FileIndex;
use crate::views::viewed_value;

/// Statistics per file cost memory for every column of the table; past this many, the table's own must do.
const PER_FILE_ENTRIES_MAX: usize = 32_768;

/// Collects statistics for a scan that looks at some columns of `schema`.
pub(super) struct StatisticsBuilder<'a> {
    pub(super) index: &'a FileIndex,
    /// The scan's own order: columns of the files, then partition columns.
    pub(super) schema: &'a Schema,
    /// Positions in `schema` of the columns that the query names.
    pub(super) columns: Vec<usize>,
}

impl StatisticsBuilder<'_> {
    /// Is it affordable to describe each of `files` files?
    pub(super) fn per_file(&self, files: usize) -> bool {
        files.saturating_mul(self.schema.fields().len()) <= PER_FILE_ENTRIES_MAX
    }

    /// All that is known of one file, for leaving it out while the query runs.
    ///
    /// The reader believes only what is `Exact`, so that here a bound is `Exact` when it holds, whether or not the value
    /// occurs. When both bounds are one value and there are no NULLs, the reader takes it for the value of all rows
    /// instead of reading them; only where the value is sure to occur are there said to be no NULLs.
    pub(super) fn file(&self, file: usize) -> Result<Statistics> {
        let mut statistics = Statistics::new_unknown(self.schema);
        statistics.num_rows = rows(self.index.visible_rows(file));
        statistics.total_byte_size = Precision::Inexact(to_usize(self.index.size(file)));
        for column in &self.columns {
            statistics.column_statistics[*column] = self.column(*column, file)?;
        }
        Ok(statistics)
    }

    /// All that is known of the files together.
    pub(super) fn table(&self, files: &[usize]) -> Result<Statistics> {
        let rows_known = files.iter().try_fold(0, |sum: u64, file| sum.checked_add(self.index.visible_rows(*file)?));
        let bytes = files.iter().map(|file| self.index.size(*file)).sum();
        let mut statistics = Statistics::new_unknown(self.schema);
        statistics.num_rows = rows(rows_known);
        statistics.total_byte_size = Precision::Inexact(to_usize(bytes));
        let positions = UInt64Array::from_iter_values(files.iter().map(|file| *file as u64));
        for column in &self.columns {
            statistics.column_statistics[*column] = self.table_column(*column, files, &positions)?;
        }
        Ok(statistics)
    }

    fn table_column(&self, column: usize, files: &[usize], positions: &UInt64Array) -> Result<ColumnStatistics> {
        let rows = files.iter().try_fold(0, |sum: u64, file| sum.checked_add(self.index.visible_rows(*file)?));
        let (name, kind) = (self.schema.field(column).name(), self.schema.field(column).data_type());
        let mut statistics = ColumnStatistics::new_unknown();
        let hides_rows = files.iter().any(|file| self.index.deleted_rows(*file).is_some());
        let nulls_of = |file: usize| match (self.index.partition(name), self.index.column(name)) {
            (Some(values), _) if values.is_valid(file) => Some(0),
            (Some(_), _) => self.index.visible_rows(file),
            (None, column) => column?.nulls.as_ref().filter(|a| a.is_valid(file))?.value(file).try_into().ok(),
        };
        let exact_nulls = self.index.partition(name).is_some() || !hides_rows;
        if let Some(nulls) = files.iter().try_fold(0, |sum: u64, file| sum.checked_add(nulls_of(*file)?)) {
            // No row is hidden that is NULL when there is none.
            statistics.null_count = precision(to_usize(nulls), exact_nulls || nulls == 0);
        }
        let (min, max, exact) = match (self.index.partition(name), self.index.column(name)) {
            // The partition value of a file without visible rows is not one of the table's.
            (Some(values), _) => {
                let exact = files.iter().all(|file| self.index.visible_rows(*file).is_some_and(|rows| rows > 0));
                (Some(values), Some(values), exact)
            }
            (None, Some(column)) => (column.min.as_ref(), column.max.as_ref(), column.exact && !hides_rows),
            (None, None) => return Ok(statistics),
        };
        let known = |values: &ArrayRef| {
            files
                .iter()
                .all(|file| values.is_valid(*file) || nulls_of(*file).is_some_and(|n| self.stored(*file) == Some(n)))
        };
        if let Some(min) = min.filter(|values| known(values)) {
            let value = fold(MinAccumulator::try_new(min.data_type())?, take(min, positions, None)?)?;
            statistics.min_value = occurring(viewed_value(value, kind), exact);
        }
        if let Some(max) = max.filter(|values| known(values)) {
            let value = fold(MaxAccumulator::try_new(max.data_type())?, take(max, positions, None)?)?;
            statistics.max_value = occurring(viewed_value(value, kind), exact);
        }
        statistics.distinct_count = match self.index.partition(name) {
            Some(values) => distinct_values(values, positions)?,
            None => distinct_whole_numbers(&statistics, rows),
        };
        Ok(statistics)
    }

    fn stored(&self, file: usize) -> Option<u64> {
        let rows = self.index.stored_rows();
        rows.is_valid(file).then(|| u64::try_from(rows.value(file)).ok()).flatten()
    }

    fn column(&self, column: usize, file: usize) -> Result<ColumnStatistics> {
        let (name, kind) = (self.schema.field(column).name(), self.schema.field(column).data_type());
        if let Some(values) = self.index.partition(name) {
            return self.partition(values, file);
        }
        let Some(bounds) = self.index.column(name) else { return Ok(ColumnStatistics::new_unknown()) };
        let hides_rows = self.index.deleted_rows(file).is_some();
        let mut statistics = ColumnStatistics::new_unknown();
        statistics.min_value = bound(bounds.min.as_ref(), file, kind)?;
        statistics.max_value = bound(bounds.max.as_ref(), file, kind)?;
        if let Some(nulls) = bounds.nulls.as_ref().filter(|nulls| nulls.is_valid(file)) {
            let nulls = usize::try_from(nulls.value(file)).unwrap_or(0);
            let looks_constant = nulls == 0 && statistics.min_value == statistics.max_value;
            statistics.null_count = precision(nulls, if looks_constant { bounds.exact } else { !hides_rows });
        }
        Ok(statistics)
    }

    fn partition(&self, values: &ArrayRef, file: usize) -> Result<ColumnStatistics> {
        let mut statistics = ColumnStatistics::new_unknown();
        if values.is_null(file) {
            statistics.null_count = rows(self.index.visible_rows(file));
        } else {
            let value = ScalarValue::try_from_array(values, file)?;
            statistics.null_count = Precision::Exact(0);
            // A file without visible rows has no smallest value.
            let exact = self.index.visible_rows(file).is_some_and(|rows| rows > 0);
            statistics.min_value = precision(value.clone(), exact);
            statistics.max_value = precision(value, exact);
        }
        Ok(statistics)
    }
}

fn fold(mut accumulator: impl Accumulator, values: ArrayRef) -> Result<ScalarValue> {
    accumulator.update_batch(&[values])?;
    accumulator.evaluate()
}

/// How many partition values there are, NULL left out.
fn distinct_values(values: &ArrayRef, positions: &UInt64Array) -> Result<Precision<usize>> {
    let kept = take(values, positions, None)?;
    let rows = RowConverter::new(vec![SortField::new(kept.data_type().clone())])?;
    let rows = rows.convert_columns(std::slice::from_ref(&kept))?;
    let distinct: HashSet<_> =
        rows.iter().enumerate().filter(|(at, _)| kept.is_valid(*at)).map(|(_, row)| row).collect();
    Ok(Precision::Inexact(distinct.len()))
}

/// Whole numbers and days between two bounds: there are no more than these, nor more than rows.
fn distinct_whole_numbers(known: &ColumnStatistics, rows: Option<u64>) -> Precision<usize> {
    let whole = |value: &Precision<ScalarValue>| match value.get_value()? {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) | ScalarValue::Date32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        _ => None,
    };
    let width = whole(&known.max_value).zip(whole(&known.min_value)).and_then(|(max, min)| max.checked_sub(min));
    let count = width.and_then(|width| usize::try_from(width).ok()).and_then(|width| width.checked_add(1));
    count.map_or(Precision::Absent, |count| Precision::Inexact(rows.map_or(count, |rows| count.min(to_usize(rows)))))
}

/// A bound over several files; there is none when they hold only NULLs.
fn occurring(value: ScalarValue, exact: bool) -> Precision<ScalarValue> {
    if value.is_null() { Precision::Absent } else { precision(value, exact) }
}

fn bound(values: Option<&ArrayRef>, file: usize, kind: &DataType) -> Result<Precision<ScalarValue>> {
    match values.filter(|values| values.is_valid(file)) {
        Some(values) => Ok(Precision::Exact(viewed_value(ScalarValue::try_from_array(values, file)?, kind))),
        None => Ok(Precision::Absent),
    }
}

fn precision<T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(value: T, exact: bool) -> Precision<T> {
    if exact { Precision::Exact(value) } else { Precision::Inexact(value) }
}

fn rows(rows: Option<u64>) -> Precision<usize> {
    rows.map_or(Precision::Absent, |rows| Precision::Exact(to_usize(rows)))
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
