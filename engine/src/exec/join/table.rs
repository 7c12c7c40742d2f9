//! Which table a build side is put into: one by the hash of its keys, or one by position.
//!
//! Where the key is a single whole number, a table may have an entry for each number from the least key to the greatest. A
//! lookup is then one read without hashing or comparing, and rows that come in the order of their keys, as those of a table
//! that is clustered by them do, read it from front to back. DataFusion makes such a table when more than 15 % of its
//! entries would be in use. Here it may be much emptier as long as there is memory: with tables of up to 8 million entries
//! TPC-H at scale 1 over hot copies takes 0.88 of the CPU time (q4 0.57, q5 0.58, q21 0.57; `benches/compare tpch`).

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, AsArray, PrimitiveArray, RecordBatch},
        compute::{max, min},
        datatypes::{
            ArrowNumericType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
            UInt64Type,
        },
    },
    common::{NullEquality, Result},
    execution::memory_pool::{MemoryLimit, MemoryPool},
    physical_expr::PhysicalExprRef,
};

/// So many entries are always worth it: a table of 4 MiB stays in a processor's cache.
const ENTRIES_FREE: u64 = 1 << 20;
/// Beyond that, so many for each row.
const ENTRIES_PER_ROW_MAX: u64 = 128;
/// And never more than so many bytes, or this share of all memory of queries.
const BYTES_MAX: u64 = 256 << 20;
const SHARES: u64 = 16;
const BYTES_PER_ENTRY: u64 = 4;

/// What the choice depends on, besides the rows.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub keys: Vec<PhysicalExprRef>,
    /// With NULL equal to NULL there is no position for it.
    pub null_equality: NullEquality,
    /// Tables that the join makes of its build side: the keys of each lie between the same bounds.
    pub tables: usize,
    pub pool: Arc<dyn MemoryPool>,
}

/// How many entries the table by position would have; `None` when the rows of `batches` get one by hash.
pub(super) fn entries(batches: &[RecordBatch], choice: &Choice) -> Result<Option<usize>> {
    let [key] = choice.keys.as_slice() else { return Ok(None) };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Some(Bounds { least, greatest, nulls }) = bounds(batches, key)? else { return Ok(None) };
    if nulls && choice.null_equality == NullEquality::NullEqualsNull {
        return Ok(None);
    }
    let Ok(entries) = u64::try_from(greatest - least + 1) else { return Ok(None) };
    let share = match choice.pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes as u64 / SHARES,
        MemoryLimit::Infinite | MemoryLimit::Unknown => BYTES_MAX,
    };
    let tables = choice.tables.max(1) as u64;
    let affordable = BYTES_MAX.min(share) / BYTES_PER_ENTRY / tables;
    let worth = (ENTRIES_FREE / tables).max((rows as u64).saturating_mul(ENTRIES_PER_ROW_MAX));
    Ok((entries <= worth.min(affordable)).then_some(entries as usize))
}

/// Memory for so many entries.
pub(super) fn entries_bytes(entries: usize) -> usize {
    entries * BYTES_PER_ENTRY as usize
}

struct Bounds {
    least: i128,
    greatest: i128,
    nulls: bool,
}

/// The least and the greatest key; `None` when there is none, or keys are no whole numbers.
fn bounds(batches: &[RecordBatch], key: &PhysicalExprRef) -> Result<Option<Bounds>> {
    let (mut all, mut nulls): (Option<(i128, i128)>, _) = (None, false);
    for batch in batches {
        let keys = key.evaluate(batch)?.into_array(batch.num_rows())?;
        let bounds = match keys.data_type() {
            DataType::Int8 => ends(keys.as_primitive::<Int8Type>()),
            DataType::Int16 => ends(keys.as_primitive::<Int16Type>()),
            DataType::Int32 => ends(keys.as_primitive::<Int32Type>()),
            DataType::Int64 => ends(keys.as_primitive::<Int64Type>()),
            DataType::UInt8 => ends(keys.as_primitive::<UInt8Type>()),
            DataType::UInt16 => ends(keys.as_primitive::<UInt16Type>()),
            DataType::UInt32 => ends(keys.as_primitive::<UInt32Type>()),
            DataType::UInt64 => ends(keys.as_primitive::<UInt64Type>()),
            _ => return Ok(None),
        };
        all = match (all, bounds) {
            (Some(all), Some(bounds)) => Some((all.0.min(bounds.0), all.1.max(bounds.1))),
            (all, bounds) => all.or(bounds),
        };
        nulls |= keys.null_count() > 0;
    }
    Ok(all.map(|(least, greatest)| Bounds { least, greatest, nulls }))
}

