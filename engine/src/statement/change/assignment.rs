//! `column = value`: which column is meant, and whether the value fits into it.

use std::sync::Arc;

use boathouse_storage::{
    StorageError,
    write::{self, Rules},
};
use datafusion::{
    arrow::datatypes::{DataType, FieldRef, Schema},
    common::{DFSchema, tree_node::TreeNode},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, expr::Placeholder},
    sql::sqlparser::{
        ast::{self, Assignment, AssignmentTarget, Ident, ObjectName, Spanned},
        tokenizer::Span,
    },
};

use super::{Target, nested::field_of, qualifier::qualifier};
use crate::{
    EngineError,
    error::{Place, did_you_mean, misplaced_subquery},
    optimizer::value_for,
    statement::{Context, insert::unfit, name, parameter, rules, view::folded},
};

/// A column, or a field of a struct in it, and what it becomes.
#[derive(Debug, Clone)]
pub(crate) struct Assigned {
    pub column: FieldRef,
    /// The names that lead from the column to the field; empty for the whole column.
    pub path: Vec<String>,
    /// The column itself, or one for the value of the field: called by its path, of its type.
    pub value_column: FieldRef,
    pub value: ast::Expr,
}

impl Assigned {
    /// DEFAULT becomes the column's default. A column that the table computes cannot be given a value.
    pub fn new(context: &Context, target: &Target, column: FieldRef, value: ast::Expr) -> Result<Self, EngineError> {
        if target.snapshot().is_generated(column.name()) {
            let message = format!("column \"{}\" is computed by the table: it cannot be set", column.name());
            let error = EngineError::invalid(message).with_hint("Leave it out.");
            return Err(error.at(&context.sql, Place::of_token_span(value.span())));
        }
        let value = match is_default(target, &value) {
            true => {
                rules::default_value(target.snapshot(), column.name())?.unwrap_or(ast::Expr::value(ast::Value::Null))
            }
            false => value,
        };
        Ok(Self { value_column: column.clone(), path: Vec::new(), column, value })
    }

    /// The same for a column that no rule is about.
    pub fn plain(column: FieldRef, value: ast::Expr) -> Self {
        Self { value_column: column.clone(), path: Vec::new(), column, value }
    }

    /// Whether one of two would be lost.
    fn overlaps(&self, other: &Self) -> bool {
        let shorter = self.path.len().min(other.path.len());
        self.column == other.column && self.path[..shorter] == other.path[..shorter]
    }

    pub fn place(&self) -> Option<Place> {
        Some(self.value.span()).filter(|span| *span != Span::empty()).and_then(Place::of_token_span)
    }
}

