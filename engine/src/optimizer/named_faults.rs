//! A value that cannot be computed for a column says so: which column, and for which row.
//!
//! `SET q = q * 1000` overflows in some row of some file, and the library says what overflowed and nothing else. So the
//! values of UPDATE and MERGE are marked in their plan with what they are for ([`value_for`]). When the plan becomes physical
//! the mark is put around what computes the value; until then every rule sees through it. Where a rule has moved a part of
//! the value elsewhere, that part fails as it would without a mark.

use std::{fmt, hash::Hash, sync::Arc};

use boathouse_storage::{
    StorageError,
    write::{is_of_values, row_text, type_name, value_text},
};
use datafusion::{
    arrow::{
        array::{RecordBatch, new_empty_array},
        datatypes::{DataType, Field, FieldRef, Schema},
    },
    common::{
        DataFusionError, Result, ScalarValue,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Column, utils::collect_columns},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        projection::{ProjectionExec, ProjectionExpr},
    },
};

use crate::EngineError;

/// Columns of our own, which nobody has written.
const INNER: &str = "__";

/// `value`, which `column` of `table` gets and the statement writes as `sql`, as one of type `to`: a cast where it is another,
/// for rows whose number does not fit an error.
pub(crate) fn value_for(value: Expr, table: &str, column: &str, sql: &str, to: &DataType) -> Expr {
    let purpose = Purpose { table: table.to_owned(), column: column.to_owned(), sql: sql.to_owned(), to: to.clone() };
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(Marked { purpose, signature }).call(vec![value])
}

/// What a value is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Purpose {
    table: String,
    column: String,
    sql: String,
    to: DataType,
}

impl Purpose {
    fn cast(&self, value: ColumnarValue) -> Result<ColumnarValue> {
        if value.data_type() == self.to { Ok(value) } else { value.cast_to(&self.to, None) }
    }
}

/// The mark: a cast to the column's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marked {
    purpose: Purpose,
    signature: Signature,
}

impl ScalarUDFImpl for Marked {
    fn name(&self) -> &str {
        "value_for"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.purpose.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.first().is_none_or(|given| given.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.purpose.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => self.purpose.cast(value),
            None => internal_err!("a value is for a column"),
        }
    }
}

/// Puts a [`NamedFault`] in the place of every mark. Before the rules that take a projection into a scan.
#[derive(Debug)]
pub(super) struct NamedFaults;

impl PhysicalOptimizerRule for NamedFaults {
    fn name(&self) -> &str {
        "named_faults"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(projection) = node.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(node)) };
            let mut any = false;
            let mut exprs = Vec::with_capacity(projection.expr().len());
            for item in projection.expr() {
                let named = item.expr.clone().transform_up(named)?;
                any |= named.transformed;
                exprs.push(ProjectionExpr { expr: named.data, alias: item.alias.clone() });
            }
            match any {
                true => Ok(Transformed::yes(Arc::new(ProjectionExec::try_new(exprs, projection.input().clone())?))),
                false => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn named(expr: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    let found = expr.downcast_ref::<ScalarFunctionExpr>().and_then(|function| {
        let marked = function.fun().inner().downcast_ref::<Marked>()?;
        let field = function.return_field(&Schema::empty()).ok()?;
        let value = function.args().first()?.clone();
        let mut columns: Vec<Column> = collect_columns(&value).into_iter().collect();
        columns.retain(|column| !column.name().starts_with(INNER));
        columns.sort_by(|one, other| one.name().cmp(other.name()));
        let names = columns.iter().map(|column| column.name().to_owned()).collect();
        let columns = columns.into_iter().map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>);
        let parts = std::iter::once(value).chain(columns).collect();
        Some(NamedFault { purpose: marked.purpose.clone(), field, names, parts })
    });
    Ok(match found {
        Some(named) => Transformed::yes(Arc::new(named)),
        None => Transformed::no(expr),
    })
}

/// A value for a column, and the error that names both the column and the first row for which there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedFault {
    purpose: Purpose,
    field: FieldRef,
    /// What the columns that the value reads are called, wherever the rules take it.
    names: Vec<String>,
    /// The value, then these columns.
    parts: Vec<Arc<dyn PhysicalExpr>>,
}

impl NamedFault {
    /// What is wrong with the value of one row.
    fn of_row(&self, row: &RecordBatch) -> Result<(), EngineError> {
        let Purpose { table, column, sql, to } = &self.purpose;
        let value = self.value(row).and_then(|value| value.into_array(row.num_rows()));
        let value = value.map_err(|error| StorageError::NotComputed {
            table: table.clone(),
            column: column.clone(),
            sql: sql.clone(),
            reason: EngineError::from(error).message,
            row: self.shown(row),
        })?;
        if self.purpose.cast(ColumnarValue::Array(value.clone())).is_ok() {
            return Ok(());
        }
        let given = ScalarValue::try_from_array(&value, 0).map_or_else(|_| sql.clone(), |value| value_text(&value));
        let expected = type_name(to);
        let message =
            format!("column \"{column}\" of table \"{table}\" is {expected}, but the value of {sql} is {given}");
        Err(EngineError::invalid(message).with_detail(self.shown(row)))
    }

    /// The row's values in the columns that the value is computed from.
    fn shown(&self, row: &RecordBatch) -> String {
        let value = |column: &Arc<dyn PhysicalExpr>| {
            let value = column.evaluate(row)?.into_array(row.num_rows())?;
            ScalarValue::try_from_array(&value, 0)
        };
        match self.parts.iter().skip(1).map(value).collect::<Result<Vec<_>>>() {
            Ok(values) if !values.is_empty() => format!("The row has {}.", row_text(&self.names, &values)),
            _ => "It reads no column.".to_owned(),
        }
    }

    fn value(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.parts.first() {
            Some(value) => value.evaluate(batch),
            None => internal_err!("a value is for a column"),
        }
    }

    fn fault(&self, batch: &RecordBatch, error: DataFusionError) -> DataFusionError {
        if !is_of_values(&error) {
            return error;
        }
        let fault = (0..batch.num_rows()).find_map(|row| self.of_row(&batch.slice(row, 1)).err());
        fault.map_or(error, |fault| DataFusionError::External(Box::new(fault)))
    }
}

/// Shown as it would be without this.
impl fmt::Display for NamedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.first().map_or(Ok(()), |value| value.fmt(f))
    }
}

impl PhysicalExpr for NamedFault {
    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(self.field.clone())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        // A constant stands for no row when there is none.
        if batch.num_rows() == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&self.purpose.to)));
        }
        let value = self.value(batch).and_then(|value| self.purpose.cast(value));
        value.map_err(|error| self.fault(batch, error))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.parts.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let (purpose, field, names) = (self.purpose.clone(), self.field.clone(), self.names.clone());
        Ok(Arc::new(Self { purpose, field, names, parts: children }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.first().map_or(Ok(()), |value| value.fmt_sql(f))
    }
}