fn ends<T: ArrowNumericType>(keys: &PrimitiveArray<T>) -> Option<(i128, i128)>
where
    T::Native: Into<i128>,
{
    Some((min(keys)?.into(), max(keys)?.into()))
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::array::{ArrayRef, Int64Array, StringArray},
        execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool},
        physical_expr::expressions::col,
    };

    use super::*;

    fn choice(keys: Vec<PhysicalExprRef>, pool: impl MemoryPool + 'static) -> Choice {
        Choice { keys, null_equality: NullEquality::NullEqualsNothing, tables: 1, pool: Arc::new(pool) }
    }

    fn numbers(key: impl Fn(i64) -> i64, rows: i64) -> (Vec<RecordBatch>, PhysicalExprRef) {
        let keys = Int64Array::from_iter_values((0..rows).map(key));
        let batch = RecordBatch::try_from_iter([("key", Arc::new(keys) as ArrayRef)]).unwrap();
        let key = col("key", &batch.schema()).unwrap();
        // Where the least and the greatest key stand does not count.
        let half = batch.num_rows() / 2;
        (vec![batch.slice(half, batch.num_rows() - half), batch.slice(0, half)], key)
    }

    #[test]
    fn a_table_by_position_may_be_as_empty_as_there_is_memory() {
        let asked = |key: &dyn Fn(i64) -> i64, rows, tables| {
            let (batches, key) = numbers(key, rows);
            let choice = Choice { tables, ..choice(vec![key], UnboundedMemoryPool::default()) };
            entries(&batches, &choice).unwrap()
        };
        assert_eq!(asked(&|row| 7 - row, 1_000, 1), Some(1_000));
        assert_eq!(asked(&|row| row * 1_000, 1_000, 1), Some(999_001));
        assert_eq!(asked(&|row| row * 1_000, 1_000, 2), None);
        assert_eq!(asked(&|row| row * 100, 100_000, 2), Some(9_999_901));
        assert_eq!(asked(&|row| row * 100, 100_000, 64), None);
        assert_eq!(asked(&|row| row * 200, 100_000, 1), None);
        assert_eq!(asked(&|row| if row == 0 { i64::MIN } else { i64::MAX }, 2, 1), None);
        assert_eq!(asked(&|row| row, 0, 1), None);
        let with_little = |every| {
            let (batches, key) = numbers(|row| row * every, 1_000);
            entries(&batches, &choice(vec![key], GreedyMemoryPool::new(64 << 10))).unwrap()
        };
        assert_eq!([with_little(1), with_little(2)], [Some(1_000), None]);
    }

    #[test]
    fn only_single_whole_numbers_are_positions() {
        let words = Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef;
        let numbers = Arc::new(Int64Array::from(vec![Some(1), None, Some(2)])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("word", words), ("number", numbers)]).unwrap();
        let [word, number] = ["word", "number"].map(|name| col(name, &batch.schema()).unwrap());
        let asked = |keys: &[&PhysicalExprRef], null_equality| {
            let keys = keys.iter().map(|key| (*key).clone()).collect();
            let choice = Choice { null_equality, ..choice(keys, UnboundedMemoryPool::default()) };
            entries(std::slice::from_ref(&batch), &choice).unwrap()
        };
        assert_eq!(asked(&[&word], NullEquality::NullEqualsNothing), None);
        assert_eq!(asked(&[&number, &word], NullEquality::NullEqualsNothing), None);
        assert_eq!(asked(&[&number], NullEquality::NullEqualsNothing), Some(2));
        assert_eq!(asked(&[&number], NullEquality::NullEqualsNull), None);
    }
}