/// Whether a value is the keyword DEFAULT, and no column of this name.
pub(crate) fn is_default(target: &Target, value: &ast::Expr) -> bool {
    let is_word = matches!(value, ast::Expr::Identifier(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
    is_word && target.schema().fields().find("default").is_none()
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
        let (column, path, field) = column(target, &object).map_err(at)?;
        if target.snapshot().identity(column.name()).is_some() {
            let message = format!("column \"{}\" numbers the rows: it cannot be set", column.name());
            return Err(at(EngineError::invalid(message).with_hint("A row keeps its number. Leave the column out.")));
        }
        let mut new = Assigned::new(context, target, column, value)?;
        if !path.is_empty() {
            let name = format!("{}.{}", new.column.name(), path.join("."));
            if !target.is_new(&name) {
                return Err(at(EngineError::unsupported(format!("\"{name}\" is a column, and a field of another"))));
            }
            (new.value_column, new.path) = (Arc::new(field.as_ref().clone().with_name(name)), path);
        }
        if let Some(other) = assigned.iter().find(|other| other.overlaps(&new)) {
            let twice = if other.path.len() < new.path.len() { &other.value_column } else { &new.value_column };
            return Err(at(EngineError::invalid(format!("column \"{}\" is set twice", twice.name()))));
        }
        assigned.push(new);
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

/// The column that a target of SET names, and the field in it.
fn column(target: &Target, object: &ObjectName) -> Result<(FieldRef, Vec<String>, FieldRef), EngineError> {
    let idents: Vec<Ident> = object.0.iter().filter_map(|part| part.as_ident()).cloned().collect();
    let parts: Vec<String> = idents.iter().map(folded).collect();
    let schema = target.schema();
    let known = |name: &str| schema.fields().find(name).map(|(_, field)| Arc::clone(field));
    let (table, alias) = (&target.name, target.alias_name());
    let is_table = |name: &str| name == alias || name == table.name && known(name).is_none();
    // A column of a name that the table has as well is the table's, when a column's name follows.
    let skipped = match parts.as_slice() {
        [first, second, ..] if is_table(first) && known(second).is_some() => 1,
        _ if alias == table.name => qualifier(target, &idents).unwrap_or(0),
        _ => 0,
    };
    let Some((first, inner)) = idents.get(skipped..).and_then(<[Ident]>::split_first) else {
        return Err(EngineError::internal("SET without a column"));
    };
    let name = folded(first);
    if let Some(column) = known(&name) {
        if let Some((path, field)) = field_of(&column, inner) {
            return Ok((column, path, field));
        }
        let (whole, path) = (object.to_string(), inner.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>());
        let message = format!("column \"{name}\" of table \"{table}\" has no field \"{}\": {whole}", path.join("."));
        return Err(EngineError::not_found(message));
    }
    if !inner.is_empty() && !is_table(&parts[0]) {
        let error = EngineError::not_found(format!("\"{object}\" is not a column of table \"{table}\""));
        return Err(error.with_hint("Write the column's name alone."));
    }
    let name = if inner.is_empty() { name } else { parts[1].clone() };
    let mut error = EngineError::not_found(format!("column \"{name}\" does not exist in table \"{table}\""));
    error.hint = did_you_mean(&name, schema.fields().iter().map(|field| field.name().as_str()));
    Err(error)
}

/// What an item of a query is a value of.
#[derive(Debug, Clone)]
pub(crate) struct ValueOf {
    table: String,
    column: FieldRef,
    /// The value as the statement writes it.
    sql: String,
}

impl ValueOf {
    pub fn new(target: &Target, column: &FieldRef, value: &ast::Expr) -> Self {
        Self { table: target.name.to_string(), column: column.clone(), sql: value.to_string() }
    }
}

/// The rows with parameters typed and types coerced. `values` says, item by item, which column an item is a value of.
///
/// A parameter that is a whole value gets its column's type. Exact numbers are wider than they look, `a + 1` is BIGINT and
/// `price - 5` has more digits than `price`: they go into a narrower column by a cast, which fails for a row whose number
/// does not fit. Whatever fails for a row names the column.
pub(crate) fn plain_rows(
    context: &Context,
    projection: Projection,
    values: &[Option<ValueOf>],
) -> Result<LogicalPlan, EngineError> {
    let value = |at: usize| values.get(at).and_then(Option::as_ref);
    let exprs = projection.expr.into_iter().enumerate().map(|(at, expr)| typed(expr, value(at))).collect();
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?);
    let plan = context.analyze(parameter::settle(plan)?)?;
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
        return Err(EngineError::internal("a query without its columns"));
    };
    let exprs = expr.into_iter().enumerate().map(|(at, expr)| named(expr, value(at), input.schema()));
    let exprs = exprs.collect::<Result<Vec<_>, _>>().map_err(|error| context.error(error))?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

fn typed(expr: Expr, of: Option<&ValueOf>) -> Expr {
    match (expr, of) {
        (Expr::Alias(mut alias), Some(of)) => {
            if let Expr::Placeholder(Placeholder { id, field: None }) = alias.expr.as_ref() {
                let placeholder = Placeholder { id: id.clone(), field: Some(parameter::of_column(&of.column)) };
                alias.expr = Box::new(Expr::Placeholder(placeholder));
            }
            Expr::Alias(alias)
        }
        (other, _) => other,
    }
}

/// The value in the column's type, as far as only rows can tell whether it fits, under the column's name for its faults.
fn named(expr: Expr, of: Option<&ValueOf>, input: &DFSchema) -> datafusion::error::Result<Expr> {
    let (Expr::Alias(mut alias), Some(ValueOf { table, column, sql })) = (expr.clone(), of) else { return Ok(expr) };
    let from = alias.expr.get_type(input)?;
    let is_constant = alias.expr.column_refs().is_empty() && !has_subquery(&alias.expr);
    // A constant is judged by its value, one with a parameter when it has one; what a subquery yields only its run tells.
    let is_judged = is_constant && !matches!(write::constant_value(&alias.expr), Ok(None));
    if is_judged || matches!(*alias.expr, Expr::Placeholder(_)) {
        return Ok(expr);
    }
    let narrows = from != *column.data_type() && keeps_digits(&from, column.data_type());
    // A column as it is does not fail.
    if narrows || !matches!(*alias.expr, Expr::Column(_)) {
        let to = if narrows { column.data_type() } else { &from };
        alias.expr = Box::new(value_for(*alias.expr, table, column.name(), sql, to));
    }
    Ok(Expr::Alias(alias))
}

/// Refuses values, and conditions of clauses, that EXISTS and its like compute: the library has them in WHERE alone. `place`
/// says where an item of the projection stands.
pub(crate) fn refuse_subqueries(
    context: &Context,
    projection: &Projection,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<(), EngineError> {
    let asks = |part: &Expr| matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
    match projection.expr.iter().find(|expr| expr.exists(|part| Ok(asks(part))).unwrap_or(false)) {
        Some(expr) => Err(misplaced_subquery().at(&context.sql, place(&expr.qualified_name().1))),
        None => Ok(()),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_)))).unwrap_or(true)
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
        let value_of = |column: &String| assigned.iter().find(|assigned| assigned.value_column.name() == column);
        let (value, fails) = match &error {
            StorageError::ConstantFault { column, .. } => (value_of(column), true),
            StorageError::TypeMismatch { column, .. }
            | StorageError::NullValue { column, .. }
            | StorageError::IdentityGiven { column, .. } => (value_of(column), false),
            _ => (None, false),
        };
        let mut error = unfit(error);
        if let Some(value) = value.filter(|_| fails) {
            error.message = format!("{}: {}", error.message, value.value);
        }
        error.at(&context.sql, value.and_then(Assigned::place))
    })
}
