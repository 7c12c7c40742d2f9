//! ZORDER BY: rows with near values in several columns come to lie together, so that bounds of files tell more.
//!
//! Values are replaced by the number of the quantile that they fall into, found from a sample, so that skew and type do
//! not matter. The bits of these numbers, taken in turn from each column, are the order of the rows on a Z curve. With one
//! column rows are sorted by its values, which the files then say (see `write::sorted`).

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array},
    compute::take_record_batch,
    datatypes::DataType,
    row::{RowConverter, SortField},
};
use datafusion::{
    catalog::Session,
    common::{Column, Result},
    datasource::provider_as_source,
    error::DataFusionError,
    logical_expr::{
        ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    physical_plan::{ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, execute_stream},
};
use futures::TryStreamExt;

use crate::{Snapshot, StorageError, table::provider_of, task_context};

/// Rows of which the quantiles are taken.
const SAMPLE_ROWS: u64 = 20_000;
/// Bits of a quantile's number; of many columns fewer, so that all fit.
const BITS_MAX: usize = 10;
const TABLE: &str = "t";

/// A plan of all rows of some files, in the order of the curve.
pub(super) async fn plan(
    table: &Arc<Snapshot>,
    files: &[usize],
    columns: &[String],
    session: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let query = |source| StorageError::Query { table: table.name().to_owned(), source: Box::new(source) };
    if let [column] = columns {
        return in_order(table, files, column, session).await;
    }
    let curve = Curve { bounds: bounds(table, files, columns, session).await?, signature: signature(columns.len()) };
    let source = provider_as_source(provider_of(table, files.to_vec())?);
    let arguments = columns.iter().map(|name| Expr::Column(Column::new(Some(TABLE), name))).collect();
    let sorted = LogicalPlanBuilder::scan(TABLE, source, None)
        .and_then(|scan| scan.sort(vec![ScalarUDF::from(curve).call(arguments).sort(true, true)]))
        .and_then(LogicalPlanBuilder::build)
        .map_err(query)?;
    session.create_physical_plan(&sorted).await.map_err(query)
}

/// With one column the curve is the order of its values, exactly.
async fn in_order(
    table: &Arc<Snapshot>,
    files: &[usize],
    column: &str,
    session: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
    let query = |source| StorageError::Query { table: table.name().to_owned(), source: Box::new(source) };
    let source = provider_as_source(provider_of(table, files.to_vec())?);
    let sorted = LogicalPlanBuilder::scan(TABLE, source, None)
        .and_then(|scan| scan.sort(vec![Expr::Column(Column::new(Some(TABLE), column)).sort(true, false)]))
        .and_then(LogicalPlanBuilder::build)
        .map_err(query)?;
    session.create_physical_plan(&sorted).await.map_err(query)
}

/// For each column the values between quantiles, as bytes that compare like the values, rising.
async fn bounds(
    table: &Arc<Snapshot>,
    files: &[usize],
    columns: &[String],
    session: &dyn Session,
) -> Result<Vec<Vec<Vec<u8>>>, StorageError> {
    let query =
        |source: DataFusionError| StorageError::Query { table: table.name().to_owned(), source: Box::new(source) };
    let schema = table.schema();
    let positions: Vec<usize> = columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    let index = table.files()?;
    let rows: u64 = files.iter().filter_map(|file| index.visible_rows(*file)).sum();
    let step = rows.div_ceil(SAMPLE_ROWS).max(1);
    let scan = provider_of(table, files.to_vec())?.scan(session, Some(&positions), &[], None).await.map_err(query)?;
    let scan = Arc::new(CoalescePartitionsExec::new(scan));
    let mut batches = execute_stream(scan, task_context(session)).map_err(query)?;
    let mut samples: Vec<Vec<Vec<u8>>> = vec![Vec::new(); positions.len()];
    let mut skip = 0_u64;
    while let Some(batch) = batches.try_next().await.map_err(query)? {
        let sample = every(&batch, step, &mut skip).map_err(|error| query(error.into()))?;
        for (column, sample) in sample.columns().iter().zip(&mut samples) {
            sample.extend(keys(column).map_err(query)?);
        }
    }
    let quantiles = 1_usize << bits(positions.len());
    Ok(samples.into_iter().map(|sample| cuts(sample, quantiles)).collect())
}

/// Every `step`th row, counted over batches.
fn every(batch: &RecordBatch, step: u64, skip: &mut u64) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut rows = Vec::new();
    let count = batch.num_rows() as u64;
    while *skip < count {
        rows.push(*skip as u32);
        *skip += step;
    }
    *skip -= count;
    take_record_batch(batch, &UInt32Array::from(rows))
}

/// Values as bytes that compare like them, NULL first.
fn keys(column: &ArrayRef) -> Result<Vec<Vec<u8>>> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(column))?;
    Ok(rows.iter().map(|row| row.as_ref().to_vec()).collect())
}

/// Values that cut a sample into parts of equal size, as far as it has enough different ones.
fn cuts(mut sample: Vec<Vec<u8>>, parts: usize) -> Vec<Vec<u8>> {
    sample.sort_unstable();
    let mut cuts: Vec<Vec<u8>> =
        (1..parts).filter_map(|part| sample.get(part * sample.len() / parts).cloned()).collect();
    cuts.dedup();
    cuts
}

fn bits(columns: usize) -> usize {
    (64 / columns.max(1)).clamp(1, BITS_MAX)
}

fn signature(columns: usize) -> Signature {
    Signature::any(columns, Volatility::Immutable)
}

/// The place of a row on the curve.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Curve {
    bounds: Vec<Vec<Vec<u8>>>,
    signature: Signature,
}

impl ScalarUDFImpl for Curve {
    fn name(&self) -> &'static str {
        "z_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut places = vec![0_u64; args.number_rows];
        let (columns, bits) = (self.bounds.len(), bits(self.bounds.len()));
        for (at, (values, bounds)) in args.args.iter().zip(&self.bounds).enumerate() {
            let keys = keys(&values.to_array(args.number_rows)?)?;
            for (place, key) in places.iter_mut().zip(keys) {
                let quantile = bounds.partition_point(|bound| *bound <= key) as u64;
                *place |= spread(quantile, bits, columns, at);
            }
        }
        Ok(ColumnarValue::Array(Arc::new(UInt64Array::from(places))))
    }
}

/// The bits of a number, `columns` apart; the first column's bit is the higher one.
fn spread(number: u64, bits: usize, columns: usize, at: usize) -> u64 {
    (0..bits).map(|bit| ((number >> bit) & 1) << (bit * columns + (columns - 1 - at)).min(63)).fold(0, |a, b| a | b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_columns_take_turns() {
        assert_eq!(spread(0b11, 2, 2, 0) | spread(0b00, 2, 2, 1), 0b1010);
        assert_eq!(spread(0b10, 2, 2, 0) | spread(0b01, 2, 2, 1), 0b1001);
        assert_eq!(bits(1), 10);
        assert_eq!(bits(20), 3);
    }

    #[test]
    fn cuts_are_quantiles_and_rise() {
        let sample: Vec<Vec<u8>> = (0..=99_u8).rev().map(|n| vec![n]).collect();
        assert_eq!(cuts(sample, 4), [vec![25], vec![50], vec![75]]);
        assert_eq!(cuts(vec![vec![1]; 10], 4), [vec![1]]);
        assert_eq!(cuts(vec![], 4), Vec::<Vec<u8>>::new());
    }
}
