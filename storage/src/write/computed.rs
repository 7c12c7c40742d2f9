//! What fills a generated column, computed where a fault has a name.
//!
//! The library computes an expression before whoever looks at its value is asked, so `q * 2` that overflows says neither
//! which column it was for nor for which row. Here the expression is computed inside of a function that knows both.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, new_empty_array},
    datatypes::{DataType, Field, FieldRef, Schema},
    error::ArrowError,
    record_batch::RecordBatchOptions,
};
use datafusion::{
    common::{Column, DFSchema},
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{PhysicalExpr, create_physical_expr},
    scalar::ScalarValue,
};

use super::{row_check::row_text, rules::Generated};
use crate::StorageError;

/// `expr`, which computes the column of `rule` and yields `kind`, over the columns that it reads. A fault names the column and
/// the first row that has it.
pub(super) fn computed(expr: Expr, table: &str, rule: &Generated, kind: &DataType) -> Expr {
    let mut columns: Vec<String> = expr.column_refs().into_iter().map(|column| column.name.clone()).collect();
    columns.sort_unstable();
    columns.dedup();
    // Volatile: it is computed for rows that are written, and for no other.
    let signature = match columns.is_empty() {
        true => Signature::nullary(Volatility::Volatile),
        false => Signature::variadic_any(Volatility::Volatile),
    };
    let arguments = columns.iter().map(|name| Expr::Column(Column::new_unqualified(name))).collect();
    let computed = Computed {
        table: table.to_owned(),
        column: rule.column.clone(),
        sql: rule.sql.clone(),
        expr,
        columns,
        kind: kind.clone(),
        signature,
    };
    ScalarUDF::new_from_impl(computed).call(arguments)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Computed {
    table: String,
    column: String,
    sql: String,
    expr: Expr,
    /// The columns that the expression reads, in the order of the arguments.
    columns: Vec<String>,
    kind: DataType,
    signature: Signature,
}

impl Computed {
    /// The error of the first row whose value cannot be computed.
    fn fault(&self, expr: &dyn PhysicalExpr, batch: &RecordBatch, error: DataFusionError) -> DataFusionError {
        let fault = (0..batch.num_rows()).find_map(|row| {
            let error = values(expr, &batch.slice(row, 1)).err()?;
            let row = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
            let row = row.collect::<Result<Vec<_>>>().ok()?;
            Some((reason(&error), format!("The row has {}.", row_text(&self.columns, &row))))
        });
        let (reason, row) = match fault {
            Some((reason, row)) if !self.columns.is_empty() => (reason, row),
            _ => (reason(&error), "It reads no column.".to_owned()),
        };
        let (table, column, sql) = (self.table.clone(), self.column.clone(), self.sql.clone());
        DataFusionError::External(Box::new(StorageError::NotComputed { table, column, sql, reason, row }))
    }
}

fn values(expr: &dyn PhysicalExpr, batch: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate(batch)?.into_array(batch.num_rows())
}

/// What went wrong, without the layers above it.
fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ArithmeticOverflow(text) | ArrowError::CastError(text) | ArrowError::ComputeError(text) => {
                text.clone()
            }
            other => other.to_string(),
        },
        other => other.message().into_owned(),
    }
}

impl ScalarUDFImpl for Computed {
    fn name(&self) -> &str {
        "computed"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.kind.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&self.kind)));
        }
        let arrays = args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let fields = self.columns.iter().zip(&arrays);
        let fields: Vec<Field> =
            fields.map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let planned = DFSchema::try_from(schema.clone())?;
        let rows = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &rows)?;
        let props = ExecutionProps { config_options: Some(args.config_options.clone()), ..ExecutionProps::new() };
        let expr = create_physical_expr(&self.expr, &planned, &props, &PhysicalPlanningContext::default())?;
        match values(expr.as_ref(), &batch) {
            Ok(values) => Ok(ColumnarValue::Array(values)),
            Err(error) => Err(self.fault(expr.as_ref(), &batch, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int32Array},
        datatypes::Int32Type,
    };
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    fn run(values: Vec<Option<i32>>) -> Result<ArrayRef> {
        let expr = cast(cast(col("q"), DataType::Int64) * lit(2_i64), DataType::Int32);
        let rule = Generated { column: "g".to_owned(), sql: "q * 2".to_owned(), expr: expr.clone() };
        let expr = computed(expr, "main.t", &rule, &DataType::Int32);
        let rows = values.len();
        let column: ArrayRef = Arc::new(Int32Array::from(values));
        let batch = RecordBatch::try_from_iter_with_nullable([("q", column, true)])?;
        let schema = DFSchema::try_from(batch.schema())?;
        let context = PhysicalPlanningContext::default();
        let expr = create_physical_expr(&expr, &schema, &ExecutionProps::new(), &context)?;
        expr.evaluate(&batch)?.into_array(rows)
    }

    #[test]
    fn the_first_row_that_overflows_is_told() {
        let values = run(vec![Some(1), None, Some(-3)]).unwrap();
        assert_eq!(values.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(2), None, Some(-6)]);
        assert_eq!(run(vec![]).unwrap().len(), 0);
        let error = run(vec![Some(1), Some(2_000_000_000), Some(2_000_000_001)]).unwrap_err();
        let DataFusionError::External(error) = error.find_root() else { panic!("{error}") };
        match error.downcast_ref::<StorageError>() {
            Some(StorageError::NotComputed { column, row, .. }) => {
                assert_eq!((column.as_str(), row.as_str()), ("g", "The row has q = 2000000000."));
            }
            other => panic!("{other:?}"),
        }
    }
}
