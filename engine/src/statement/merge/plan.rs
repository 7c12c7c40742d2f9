//! The plan of a MERGE: the join, the clause that applies to each of its rows, what that clause gives.
//!
//! ```text
//!   values and addresses <── clause IS NOT NULL <── number of the clause <── source JOIN table with addresses
//! ```
//! Which clause applies is computed once a row, below everything that depends on it: a condition that is left to chance
//! must not be thrown twice. Each clause's values are held to the table's types by themselves.

use std::sync::Arc;

use boathouse_storage::write::{self, Action, Rules};
use datafusion::{
    arrow::datatypes::FieldRef,
    common::{Column, ScalarValue, TableReference},
    logical_expr::{Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, cast, lit},
    sql::sqlparser::ast::TableWithJoins,
};

use super::{
    ACTION, PRESENT, Source,
    clause::{Clause, Does, Kind},
    written::Written,
};
use crate::{
    EngineError,
    statement::{
        Context,
        change::{
            Assigned, Select, Sets, Target, ValueOf, column, conform_to, inlined, plain_rows, put_together,
            refuse_subqueries,
        },
    },
};

/// The number of the clause that applies to a row.
const CLAUSE: &str = "__boathouse_clause";

/// The clauses' expressions in terms of the join, types coerced, and the join.
struct Parts {
    file: Expr,
    row: Expr,
    present: Expr,
    /// One a clause.
    conditions: Vec<Option<Expr>>,
    /// One list a clause, in the order of its columns.
    values: Vec<Vec<Expr>>,
    join: LogicalPlan,
}

pub(super) async fn plan(
    context: &Context,
    target: &Target,
    rules: &Rules,
    sets: Option<&Sets>,
    source: &Source,
    clauses: &[Clause],
    join: TableWithJoins,
) -> Result<LogicalPlan, EngineError> {
    let parts = parts(context, target, source, clauses, join).await?;
    check_sides(context, target, clauses, &parts)?;
    // Of each clause's values only what a row leaves out is filled in; the rest holds for the rows that come of all.
    let (defaults, identities) = (rules.defaults.clone(), rules.identities.clone());
    let filled = Rules { defaults, identities, ..Rules::default() };
    let mut writes = Vec::with_capacity(clauses.len());
    for (clause, values) in clauses.iter().zip(&parts.values) {
        let keeps_identities = matches!(clause.does, Does::Update(_));
        let filled = Rules { keeps_identities, ..filled.clone() };
        writes.push(written(context, target, &filled, clause, values, &parts)?);
    }
    let columns: Vec<Expr> = parts.join.schema().columns().into_iter().map(Expr::Column).collect();
    let which = applies(clauses, &parts).alias(CLAUSE);
    let chosen = LogicalPlanBuilder::from(parts.join.clone())
        .project(columns.into_iter().chain([which]))
        .and_then(|plan| plan.filter(number().is_not_null()))
        .map_err(|error| context.error(error))?;
    let mut exprs = vec![parts.file.clone().alias(target.addressed.file_column())];
    exprs.push(parts.row.clone().alias(target.addressed.row_column()));
    exprs.push(by_clause(clauses.iter().map(|clause| Some(lit(action(clause) as i8)))).alias(ACTION));
    let only_deletes = clauses.iter().all(|clause| matches!(clause.does, Does::Delete));
    let written = Written::new(target, rules, sets, clauses);
    if !only_deletes {
        for (at, field) in stored(target).iter().enumerate().filter(|(_, field)| written.has(field)) {
            let values = clauses.iter().zip(&writes).map(|(clause, write)| {
                let value = write.as_ref().map(|write| write[at].clone());
                match (&clause.does, written.leaves_out(field)) {
                    // What a row had is what the table takes; it is not written.
                    (Does::Delete, false) => target_column(target, &parts, field),
                    (Does::Delete, true) => None,
                    (Does::Update(_), true) => value.filter(|_| written.is_set(field)),
                    _ => value,
                }
            });
            exprs.push(by_clause(values).alias(field.name()));
        }
    }
    let plan = chosen.project(exprs).and_then(LogicalPlanBuilder::build).map_err(|error| context.error(error))?;
    let plan = context.analyze(plan)?;
    if only_deletes {
        return Ok(plan);
    }
    let plan = conform_to(context, target, &written.columns, written.rules, plan, &[])?;
    match sets {
        Some(sets) if !written.inserts => sets.only_set(plan).map_err(|error| context.error(error)),
        _ => Ok(plan),
    }
}

