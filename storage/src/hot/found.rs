//! What a join has found out about its keys, decided in the scan of a copy before the other columns are read.
//!
//! Vortex evaluates filters first, on their columns alone, and of the other columns unpacks the rows that are left. What a
//! join asks ("is this key in my hash table?") is no expression of Vortex: here it is wrapped as one. The operator above
//! the scan tests every row again, so that a test that rests, or fails, costs time and no row.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, BooleanArray, RecordBatch, new_null_array},
    compute::prep_null_mask_filter,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, ScalarValue, cast::as_boolean_array},
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{BinaryExpr, Column, Literal},
        split_conjunction,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_plan::ColumnStatistics,
};
use parking_lot::Mutex;
use vortex::{
    array::{
        ArrayRef, ExecutionCtx, IntoArray,
        arrays::{BoolArray, ConstantArray},
    },
    buffer::BitBuffer,
    dtype::{DType, Nullability},
    error::VortexResult,
    expr::{Expression, display::ExprDisplay, get_item, root},
    scalar_fn::{Arity, ChildName, ExecutionArgs, ScalarFnId, ScalarFnVTable, ScalarFnVTableExt},
    session::registry::CachedId,
};
use vortex_arrow::ArrowSessionExt;

use super::{file::VORTEX, filter, trial::Trial};

/// Bounds that leave out less than this share of what a file spans are not looked at row by row.
const OUTSIDE_PERCENT_MIN: usize = 10;
/// Fewer rows than this tell nothing of whether testing pays.
const TRIAL_ROWS_MIN: usize = 4096;

/// A filter that a join has found, over the columns of `schema`, as expressions of Vortex: the part that asks the join, and
/// bounds that leave out much of the file, whose columns `statistics` tells of by name. Rows that match `filter` match them
/// all.
pub(super) fn found<'a>(
    filter: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    statistics: impl Fn(&str) -> Option<&'a ColumnStatistics>,
) -> Result<Vec<Expression>> {
    let (bounds, asked): (Vec<_>, Vec<_>) =
        split_conjunction(filter).into_iter().partition(|part| filter::native(part, schema).is_some());
    let asked: Vec<_> = asked.into_iter().filter(|part| !part.is::<Literal>()).cloned().collect();
    let narrow = |bound: &&&Arc<dyn PhysicalExpr>| asked.is_empty() || narrows(bound, &statistics);
    let mut parts: Vec<_> = bounds.iter().filter(narrow).filter_map(|bound| filter::native(bound, schema)).collect();
    if !asked.is_empty() {
        parts.extend(asks(&conjunction(asked), schema)?);
    }
    Ok(parts)
}

fn asks(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Expression>> {
    let mut columns: Vec<usize> = collect_columns(filter).iter().map(Column::index).collect();
    columns.sort_unstable();
    columns.dedup();
    // Of several columns Vortex unpacks all rows, also those that another filter has left out: TPC-H q20, whose join has two
    // keys, took 0.103 s so and takes 0.048 s when the operator above tests the rows that are left.
    if columns.len() != 1 {
        return Ok(None);
    }
    let keys = Arc::new(schema.project(&columns)?);
    let filter = reassign_expr_columns(filter.clone(), &keys)?;
    if passes_null(&filter, &keys)? {
        return Ok(None);
    }
    let children = keys.fields().iter().map(|field| get_item(field.name().as_str(), root())).collect::<Vec<_>>();
    let question = Question(Arc::new(Asked { filter, keys, trial: Mutex::default() }));
    // Only a wrong number of children fails.
    Ok(JoinKeys.try_new_expr(question, children).ok())
}

/// Would a row pass whose key is NULL? Vortex takes a filter over codes of a dictionary to be false there.
fn passes_null(filter: &Arc<dyn PhysicalExpr>, keys: &Schema) -> Result<bool> {
    let nullable = keys.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let nulls = nullable.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), nulls)?;
    let passes = filter.evaluate(&batch)?.into_array(1)?;
    let passes = as_boolean_array(&passes)?;
    Ok(passes.is_valid(0) && passes.value(0))
}

