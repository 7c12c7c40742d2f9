//! Checks that run while rows flow into a write: a value in every NOT NULL column, no digits that a column cannot hold.
//!
//! They are expressions inside the projection that [`super::conform`] puts on top of a query, so they need no planner of
//! their own and no plan can be written without them. They never fold away and see every row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef, TimestampNanosecondType},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use crate::StorageError;

/// `value`, or the error that it is missing. Its type says that it is never NULL.
pub(super) fn not_null(value: Expr, table: &str, column: &str) -> Expr {
    call(Check::new("not_null", Kind::NotNull, table, column), value)
}

/// `value`, a timestamp with nanoseconds, or the error that it has digits after the microseconds.
pub(super) fn whole_micros(value: Expr, table: &str, column: &str) -> Expr {
    call(Check::new("whole_microseconds", Kind::WholeMicros, table, column), value)
}

fn call(check: Check, value: Expr) -> Expr {
    ScalarUDF::new_from_impl(check).call(vec![value])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    NotNull,
    WholeMicros,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Check {
    name: &'static str,
    kind: Kind,
    table: String,
    column: String,
    signature: Signature,
}

impl Check {
    fn new(name: &'static str, kind: Kind, table: &str, column: &str) -> Self {
        // Volatile: a constant is checked like any other value, when rows flow, and the error is ours.
        let signature = Signature::any(1, Volatility::Volatile);
        Self { name, kind, table: table.to_owned(), column: column.to_owned(), signature }
    }

    fn look(&self, values: &ArrayRef) -> Result<(), StorageError> {
        let (table, column) = (self.table.clone(), self.column.clone());
        match self.kind {
            // Nulls inside a dictionary's values count, too.
            Kind::NotNull if values.logical_null_count() > 0 => Err(StorageError::NullValue { table, column }),
            Kind::NotNull => Ok(()),
            Kind::WholeMicros => {
                let nanos = values.as_primitive::<TimestampNanosecondType>();
                match nanos.iter().flatten().find(|value| value % 1000 != 0) {
                    None => Ok(()),
                    Some(value) => Err(StorageError::TypeMismatch {
                        table,
                        column,
                        expected: "TIMESTAMP, which ends at microseconds".into(),
                        given: format!(
                            "a time with {} nanoseconds after them (cut them off with date_trunc('microsecond', ...))",
                            value.rem_euclid(1000)
                        ),
                    }),
                }
            }
        }
    }
}

impl ScalarUDFImpl for Check {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        one(arg_types).cloned()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given = one(args.arg_fields)?;
        let nullable = self.kind != Kind::NotNull && given.is_nullable();
        Ok(Arc::new(Field::new(self.name, given.data_type().clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // A constant stands for no row when there is none.
        if args.number_rows == 0 {
            return Ok(one(&args.args)?.clone());
        }
        let value = one(&args.args)?.clone();
        let values = match &value {
            ColumnarValue::Array(values) => values.clone(),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        self.look(&values).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(value)
    }
}

fn one<T>(arguments: &[T]) -> Result<&T> {
    arguments.first().ok_or_else(|| DataFusionError::Internal("a check takes one value".into()))
}
