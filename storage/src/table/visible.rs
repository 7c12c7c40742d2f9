//! The visible rows of one file by its bitmap: what is worth leaving out before decoding, and what each decoded batch loses.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
    buffer::BooleanBuffer,
    compute::FilterBuilder,
    datatypes::{Int64Type, SchemaRef},
};
use datafusion::{
    common::{Result, exec_datafusion_err},
    physical_expr::projection::Projector,
};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use parquet::arrow::arrow_reader::RowSelection;

/// So many hidden rows one after another cost more to decode than a run of a selection costs: of gaps of a thousand rows, a
/// bitmap and the gaps took 0.87 of the time of a table without a vector, the bitmap alone 0.98.
const GAP_ROWS_MIN: usize = 256;
const WORD_ROWS: usize = u64::BITS as usize;

/// What a query wants of the visible rows.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) output: SchemaRef,
    /// From the columns that are read; `None` when these are all.
    pub(super) projecting: Option<Projecting>,
}

pub(super) struct Projecting {
    pub(super) columns: SchemaRef,
    pub(super) projector: Projector,
}

impl fmt::Debug for Projecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projecting").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// The bitmap of a file. Cheap to clone.
#[derive(Clone)]
pub(super) struct Visible {
    /// One bit a row of the file.
    rows: BooleanBuffer,
    wanted: Arc<Wanted>,
}

impl Visible {
    pub(super) fn new(rows: BooleanBuffer, wanted: Arc<Wanted>) -> Self {
        Self { rows, wanted }
    }

    /// All rows of the file but those that lie in long gaps.
    pub(super) fn but_long_gaps(&self) -> RowSelection {
        let words = self.rows.bit_chunks();
        let rest = (words.remainder_bits(), words.remainder_len());
        let words = words.iter().map(|word| (word, WORD_ROWS)).chain([rest]);
        let (mut read, mut from, mut at, mut gap) = (Vec::new(), 0, 0, 0);
        for (word, rows) in words {
            if word == 0 {
                gap += rows;
            } else {
                if gap >= GAP_ROWS_MIN {
                    read.push(from..at - gap);
                    from = at;
                }
                gap = 0;
            }
            at += rows;
        }
        read.push(from..if gap >= GAP_ROWS_MIN { at - gap } else { at });
        RowSelection::from_consecutive_ranges(read.into_iter(), at)
    }

    /// The visible ones of the rows that `planner` yields, whose last column has the numbers of the rows.
    pub(super) fn of(self, planner: Box<dyn MorselPlanner>) -> Box<dyn MorselPlanner> {
        Box::new(VisiblePlanner { planner, visible: self })
    }

    /// What is wanted of the visible rows of a batch; `None` when it has none.
    fn rows_of(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let Some((numbers, columns)) = batch.columns().split_last() else {
            return Err(exec_datafusion_err!("rows without their numbers"));
        };
        let kept = self.kept(numbers.as_primitive::<Int64Type>().values())?;
        let (count, all) = (kept.count_set_bits(), kept.len());
        if count == 0 {
            return Ok(None);
        }
        let columns = match count == all {
            true => columns.to_vec(),
            false => filtered(columns, kept)?,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let columns = match &self.wanted.projecting {
            None => columns,
            Some(Projecting { columns: read, projector }) => {
                let read = RecordBatch::try_new_with_options(read.clone(), columns, &options)?;
                projector.project_batch(&read)?.columns().to_vec()
            }
        };
        Ok(Some(RecordBatch::try_new_with_options(self.wanted.output.clone(), columns, &options)?))
    }

    /// Which of these rows of the file are visible.
    fn kept(&self, numbers: &[i64]) -> Result<BooleanBuffer> {
        // Without an early end or a call the comparison is done by many at once.
        let first = numbers.first().copied().unwrap_or_default();
        let odd = (first..).zip(numbers).fold(0, |odd, (expected, number)| odd | (expected ^ number));
        if odd == 0 && self.has(first) && self.has(first + numbers.len().saturating_sub(1) as i64) {
            return Ok(self.rows.slice(first as usize, numbers.len()));
        }
        if let Some(beyond) = numbers.iter().find(|row| !self.has(**row)) {
            return Err(exec_datafusion_err!("a row {beyond} of a file that has {}", self.rows.len()));
        }
        Ok(BooleanBuffer::collect_bool(numbers.len(), |at| self.rows.value(numbers[at] as usize)))
    }

    fn has(&self, row: i64) -> bool {
        usize::try_from(row).is_ok_and(|row| row < self.rows.len())
    }
}

fn filtered(columns: &[ArrayRef], kept: BooleanBuffer) -> Result<Vec<ArrayRef>> {
    let kept = BooleanArray::new(kept, None);
    let mut filter = FilterBuilder::new(&kept);
    if columns.len() > 1 {
        filter = filter.optimize();
    }
    let filter = filter.build();
    Ok(columns.iter().map(|column| filter.filter(column)).collect::<Result<_, _>>()?)
}

/// Plans as another does, and drops hidden rows.
struct VisiblePlanner {
    planner: Box<dyn MorselPlanner>,
    visible: Visible,
}

impl fmt::Debug for VisiblePlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VisiblePlanner").field(&self.planner).finish()
    }
}