/// Does a bound leave out much of the values of a file? One that says nothing of it is not worth a look at each row: who
/// asks the join knows, too.
fn narrows<'a>(bound: &Arc<dyn PhysicalExpr>, statistics: &impl Fn(&str) -> Option<&'a ColumnStatistics>) -> bool {
    let told = || {
        let bound = bound.downcast_ref::<BinaryExpr>()?;
        let column = bound.left().downcast_ref::<Column>()?;
        let value = bound.right().downcast_ref::<Literal>()?.value();
        let ColumnStatistics { min_value, max_value, .. } = statistics(column.name())?;
        let (min, max) = (min_value.get_value()?, max_value.get_value()?);
        let outside = match bound.op() {
            Operator::GtEq => outside(min, value)?,
            Operator::LtEq => outside(value, max)?,
            _ => return None,
        };
        Some(outside.saturating_mul(100) >= min.distance(max)?.saturating_mul(OUTSIDE_PERCENT_MIN))
    };
    told().unwrap_or(true)
}

/// How far apart two values are; 0 when they stand the other way round.
fn outside(low: &ScalarValue, high: &ScalarValue) -> Option<usize> {
    if low.data_type() != high.data_type() {
        return None;
    }
    if low >= high { Some(0) } else { low.distance(high) }
}

/// `filter` as a function of its columns.
#[derive(Debug, Clone, Copy)]
struct JoinKeys;

/// What is asked. The same question is the same filter of the same scan.
#[derive(Debug, Clone)]
struct Question(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    filter: Arc<dyn PhysicalExpr>,
    /// The columns of `filter`.
    keys: SchemaRef,
    trial: Mutex<Trial>,
}

impl Asked {
    /// Which of the rows pass. NULL does not.
    fn test(&self, keys: &RecordBatch) -> Result<BooleanArray> {
        let passes = self.filter.evaluate(keys)?.into_array(keys.num_rows())?;
        let passes = as_boolean_array(&passes)?;
        let passes = if passes.null_count() > 0 { prep_null_mask_filter(passes) } else { passes.clone() };
        if keys.num_rows() >= TRIAL_ROWS_MIN {
            self.trial.lock().saw(keys.num_rows(), passes.true_count());
        }
        Ok(passes)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.filter.fmt(f)
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Question {}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl ScalarFnVTable for JoinKeys {
    type Options = Question;

    fn id(&self) -> ScalarFnId {
        static ID: CachedId = CachedId::new("boathouse.join_keys");
        *ID
    }

    fn arity(&self, question: &Question) -> Arity {
        Arity::Exact(question.0.keys.fields().len())
    }

    fn child_name(&self, question: &Question, child: usize) -> ChildName {
        let keys = question.0.keys.fields();
        ChildName::from(Arc::<str>::from(keys.get(child).map_or("key", |field| field.name().as_str())))
    }

    fn fmt_sql(&self, question: &Question, _: &dyn ExprDisplay, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(question, f)
    }

    fn return_dtype(&self, _: &Question, _: &[DType]) -> VortexResult<DType> {
        Ok(DType::Bool(Nullability::NonNullable))
    }

    fn execute(
        &self,
        question: &Question,
        columns: &dyn ExecutionArgs,
        context: &mut ExecutionCtx,
    ) -> VortexResult<ArrayRef> {
        let (asked, rows) = (&question.0, columns.row_count());
        let all = || Ok(ConstantArray::new(true, rows).into_array());
        // Few rows may be all values of a dictionary, each of which stands for many.
        if rows >= TRIAL_ROWS_MIN && !asked.trial.lock().tests(rows) {
            return all();
        }
        let keys = asked.keys.fields().iter().enumerate();
        let keys: Vec<_> = keys
            .map(|(at, field)| VORTEX.arrow().execute_arrow(columns.get(at)?, Some(field), context))
            .collect::<VortexResult<_>>()?;
        // Whatever is wrong with the filter, the operator above meets it, too, and says so.
        let passes =
            RecordBatch::try_new(asked.keys.clone(), keys).map_err(Into::into).and_then(|keys| asked.test(&keys));
        let Ok(passes) = passes else { return all() };
        Ok(BoolArray::from(BitBuffer::from(passes.values().clone())).into_array())
    }
}
