//! The addresses of rows that go: one compressed bitmap a touched file.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, Int64Array},
    datatypes::Int64Type,
    record_batch::RecordBatch,
};
use datafusion::common::{Result, exec_datafusion_err};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

/// Where a batch has the addresses of its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct AddressPlaces {
    pub(super) file: usize,
    pub(super) row: usize,
}

impl AddressPlaces {
    /// Files and numbers of the rows `wanted` of a batch.
    pub(super) fn of(&self, batch: &RecordBatch, wanted: &[u32]) -> Result<(Vec<usize>, Vec<u32>)> {
        let (files, rows) = (numbers(batch, self.file)?, numbers(batch, self.row)?);
        let file = |at: &u32| address(files, *at as usize);
        let row = |at: &u32| row_number(rows, *at as usize);
        Ok((wanted.iter().map(file).collect::<Result<_>>()?, wanted.iter().map(row).collect::<Result<_>>()?))
    }
}

/// The file and the number of a row.
pub(super) type Address = (usize, u32);

/// Filled by all partitions of a query at once.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<BTreeMap<usize, RoaringBitmap>>);

impl Gone {
    /// Adds the rows of `batch` that `wanted` names (rising); returns how many were new, and the first that was not.
    pub(super) fn add(
        &self,
        batch: &RecordBatch,
        places: AddressPlaces,
        wanted: impl Iterator<Item = usize>,
    ) -> Result<(u64, Option<Address>)> {
        let (files, rows) = (numbers(batch, places.file)?, numbers(batch, places.row)?);
        let mut gone = self.0.lock();
        let (mut added, mut twice) = (0, None);
        let mut wanted = wanted.peekable();
        while let Some(first) = wanted.peek().copied() {
            let file = address(files, first)?;
            let bitmap = gone.entry(file).or_default();
            // Rows come file by file.
            while let Some(at) = wanted.next_if(|at| files.is_valid(*at) && files.value(*at) as usize == file) {
                let row = row_number(rows, at)?;
                match bitmap.insert(row) {
                    true => added += 1,
                    false => twice = twice.or(Some((file, row))),
                }
            }
        }
        Ok((added, twice))
    }

    /// Everything that was added.
    pub(super) fn take(&self) -> BTreeMap<usize, RoaringBitmap> {
        std::mem::take(&mut self.0.lock())
    }
}

fn numbers(batch: &RecordBatch, column: usize) -> Result<&Int64Array> {
    let column = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| exec_datafusion_err!("a row without an address"))
}

fn address(numbers: &Int64Array, at: usize) -> Result<usize> {
    let number = numbers.is_valid(at).then(|| numbers.value(at));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| exec_datafusion_err!("a row to change has no address"))
}

fn row_number(numbers: &Int64Array, at: usize) -> Result<u32> {
    u32::try_from(address(numbers, at)?).map_err(|_| exec_datafusion_err!("a file with too many rows"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_row_that_comes_again_is_told() {
        let numbers = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as _;
        let batch =
            RecordBatch::try_from_iter([("file", numbers(&[0, 0, 2, 2, 0])), ("row", numbers(&[5, 6, 5, 9, 6]))]);
        let (batch, places) = (batch.unwrap(), AddressPlaces { file: 0, row: 1 });
        let gone = Gone::default();
        assert_eq!(gone.add(&batch, places, 0..4).unwrap(), (4, None));
        assert_eq!(gone.add(&batch, places, [2, 4].into_iter()).unwrap(), (0, Some((2, 5))));
        assert_eq!(gone.add(&batch, places, std::iter::empty()).unwrap(), (0, None));
        let expected = BTreeMap::from([(0, RoaringBitmap::from([5, 6])), (2, RoaringBitmap::from([5, 9]))]);
        assert_eq!(gone.take(), expected);
    }
}
