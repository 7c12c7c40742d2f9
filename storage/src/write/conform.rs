//! Schema enforcement: the same for every write, before anything is written.
//!
//! The columns of a query are matched to the table's by name. What fits without loss is cast, what is missing becomes
//! NULL, everything else is refused with the table, the column, the type expected and the one given. Constants are judged
//! by their values. What only the rows can tell (a NULL, nanoseconds) is checked as they flow, before the commit.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::Column,
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    scalar::ScalarValue,
};

use super::{
    check::{not_null, whole_micros},
    literal::{constant_exprs, describe, is_clock, survives, value},
    lossless::{cuts_nanoseconds, fits},
    type_name,
};
use crate::StorageError;

/// A plan that yields exactly the columns of `target`, in its order, from the columns of `plan` with the same names.
///
/// Refuses an unknown column, one given twice, a missing one that is NOT NULL, and a type that could lose something. A
/// plan that conforms already comes back as it is, so it does no harm to ask twice.
pub fn conform(table: &str, target: &Schema, plan: LogicalPlan) -> Result<LogicalPlan, StorageError> {
    let given = plan.schema();
    for (index, (_, field)) in given.iter().enumerate() {
        let column = field.name();
        if target.field_with_name(column).is_err() {
            return Err(StorageError::UnknownColumn { table: table.to_owned(), column: column.clone() });
        }
        if given.iter().skip(index + 1).any(|(_, other)| other.name() == column) {
            return Err(StorageError::DuplicateColumn { table: table.to_owned(), column: column.clone() });
        }
    }
    if conforms(target, &plan) {
        return Ok(plan);
    }
    let exprs = target.fields().iter().map(|field| column(table, field, &plan)).collect::<Result<Vec<_>, _>>()?;
    let projected = LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build);
    projected.map_err(|source| query_error(table, source))
}

pub(super) fn query_error(table: &str, source: DataFusionError) -> StorageError {
    StorageError::Query { table: table.to_owned(), source: Box::new(source) }
}

fn conforms(target: &Schema, plan: &LogicalPlan) -> bool {
    let given = plan.schema();
    given.fields().len() == target.fields().len()
        && target.fields().iter().zip(given.fields()).all(|(want, have)| {
            want.name() == have.name()
                && want.data_type() == have.data_type()
                && (want.is_nullable() || !have.is_nullable())
        })
}

/// The expression for one column of the table.
fn column(table: &str, want: &Field, plan: &LogicalPlan) -> Result<Expr, StorageError> {
    let name = want.name();
    let missing = || StorageError::NullValue { table: table.to_owned(), column: name.clone() };
    let found = plan.schema().iter().enumerate().find(|(_, (_, field))| field.name() == name);
    let Some((index, (qualifier, have))) = found else {
        if !want.is_nullable() {
            return Err(missing());
        }
        return Ok(cast(lit(ScalarValue::Null), want.data_type().clone()).alias(name));
    };
    let (from, to) = (have.data_type(), want.data_type());
    let mut expr = Expr::Column(Column::new(qualifier.cloned(), name));
    let constants = constant_exprs(plan, index);
    match constants.as_deref() {
        Some(constants) if check_constants(table, want, from, constants)? => {}
        _ if fits(from, to) => {
            let clock = constants.is_some_and(|exprs| exprs.iter().all(|expr| is_clock(expr)));
            if cuts_nanoseconds(from, to) && !clock {
                expr = whole_micros(expr, table, name);
            }
        }
        _ => return Err(mismatch(table, want, type_name(from))),
    }
    if from != to {
        expr = cast(expr, to.clone());
    }
    if !want.is_nullable() && have.is_nullable() {
        expr = not_null(expr, table, name);
    }
    // Nothing to do keeps the column itself, which the optimizer sees through.
    Ok(expr.alias(name))
}

/// Judges constants by their values: true when all are known and good, false when the type must decide.
fn check_constants(table: &str, want: &Field, from: &DataType, exprs: &[&Expr]) -> Result<bool, StorageError> {
    let mut all_known = true;
    for expr in exprs {
        let Some(value) = value(expr) else {
            all_known = false;
            continue;
        };
        if value.is_null() && !want.is_nullable() {
            return Err(StorageError::NullValue { table: table.to_owned(), column: want.name().clone() });
        }
        // The rows of VALUES share a type: what the value became in it counts as well.
        let shared = value.cast_to(from).unwrap_or_else(|_| value.clone());
        if !survives(&value, want.data_type()) || !survives(&shared, want.data_type()) {
            return Err(mismatch(table, want, describe(&value)));
        }
    }
    Ok(all_known)
}

fn mismatch(table: &str, want: &Field, given: String) -> StorageError {
    StorageError::TypeMismatch {
        table: table.to_owned(),
        column: want.name().clone(),
        expected: type_name(want.data_type()),
        given,
    }
}