/// Plans the statement's own expressions over the join.
async fn parts(
    context: &Context,
    target: &Target,
    source: &Source,
    clauses: &[Clause],
    join: TableWithJoins,
) -> Result<Parts, EngineError> {
    let mut select = Select::addresses(target).from([join]);
    select.item(column(&source.alias, PRESENT), PRESENT);
    let mut of: Vec<Option<ValueOf>> = vec![None; select.items.len()];
    for (number, clause) in clauses.iter().enumerate() {
        if let Some(condition) = &clause.condition {
            select.item(condition.clone(), &format!("condition {number}"));
            of.push(None);
        }
        for Assigned { value_column, value, .. } in given(clause) {
            select.item(value.clone(), &format!("value {number} {}", value_column.name()));
            of.push(Some(ValueOf::new(target, value_column, value)));
        }
    }
    let planned = select.planned(context, "MERGE").await?;
    // `condition 1`, `value 1 a`
    let place = |name: &str| clauses.get(name.split(' ').nth(1)?.parse::<usize>().ok()?)?.place;
    refuse_subqueries(context, &planned, place)?;
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plain_rows(context, planned, &of)? else {
        return Err(EngineError::internal("a join without its columns"));
    };
    let mut exprs = expr.into_iter().map(Expr::unalias);
    let mut next = || exprs.next().ok_or_else(|| EngineError::internal("a join with too few columns"));
    let (file, row, present) = (next()?, next()?, next()?);
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for clause in clauses {
        conditions.push(clause.condition.as_ref().map(|_| next()).transpose()?);
        values.push(given(clause).iter().map(|_| next()).collect::<Result<_, _>>()?);
    }
    Ok(Parts { file, row, present, conditions, values, join: Arc::unwrap_or_clone(input) })
}

fn given(clause: &Clause) -> &[Assigned] {
    match &clause.does {
        Does::Delete => &[],
        Does::Update(given) | Does::Insert(given) => given,
    }
}

fn action(clause: &Clause) -> Action {
    match clause.does {
        Does::Delete => Action::Delete,
        Does::Update(_) => Action::Update,
        Does::Insert(_) => Action::Insert,
    }
}

/// A row that is not matched has only one side.
fn check_sides(context: &Context, target: &Target, clauses: &[Clause], parts: &Parts) -> Result<(), EngineError> {
    let of_target = TableReference::bare(target.alias_name());
    for (number, clause) in clauses.iter().enumerate() {
        let exprs = parts.conditions[number].iter().chain(&parts.values[number]);
        let columns = exprs.flat_map(Expr::column_refs);
        let wrong = columns.into_iter().find(|column| {
            let is_target = column.relation.as_ref().is_some_and(|relation| *relation == of_target);
            match clause.kind {
                Kind::Matched => false,
                Kind::NotMatched => is_target,
                Kind::NotMatchedBySource => !is_target,
            }
        });
        let Some(column) = wrong else { continue };
        let side = if clause.kind == Kind::NotMatched { "table" } else { "source" };
        let message = format!("{} has no row of the {side} to take \"{}\" from", clause.name(), column.flat_name());
        return Err(EngineError::invalid(message).at(&context.sql, clause.place));
    }
    Ok(())
}

/// The number of the first clause that applies, NULL when none does.
fn applies(clauses: &[Clause], parts: &Parts) -> Expr {
    let (there, given) = (parts.row.clone().is_not_null(), parts.present.clone().is_not_null());
    let when = clauses.iter().zip(&parts.conditions).enumerate().map(|(at, (clause, condition))| {
        let kind = match clause.kind {
            Kind::Matched => there.clone().and(given.clone()),
            Kind::NotMatched => parts.row.clone().is_null(),
            Kind::NotMatchedBySource => parts.present.clone().is_null(),
        };
        let when = condition.iter().cloned().fold(kind, Expr::and);
        (Box::new(when), Box::new(lit(at as i64)))
    });
    Expr::Case(Case::new(None, when.collect(), None))
}