impl MorselPlanner for VisiblePlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { planner, visible } = *self;
        let Some(mut plan) = planner.plan()? else { return Ok(None) };
        let morsels = plan.take_morsels().into_iter();
        let morsels = morsels.map(|rows| Box::new(VisibleMorsel { rows, visible: visible.clone() }) as _).collect();
        let ready = plan.take_ready_planners().into_iter().map(|planner| visible.clone().of(planner)).collect();
        let mut own = MorselPlan::new().with_morsels(morsels).with_planners(ready);
        if let Some(pending) = plan.take_pending_planner() {
            own.set_pending_planner(async move { Ok(visible.of(pending.await?)) });
        }
        Ok(Some(own))
    }
}

struct VisibleMorsel {
    rows: Box<dyn Morsel>,
    visible: Visible,
}

impl fmt::Debug for VisibleMorsel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VisibleMorsel").field(&self.rows).finish()
    }
}

impl Morsel for VisibleMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { rows, visible } = *self;
        let rows = rows.into_stream().map(move |batch| visible.rows_of(&batch?));
        rows.try_filter_map(|batch| std::future::ready(Ok(batch))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    };
    use parquet::arrow::arrow_reader::RowSelector;

    use super::*;

    fn visible(rows: BooleanBuffer) -> Visible {
        let output = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        Visible::new(rows, Arc::new(Wanted { output, projecting: None }))
    }

    /// The visible ones of some rows.
    fn left(visible: &Visible, numbers: Vec<i64>) -> Vec<i64> {
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        let batch = RecordBatch::try_from_iter([("n", numbers.clone()), ("row", numbers)]).unwrap();
        let batch = visible.rows_of(&batch).unwrap();
        batch.map_or(vec![], |batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
    }

    #[test]
    fn each_row_is_found_by_its_number() {
        let rows = visible(BooleanBuffer::collect_bool(1000, |row| row % 7 != 3));
        let expected = |rows: &[i64]| rows.iter().copied().filter(|row| row % 7 != 3).collect::<Vec<_>>();
        let many = [
            (0..1000).collect(),
            (64..900).collect(),
            (993..1000).collect(),
            // As when pages or rows in between are left out, and when row groups come in another order.
            (0..10).chain(500..510).collect(),
            vec![5, 6, 3, 8],
            (600..700).chain(0..100).collect(),
            vec![3],
            vec![4],
            vec![],
        ];
        for numbers in many {
            assert_eq!(left(&rows, numbers.clone()), expected(&numbers), "{numbers:?}");
        }
        for beyond in [vec![999, 1000], vec![1000, 5], vec![-1]] {
            assert!(rows.kept(&beyond).is_err(), "{beyond:?}");
        }
    }

    #[test]
    fn only_long_gaps_are_left_out_ahead() {
        let run = |skip: bool, row_count: usize| RowSelector { row_count, skip };
        let cases = [
            (vec![run(false, 100)], vec![run(false, 100)]),
            (vec![run(true, 200)], vec![run(false, 200)]),
            (vec![run(true, 3000)], vec![run(true, 3000)]),
            (vec![run(true, 2048), run(false, 1)], vec![run(true, 2048), run(false, 1)]),
            (vec![run(false, 1), run(true, 2047)], vec![run(false, 64), run(true, 1984)]),
            (
                vec![run(false, 10), run(true, 5000), run(false, 10), run(true, 250), run(false, 7), run(true, 4473)],
                vec![run(false, 64), run(true, 4928), run(false, 320), run(true, 4438)],
            ),
        ];
        for (runs, expected) in cases {
            let bits = runs.iter().flat_map(|run| std::iter::repeat_n(!run.skip, run.row_count));
            let rows = visible(BooleanBuffer::from_iter(bits));
            assert_eq!(rows.but_long_gaps(), RowSelection::from(expected), "{runs:?}");
        }
    }

    #[test]
    fn what_may_fail_meets_no_hidden_row() {
        use datafusion::{
            logical_expr::Operator,
            physical_expr::{
                expressions::{binary, col, lit},
                projection::{ProjectionExpr, ProjectionExprs},
            },
        };
        let columns = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let quotient = binary(lit(60_i64), Operator::Divide, col("n", &columns).unwrap(), &columns).unwrap();
        let projection = ProjectionExprs::new([ProjectionExpr::new(quotient, "q")]);
        let projector = projection.make_projector(&columns).unwrap();
        let output = projector.output_schema().clone();
        let wanted = Wanted { output, projecting: Some(Projecting { columns, projector }) };
        let rows = Visible::new(BooleanBuffer::collect_bool(5, |row| row != 0), Arc::new(wanted));
        assert_eq!(left(&rows, (0..5).collect()), [60, 30, 20, 15]);
        assert_eq!(BooleanArray::new(rows.kept(&[0, 1]).unwrap(), None).true_count(), 1);
    }
}
