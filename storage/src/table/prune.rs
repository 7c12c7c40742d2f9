//! Which files a query need not read.
//!
//! Two steps, counted apart. Filters on partition columns alone are decided exactly, one row per file. All filters
//! are then tried against the statistics, where a file goes only when no row in it can match. Unknown means keep.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array},
    buffer::ScalarBuffer,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, Result, ScalarValue},
    logical_expr::{
        Expr, Operator, Volatility, binary_expr, execution_props::ExecutionProps, lit,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, conjunction, create_physical_expr},
    physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics},
};
use tracing::debug;

use super::files::FileIndex;

/// The files that a query has to read, and why not the others.
#[derive(Debug)]
pub(crate) struct Pruned {
    /// Positions in the index, rising.
    pub(crate) kept: Vec<usize>,
    pub(crate) by_partition: usize,
    pub(crate) by_statistics: usize,
}

/// Can `filter` be decided from the partition values alone, without looking at a row?
pub(crate) fn is_partition_filter(filter: &Expr, partition_columns: &[String]) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty()
        && columns.iter().all(|column| partition_columns.contains(&column.name))
        && !has_surprises(filter)
}

/// Subqueries, placeholders and volatile functions have no value before the query runs.
fn has_surprises(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    filter
        .exists(|expr| {
            Ok(match expr {
                Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::Exists(_)
                | Expr::OuterReferenceColumn(_, _)
                | Expr::Placeholder(_)
                | Expr::ScalarVariable(_, _)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_) => true,
                Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Volatile,
                _ => false,
            })
        })
        .unwrap_or(true)
}

/// Makes an expression over columns one that can be evaluated.
type Lower<'a> = dyn Fn(Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>> + 'a;

/// Applies `filters` (all of which must hold) to the files of a table with these columns.
pub(crate) fn prune(index: &FileIndex, schema: &SchemaRef, filters: &[Expr], session: &dyn Session) -> Result<Pruned> {
    prune_lowered(index, schema, filters, &|expr, columns| session.create_physical_expr(expr, columns))
}

/// May a row in one of the files match all of `filters`, whose types agree? Unknown is yes.
pub(crate) fn may_match(index: &FileIndex, schema: &SchemaRef, filters: &[Expr]) -> bool {
    let lower = |expr: Expr, columns: &DFSchema| {
        create_physical_expr(&expr, columns, &ExecutionProps::new(), &PhysicalPlanningContext::default())
    };
    match prune_lowered(index, schema, filters, &lower) {
        Ok(pruned) => !pruned.kept.is_empty(),
        Err(error) => {
            debug!(%error, "filters that cannot be tried against files may match them");
            index.len() > 0
        }
    }
}

fn prune_lowered(index: &FileIndex, schema: &SchemaRef, filters: &[Expr], lower: &Lower<'_>) -> Result<Pruned> {
    let partition_columns: Vec<String> = index.partitions().iter().map(|(name, _)| name.clone()).collect();
    let mut keep = vec![true; index.len()];
    if filters.iter().any(|filter| is_partition_filter(filter, &partition_columns)) {
        let values = partition_values(index)?;
        let columns = DFSchema::try_from(values.schema().as_ref().clone())?;
        for filter in filters.iter().filter(|filter| is_partition_filter(filter, &partition_columns)) {
            let expr = lower(filter.clone(), &columns)?;
            let matches = expr.evaluate(&values)?.into_array(index.len())?;
            keep.iter_mut().zip(matches.as_boolean()).for_each(|(keep, matches)| *keep &= matches == Some(true));
        }
    }
    let after_partitions = keep.iter().filter(|keep| **keep).count();
    for filter in filters.iter().filter(|filter| !is_partition_filter(filter, &partition_columns)) {
        if has_surprises(filter) {
            continue;
        }
        if let Some(matches) = by_statistics(index, schema, filter, lower) {
            keep.iter_mut().zip(matches).for_each(|(keep, matches)| *keep &= matches);
        }
    }
    let kept: Vec<usize> = (0..index.len()).filter(|file| keep[*file]).collect();
    Ok(Pruned { by_partition: index.len() - after_partitions, by_statistics: after_partitions - kept.len(), kept })
}

/// One row per file. NULL is a partition value like any other, whatever the table says of the column.
fn partition_values(index: &FileIndex) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        index.partitions().iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
    let columns = index.partitions().iter().map(|(_, values)| values.clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(index.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Per file: may a row match? `None` when the statistics cannot say; that is never an error, the query still runs.
fn by_statistics(index: &FileIndex, schema: &SchemaRef, filter: &Expr, lower: &Lower<'_>) -> Option<Vec<bool>> {
    let attempt = || -> Result<Option<Vec<bool>>> {
        let columns = DFSchema::try_from(schema.as_ref().clone())?;
        let expr = lower(as_comparisons(filter, schema), &columns)?;
        let builder = PruningPredicateBuilder::new().with_file_schema(schema.clone());
        match builder.build(conjunction([expr])) {
            Some(predicate) => Ok(Some(predicate.prune(index)?)),
            None => Ok(None),
        }
    };
    attempt().unwrap_or_else(|error| {
        debug!(%filter, %error, "statistics cannot decide this filter");
        None
    })
}

/// Says `flag` as `flag = true`, for which files are left out that hold nothing but NULL.
fn as_comparisons(filter: &Expr, schema: &Schema) -> Expr {
    let is_flag = |expr: &Expr| {
        let Expr::Column(column) = expr else { return false };
        schema.field_with_name(column.name()).is_ok_and(|field| *field.data_type() == DataType::Boolean)
    };
    match filter {
        flag if is_flag(flag) => flag.clone().eq(lit(true)),
        Expr::Not(flag) if is_flag(flag) => flag.as_ref().clone().eq(lit(false)),
        Expr::BinaryExpr(both) if matches!(both.op, Operator::And | Operator::Or) => {
            binary_expr(as_comparisons(&both.left, schema), both.op, as_comparisons(&both.right, schema))
        }
        other => other.clone(),
    }
}

impl PruningStatistics for FileIndex {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.partition(column.name()).or_else(|| self.column(column.name())?.min.as_ref()).cloned()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.partition(column.name()).or_else(|| self.column(column.name())?.max.as_ref()).cloned()
    }

    fn num_containers(&self) -> usize {
        self.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let Some(values) = self.partition(column.name()) else {
            return Some(unsigned(self.column(column.name())?.nulls.as_ref()?));
        };
        let rows = self.stored_rows();
        let counts = (0..self.len()).map(|file| match values.is_null(file) {
            true => rows.is_valid(file).then(|| rows.value(file)),
            false => Some(0),
        });
        Some(unsigned(&counts.collect()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(unsigned(self.stored_rows()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Counts in the type that pruning wants, without a copy. The log's reader knows no negative ones.
fn unsigned(counts: &Int64Array) -> ArrayRef {
    let values = ScalarBuffer::new(counts.values().inner().clone(), 0, counts.len());
    Arc::new(UInt64Array::new(values, counts.nulls().cloned()))
}
