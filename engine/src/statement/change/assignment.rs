//! `column = value`: which column is meant, and whether the value fits into it.

use std::sync::Arc;

use boathouse_storage::{
    StorageError,
    write::{self, Rules},
};
use datafusion::{
    arrow::datatypes::{DataType, FieldRef, Schema},
    common::DFSchema,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, cast, expr::Placeholder},
    sql::sqlparser::{
        ast::{self, Assignment, AssignmentTarget, ObjectName, Spanned},
        tokenizer::Span,
    },
};

use super::Target;
use crate::{
    EngineError,
    error::{Place, did_you_mean},
    statement::{Context, insert::unfit, name, parameter, rules, view::folded},
};

/// A column and what it becomes.
#[derive(Debug, Clone)]
pub(crate) struct Assigned {
    pub column: FieldRef,
    pub value: ast::Expr,
}

impl Assigned {
    /// DEFAULT becomes the column's default. A column that the table computes cannot be given a value.
    pub fn new(context: &Context, target: &Target, column: FieldRef, value: ast::Expr) -> Result<Self, EngineError> {
        let is_default = matches!(&value, ast::Expr::Identifier(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
        if target.snapshot().is_generated(column.name()) {
            let message = format!("column \"{}\" is computed by the table: it cannot be set", column.name());
            let error = EngineError::invalid(message).with_hint("Leave it out.");
            return Err(error.at(&context.sql, Place::of_token_span(value.span())));
        }
        let value = match is_default && target.schema().fields().find("default").is_none() {
            true => {
                rules::default_value(target.snapshot(), column.name())?.unwrap_or(ast::Expr::value(ast::Value::Null))
            }
            false => value,
        };
        Ok(Self { column, value })
    }

    pub fn place(&self) -> Option<Place> {
        Some(self.value.span()).filter(|span| *span != Span::empty()).and_then(Place::of_token_span)
    }
}

/// The columns of SET with their values. A column may be set once.
pub(crate) fn assignments(
    context: &Context,
    target: &Target,
    given: &[Assignment],
) -> Result<Vec<Assigned>, EngineError> {
    let mut assigned: Vec<Assigned> = Vec::with_capacity(given.len());
    for (object, value) in pairs(context, given)? {
        let at = |error: EngineError| error.at(&context.sql, name::place(&object));
        let column = column(target, &object).map_err(at)?;
        if assigned.iter().any(|other| other.column == column) {
            return Err(at(EngineError::invalid(format!("column \"{}\" is set twice", column.name()))));
        }
        assigned.push(Assigned::new(context, target, column, value)?);
    }
    Ok(assigned)
}

/// `(a, b) = (1, 2)` taken apart.
fn pairs(context: &Context, given: &[Assignment]) -> Result<Vec<(ObjectName, ast::Expr)>, EngineError> {
    let mut pairs = Vec::with_capacity(given.len());
    for Assignment { target, value } in given {
        match (target, value) {
            (AssignmentTarget::ColumnName(name), value) => pairs.push((name.clone(), value.clone())),
            (AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                pairs.extend(names.iter().cloned().zip(values.iter().cloned()));
            }
            (AssignmentTarget::Tuple(names), _) => {
                let error = EngineError::unsupported(format!("{} columns set by one value", names.len()));
                return Err(error
                    .with_hint("Write one value for each: SET (a, b) = (1, 2).")
                    .at(&context.sql, Place::of_token_span(value.span())));
            }
        }
    }
    Ok(pairs)
}

fn column(target: &Target, object: &ObjectName) -> Result<FieldRef, EngineError> {
    let parts: Vec<String> = object.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
    let schema = target.schema();
    let known = |name: &str| schema.fields().find(name).map(|(_, field)| Arc::clone(field));
    let table = &target.name;
    match parts.as_slice() {
        [name] => known(name).ok_or_else(|| {
            let mut error = EngineError::not_found(format!("column \"{name}\" does not exist in table \"{table}\""));
            error.hint = did_you_mean(name, schema.fields().iter().map(|field| field.name().as_str()));
            error
        }),
        [first, name] if *first == target.alias_name() || (*first == table.name && known(first).is_none()) => {
            column(target, &ObjectName::from(vec![ast::Ident::with_quote('"', name)]))
        }
        [first, ..] if known(first).is_some() => {
            let error = EngineError::unsupported(format!("a field of column \"{first}\" cannot be set alone"));
            Err(error.with_hint("Set the whole column: named_struct('a', 1, 'b', t.column.b)."))
        }
        _ => {
            let error = EngineError::not_found(format!("\"{object}\" is not a column of table \"{table}\""));
            Err(error.with_hint("Write the column's name alone."))
        }
    }
}

/// The rows with parameters typed and types coerced. `columns` says, item by item, which column an item is a value of.
///
/// A parameter that is a whole value gets its column's type. Exact numbers are wider than they look, `a + 1` is BIGINT and
/// `price - 5` has more digits than `price`: they go into a narrower column by a cast, which fails for a row whose number
/// does not fit.
pub(crate) fn plain_rows(
    context: &Context,
    projection: Projection,
    columns: &[Option<FieldRef>],
) -> Result<LogicalPlan, EngineError> {
    let column = |at: usize| columns.get(at).and_then(Option::as_ref);
    let exprs = projection.expr.into_iter().enumerate().map(|(at, expr)| typed(expr, column(at))).collect();
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?);
    let plan = context.analyze(parameter::settle(plan)?)?;
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Err(EngineError::internal("a query without its columns"));
    };
    let exprs = expr.into_iter().enumerate().map(|(at, expr)| narrowed(expr, column(at), input.schema()));
    let exprs = exprs.collect::<Result<Vec<_>, _>>().map_err(|error| context.error(error))?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

fn typed(expr: Expr, column: Option<&FieldRef>) -> Expr {
    match (expr, column) {
        (Expr::Alias(mut alias), Some(column)) => {
            if let Expr::Placeholder(Placeholder { id, field: None }) = alias.expr.as_ref() {
                let field = column.as_ref().clone().with_nullable(true).with_metadata(Default::default());
                let placeholder = Placeholder { id: id.clone(), field: Some(Arc::new(field)) };
                alias.expr = Box::new(Expr::Placeholder(placeholder));
            }
            Expr::Alias(alias)
        }
        (other, _) => other,
    }
}

fn narrowed(expr: Expr, column: Option<&FieldRef>, input: &DFSchema) -> datafusion::error::Result<Expr> {
    let (Expr::Alias(mut alias), Some(column)) = (expr.clone(), column) else { return Ok(expr) };
    let from = alias.expr.get_type(input)?;
    let to = column.data_type();
    // A constant is judged by its value.
    if from != *to && keeps_digits(&from, to) && !alias.expr.column_refs().is_empty() {
        alias.expr = Box::new(cast(*alias.expr, to.clone()));
    }
    Ok(Expr::Alias(alias))
}

/// Whether a cast from one exact number to another fails where it would lose a digit: it rounds only behind the point.
fn keeps_digits(from: &DataType, to: &DataType) -> bool {
    let scale = |kind: &DataType| match kind {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Some(*scale),
        kind => kind.is_integer().then_some(0),
    };
    matches!((scale(from), scale(to)), (Some(from), Some(to)) if from <= to)
}

/// The rows under the table's names and types, held to its rules, with the columns beside them that are no column's of the
/// table. A value goes in only when nothing of it is lost, as with INSERT. The error shows the value that does not fit.
pub(crate) fn conform(
    context: &Context,
    target: &Target,
    rules: &Rules,
    plan: LogicalPlan,
    assigned: &[Assigned],
) -> Result<LogicalPlan, EngineError> {
    let columns: Vec<FieldRef> = target.schema().fields().iter().cloned().collect();
    conform_to(context, target, &columns, rules, plan, assigned)
}

/// The same for some of the table's columns.
pub(crate) fn conform_to(
    context: &Context,
    target: &Target,
    columns: &[FieldRef],
    rules: &Rules,
    plan: LogicalPlan,
    assigned: &[Assigned],
) -> Result<LogicalPlan, EngineError> {
    let known = |name: &str| columns.iter().any(|column| column.name() == name);
    let beside = plan.schema().fields().iter().filter(|field| !known(field.name())).cloned().collect::<Vec<_>>();
    let all = Schema::new(columns.iter().cloned().chain(beside).collect::<Vec<_>>());
    write::conform(&target.name.to_string(), &all, rules, plan).map_err(|error| {
        let place = match &error {
            StorageError::TypeMismatch { column, .. } | StorageError::NullValue { column, .. } => {
                assigned.iter().find(|assigned| assigned.column.name() == column).and_then(Assigned::place)
            }
            _ => None,
        };
        unfit(error).at(&context.sql, place)
    })
}
