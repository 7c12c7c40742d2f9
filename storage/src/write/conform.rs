//! Schema enforcement: the same for every write, before anything is written.
//!
//! The columns of a query are matched to the table's by name. What fits without loss is cast, what is missing becomes
//! NULL or its default, everything else is refused with the table, the column, the type expected and the one given.
//! Constants are judged by their values. What only the rows can tell (a NULL, nanoseconds, the table's rules) is checked
//! as they flow, before the commit.
//!
//! ```text
//! query --names, types, defaults--> --generated columns--> --CHECK constraints--> the table's columns
//! ```

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::Column,
    error::DataFusionError,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr, cast, lit},
    scalar::ScalarValue,
};

use super::{
    check::{not_null, whole_micros},
    computed::computed,
    in_place::in_place,
    literal::{constant_exprs, constant_value, described, is_clock, rounded, rounded_beside, survives},
    lossless::{cuts_nanoseconds, fits},
    required::{has_required, with_required},
    row_check::row_check,
    rules::{Check, Generated, Rules},
    type_name,
};
use crate::StorageError;

/// A plan that yields exactly the columns of `target`, in its order, from the columns of `plan` with the same names, every
/// row checked against `rules`.
///
/// Refuses an unknown column, one given twice, a missing one that is NOT NULL, and a type that could lose something. A
/// plan that conforms already to a table without rules comes back as it is, so it does no harm to ask twice.
pub fn conform(table: &str, target: &Schema, rules: &Rules, plan: LogicalPlan) -> Result<LogicalPlan, StorageError> {
    let given = plan.schema();
    for (index, (_, field)) in given.iter().enumerate() {
        let column = field.name();
        if target.field_with_name(column).is_err() {
            return Err(StorageError::UnknownColumn { table: table.to_owned(), column: column.clone() });
        }
        if given.iter().skip(index + 1).any(|(_, other)| other.name() == column) {
            return Err(StorageError::DuplicateColumn { table: table.to_owned(), column: column.clone() });
        }
        let numbered = rules.identities.iter().find(|numbers| numbers.identity().column == *column);
        if !rules.keeps_identities && numbered.is_some_and(|numbers| !numbers.identity().by_default) {
            return Err(StorageError::IdentityGiven { table: table.to_owned(), column: column.clone() });
        }
    }
    let absent = |rule: &&Generated| plan.schema().iter().all(|(_, field)| *field.name() != rule.column);
    let filled: Vec<&Generated> = rules.generated.iter().filter(absent).collect();
    let given: Vec<&Generated> = rules.generated.iter().filter(|rule| !absent(rule)).collect();
    let mut plan = plan;
    if conforms(target, &plan) {
        check_faults(table, target, &plan)?;
    } else {
        let stored = target.fields().iter().filter(|field| filled.iter().all(|rule| rule.column != *field.name()));
        let exprs = stored.map(|field| column(table, field, rules, &plan)).collect::<Result<Vec<_>, _>>()?;
        plan = project(table, plan, exprs)?;
    }
    if !filled.is_empty() {
        let exprs = target.fields().iter().map(|field| match filled.iter().find(|rule| rule.column == *field.name()) {
            Some(rule) => generated(table, field, rule, &plan),
            None => Ok(Expr::Column(Column::new_unqualified(field.name()))),
        });
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        plan = project(table, plan, exprs)?;
    }
    let same = given.into_iter().map(|rule| same_as_computed(table, target, rule));
    let mut checks = same.collect::<Result<Vec<Check>, _>>()?;
    checks.extend(rules.checks.iter().cloned());
    if checks.is_empty() { Ok(plan) } else { checked(table, target, &checks, plan) }
}

fn project(table: &str, plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, StorageError> {
    let projected = LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build);
    projected.map_err(|source| query_error(table, source))
}

/// The expression that fills a generated column.
fn generated(table: &str, want: &Field, rule: &Generated, plan: &LogicalPlan) -> Result<Expr, StorageError> {
    let from = rule.expr.get_type(plan.schema()).map_err(|source| query_error(table, source))?;
    let mut expr = in_place(rule.expr.clone()).map_err(|source| query_error(table, source))?;
    let to = want.data_type();
    expr = match from == *to || has_required(to) {
        true => computed(expr, table, rule, &from),
        false => computed(cast(expr, to.clone()), table, rule, to),
    };
    if from != *to && has_required(to) {
        expr = with_required(expr, table, want.name(), to);
    }
    if !want.is_nullable() {
        expr = not_null(expr, table, want.name());
    }
    Ok(expr.alias(want.name()))
}

/// The protocol asks that `value <=> expression` is TRUE for a generated column whose value is given.
fn same_as_computed(table: &str, target: &Schema, rule: &Generated) -> Result<Check, StorageError> {
    let given = Expr::Column(Column::new_unqualified(&rule.column));
    let expr = in_place(rule.expr.clone()).map_err(|source| query_error(table, source))?;
    let field = target.field_with_name(&rule.column).map_err(|error| query_error(table, error.into()))?;
    let expr = computed(cast(expr, field.data_type().clone()), table, rule, field.data_type());
    Ok(Check {
        rule: format!("generated column \"{}\"", rule.column),
        sql: rule.sql.clone(),
        expr: binary_expr(given, Operator::IsNotDistinctFrom, expr),
    })
}