fn number() -> Expr {
    Expr::Column(Column::new_unqualified(CLAUSE))
}

/// The value of the clause that applies; NULL for a clause without one.
fn by_clause(values: impl Iterator<Item = Option<Expr>>) -> Expr {
    let values: Vec<Option<Expr>> = values.collect();
    if let [Some(first), rest @ ..] = values.as_slice()
        && rest.iter().all(|value| value.as_ref() == Some(first))
    {
        return first.clone();
    }
    let values = values.into_iter().enumerate().filter_map(|(at, value)| Some((at, value?)));
    let when = values.map(|(at, value)| (Box::new(lit(at as i64)), Box::new(value)));
    Expr::Case(Case::new(Some(Box::new(number())), when.collect(), None))
}

/// What a row of the table has in a column: NULL in one that the statement adds.
fn target_column(target: &Target, parts: &Parts, field: &FieldRef) -> Option<Expr> {
    if target.is_new(field.name()) {
        return Some(cast(lit(ScalarValue::Null), field.data_type().clone()));
    }
    let Expr::Column(row) = &parts.row else { return None };
    let value = Expr::Column(Column::new(row.relation.clone(), field.name()));
    // The statement may add fields to it.
    let schema = target.snapshot().schema();
    let there = schema.field_with_name(field.name()).ok()?;
    Some(write::aligned(value, there.data_type(), field.data_type(), None))
}

/// The columns that statements give values to: the table computes the others.
fn stored(target: &Target) -> Vec<FieldRef> {
    let schema = target.schema();
    schema.fields().iter().filter(|field| !target.snapshot().is_generated(field.name())).cloned().collect()
}

/// The values of all columns that a clause writes, under the table's types; `None` for one that writes nothing.
fn written(
    context: &Context,
    target: &Target,
    filled: &Rules,
    clause: &Clause,
    values: &[Expr],
    parts: &Parts,
) -> Result<Option<Vec<Expr>>, EngineError> {
    let assigned = given(clause);
    let value = |(assigned, value): (&Assigned, &Expr)| -> datafusion::error::Result<Expr> {
        let column = &assigned.value_column;
        if !target.evolves() || !column.data_type().is_nested() {
            return Ok(value.clone().alias(column.name()));
        }
        let from = value.get_type(parts.join.schema())?;
        let kept = if clause.keeps_fields { target_column(target, parts, column) } else { None };
        Ok(write::aligned(value.clone(), &from, column.data_type(), kept).alias(column.name()))
    };
    let exprs = assigned.iter().zip(values).map(value).collect::<datafusion::error::Result<Vec<Expr>>>();
    let mut exprs = exprs.map_err(|error| context.error(error))?;
    match clause.does {
        Does::Delete => return Ok(None),
        Does::Insert(_) => {}
        Does::Update(_) => {
            let stored = stored(target);
            let rest = stored.iter().filter(|field| assigned.iter().all(|other| other.value_column != **field));
            exprs.extend(rest.filter_map(|field| Some(target_column(target, parts, field)?.alias(field.name()))));
        }
    }
    let branch = Projection::try_new(exprs, Arc::new(parts.join.clone())).map_err(|error| context.error(error))?;
    let branch = put_together(context, target, LogicalPlan::Projection(branch), assigned)
        .map_err(|error| error.at(&context.sql, clause.place))?;
    let conformed = conform_to(context, target, &stored(target), filled, branch, assigned)
        .map_err(|error| error.at(&context.sql, clause.place))?;
    let found = inlined(&conformed).map_err(|error| context.error(error))?;
    let value = |field: &FieldRef| found.iter().find(|(name, _)| name == field.name()).map(|(_, value)| value.clone());
    let all: Option<Vec<Expr>> = stored(target).iter().map(value).collect();
    all.map(Some).ok_or_else(|| EngineError::internal("a row of MERGE without all columns"))
}