/// All rules hang on the first column: nothing can take it from a write.
fn checked(table: &str, target: &Schema, checks: &[Check], plan: LogicalPlan) -> Result<LogicalPlan, StorageError> {
    let in_place = |check: &Check| Ok(Check { expr: in_place(check.expr.clone())?, ..check.clone() });
    let checks = checks.iter().map(in_place).collect::<datafusion::error::Result<Vec<Check>>>();
    let checks = checks.map_err(|source| query_error(table, source))?;
    let exprs = target.fields().iter().enumerate().map(|(index, field)| {
        let value = Expr::Column(Column::new_unqualified(field.name()));
        match index {
            0 => checks.iter().fold(value, |value, check| row_check(value, table, target, check)).alias(field.name()),
            _ => value,
        }
    });
    let exprs = exprs.collect();
    project(table, plan, exprs)
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
fn column(table: &str, want: &Field, rules: &Rules, plan: &LogicalPlan) -> Result<Expr, StorageError> {
    let name = want.name();
    let missing = || StorageError::NullValue { table: table.to_owned(), column: name.clone() };
    let found = plan.schema().iter().enumerate().find(|(_, (_, field))| field.name() == name);
    let Some((index, (qualifier, have))) = found else {
        if let Some(numbers) = rules.identities.iter().find(|numbers| numbers.identity().column == *name) {
            return Ok(numbers.expr(table).alias(name));
        }
        if let Some((_, default)) = rules.defaults.iter().find(|(column, _)| column == name) {
            let value = typed(default.clone(), table, want);
            let value = if want.is_nullable() { value } else { not_null(value, table, name) };
            return Ok(value.alias(name));
        }
        if !want.is_nullable() {
            return Err(missing());
        }
        return Ok(cast(lit(ScalarValue::Null), want.data_type().clone()).alias(name));
    };
    let (from, to) = (have.data_type(), want.data_type());
    let mut expr = Expr::Column(Column::new(qualifier.cloned(), name));
    let constants = constant_exprs(plan, index);
    let judged = constants.as_deref().map(|all| check_constants(table, want, from, all)).transpose()?;
    let is_kept = |expr: &Expr| constant_value(expr).is_ok_and(|v| v.is_some_and(|v| survives(&v, to)));
    let clock = constants.is_some_and(|all| all.iter().all(|expr| is_clock(expr) || is_kept(expr)));
    match judged {
        Some(Judged::Good) => {}
        _ if fits(from, to) => {
            if cuts_nanoseconds(from, to) && !clock {
                expr = whole_micros(expr, table, name);
            }
        }
        _ if clock && matches!((from, to), (DataType::Timestamp(..), DataType::Timestamp(..))) => {}
        _ => return Err(mismatch(table, want, type_name(from))),
    }
    if from != to {
        expr = typed(expr, table, want);
    }
    if !want.is_nullable() && have.is_nullable() {
        expr = not_null(expr, table, name);
    }
    // Nothing to do keeps the column itself, which the optimizer sees through.
    Ok(expr.alias(name))
}

/// A value in the column's type, into which its own fits.
fn typed(value: Expr, table: &str, want: &Field) -> Expr {
    match has_required(want.data_type()) {
        true => with_required(value, table, want.name(), want.data_type()),
        false => cast(value, want.data_type().clone()),
    }
}

/// What is known of constants that are not bad.
enum Judged {
    Good,
    /// The type must decide.
    Unknown,
}

/// Judges constants by their values.
fn check_constants(table: &str, want: &Field, from: &DataType, exprs: &[&Expr]) -> Result<Judged, StorageError> {
    let mut judged = Judged::Good;
    for expr in exprs {
        let Some(value) = constant_value(expr).map_err(|error| constant_fault(table, want, error))? else {
            judged = Judged::Unknown;
            continue;
        };
        if value.is_null() && !want.is_nullable() {
            return Err(StorageError::NullValue { table: table.to_owned(), column: want.name().clone() });
        }
        // The rows of VALUES share a type: what the value became in it counts as well.
        let shared = value.cast_to(from).unwrap_or_else(|_| value.clone());
        if !survives(&value, want.data_type()) || !survives(&shared, want.data_type()) {
            return Err(mismatch(table, want, described(&value)));
        }
        if let Some(written) = rounded(expr, &value, want.data_type()) {
            let given = format!("{written}, to which {value} is the nearest DOUBLE");
            return Err(mismatch(table, want, given));
        }
        if let Some(written) = rounded_beside(expr, &value, want.data_type()) {
            let given = format!("{written}, to which {value}, its value beside a DOUBLE, is only the nearest");
            return Err(mismatch(table, want, given));
        }
    }
    Ok(judged)
}

/// Refuses constants that yield no value, of columns that need nothing else.
fn check_faults(table: &str, target: &Schema, plan: &LogicalPlan) -> Result<(), StorageError> {
    for (index, want) in target.fields().iter().enumerate() {
        for expr in constant_exprs(plan, index).unwrap_or_default() {
            if !matches!(expr, Expr::Literal(..)) {
                constant_value(expr).map_err(|error| constant_fault(table, want, error))?;
            }
        }
    }
    Ok(())
}

fn constant_fault(table: &str, want: &Field, source: DataFusionError) -> StorageError {
    StorageError::ConstantFault { table: table.to_owned(), column: want.name().clone(), source: Box::new(source) }
}

fn mismatch(table: &str, want: &Field, given: String) -> StorageError {
    StorageError::TypeMismatch {
        table: table.to_owned(),
        column: want.name().clone(),
        expected: type_name(want.data_type()),
        given,
    }
}
