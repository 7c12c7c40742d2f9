//! Columns of the rows of an INSERT that the table does not have, added to it in the same commit. A new column has the type
//! of its values and stands behind the others. So does a new field of a STRUCT, also of one in an ARRAY or a MAP; fields of
//! the table that a value lacks are NULL in it.
//!
//! What is new is said by fields: one under a name that the table does not have is a new column, one under the name of a
//! nested column has the type of its values, whose fields the column gets.
//!
//! WITH SCHEMA EVOLUTION values belong to columns by name: those of the list, or those of the query's output. Where only
//! the table says that it evolves, statements mean what they always mean: values of a list belong to its names, others to
//! the table's columns in their order, and what a query yields behind these are new columns under its names.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot,
    write::{self, Altered, Change, Position},
};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    logical_expr::{ExprSchemable, LogicalPlan, Projection},
    sql::sqlparser::ast::{self, SelectItem, SetExpr},
};

use crate::{
    EngineError,
    catalog::TableName,
    error::did_you_mean,
    statement::{Context, create_table, view::folded},
};

/// The columns that values are given for, and those of them that the table does not have.
pub(super) async fn columns(
    context: &Context,
    table: &TableName,
    target: &Snapshot,
    named: &[ast::ObjectName],
    source: &ast::Query,
) -> Result<(Vec<FieldRef>, Vec<Field>), EngineError> {
    let given = given(context, source).await?;
    let names: Vec<String> = match named.is_empty() {
        true => {
            check_names(&source.body, 0)?;
            given.iter().map(|field| field.name().clone()).collect()
        }
        false => named.iter().map(column_name).collect::<Result<_, _>>()?,
    };
    if names.len() != given.len() {
        let message = format!("INSERT gives {} values for {} columns of table \"{table}\"", given.len(), names.len());
        return Err(EngineError::invalid(message));
    }
    matched(&target.schema(), &names, &given, true)
}

/// The table's columns that the query's are called, for BY NAME.
pub(super) async fn names(
    context: &Context,
    table: &TableName,
    target: &Snapshot,
    source: &ast::Query,
) -> Result<Vec<FieldRef>, EngineError> {
    check_names(&source.body, 0).map_err(|_| {
        EngineError::invalid("a value of INSERT ... BY NAME has no name")
            .with_hint("Name it with AS, or name the columns in a list, INSERT INTO t (a, b) ..., without BY NAME.")
    })?;
    let given = given(context, source).await?;
    let names: Vec<String> = given.iter().map(|field| field.name().clone()).collect();
    let schema = target.schema();
    let (columns, new) = matched(&schema, &names, &given, false)?;
    let Some(unknown) = new.first() else { return Ok(columns) };
    let message = format!("column \"{}\" does not exist in table \"{table}\"", unknown.name());
    let mut error = EngineError::not_found(message);
    error.hint = did_you_mean(unknown.name(), schema.fields().iter().map(|field| field.name().as_str()))
        .or_else(|| Some("INSERT WITH SCHEMA EVOLUTION adds it to the table.".into()));
    Err(error)
}

/// The same for a table that says by itself that it evolves; nothing when there is no new column.
pub(super) async fn further_columns(
    context: &Context,
    table: &TableName,
    target: &Snapshot,
    named: &[ast::ObjectName],
    source: &ast::Query,
) -> Result<Option<(Vec<FieldRef>, Vec<Field>)>, EngineError> {
    let schema = target.schema();
    let known = |name: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let may_grow = schema.fields().iter().any(|field| field.data_type().is_nested());
    if !named.is_empty() {
        let names = named.iter().map(column_name).collect::<Result<Vec<_>, _>>()?;
        if names.iter().all(|name| known(name)) {
            // What is wrong with the rows is found when they are planned; DEFAULT is not one of them yet.
            let found = if may_grow { columns(context, table, target, named, source).await.ok() } else { None };
            return Ok(found.filter(|(_, new)| !new.is_empty()));
        }
        return columns(context, table, target, named, source).await.map(Some);
    }
    if matches!(*source.body, SetExpr::Values(_)) {
        return Ok(None);
    }
    let there = schema.fields().len();
    let mut named = source.clone();
    super::name_values(&mut named.body, there);
    let given = given(context, &named).await?;
    if given.len() < there || given.len() == there && !may_grow {
        return Ok(None);
    }
    check_names(&source.body, there)?;
    let further = given.iter().skip(there).map(|field| field.name().clone());
    if let Some(name) = further.clone().find(|name| known(name)) {
        let message = format!(
            "the query gives {} columns, and \"{name}\" behind those of table \"{table}\" is one of them",
            given.len()
        );
        let hint = "Name the columns in a list, or write INSERT WITH SCHEMA EVOLUTION, which goes by names.";
        return Err(EngineError::invalid(message).with_hint(hint));
    }
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).chain(further).collect();
    let found = matched(&schema, &names, &given, true)?;
    Ok(Some(found).filter(|(_, new)| !new.is_empty()))
}

async fn given(context: &Context, source: &ast::Query) -> Result<Vec<FieldRef>, EngineError> {
    let plan = context.analyze(context.plan_query(source.clone()).await?)?;
    Ok(plan.schema().fields().iter().map(create_table::plain).collect())
}

/// The table's column of each column of some rows, and those that the table does not have; of one that `evolves` also what
/// its nested columns lack.
pub(crate) fn by_names(
    schema: &SchemaRef,
    given: &Schema,
    evolves: bool,
) -> Result<(Vec<FieldRef>, Vec<Field>), EngineError> {
    let given: Vec<FieldRef> = given.fields().iter().map(create_table::plain).collect();
    let names: Vec<String> = given.iter().map(|field| field.name().clone()).collect();
    matched(schema, &names, &given, evolves)
}

/// The table's column of each name, or a new one of the type that is given.
fn matched(
    schema: &SchemaRef,
    names: &[String],
    given: &[FieldRef],
    nested: bool,
) -> Result<(Vec<FieldRef>, Vec<Field>), EngineError> {
    let (mut columns, mut new): (Vec<FieldRef>, Vec<Field>) = (Vec::with_capacity(names.len()), Vec::new());
    for (name, given) in names.iter().zip(given) {
        if columns.iter().any(|column| column.name().eq_ignore_ascii_case(name)) {
            return Err(EngineError::invalid(format!("column \"{name}\" is named twice")));
        }
        // Delta compares names without case.
        match schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
            Some(field) => {
                columns.push(Arc::clone(field));
                if nested && write::reshapes(given.data_type(), field.data_type()) {
                    new.push(new_column(field.name(), given));
                }
            }
            None => {
                let field = new_column(name, given);
                columns.push(Arc::new(field.clone()));
                new.push(field);
            }
        }
    }
    Ok((columns, new))
}

/// A new column for values of this type.
pub(crate) fn new_column(name: &str, given: &Field) -> Field {
    let kept = boathouse_storage::write::kept_type(given.data_type());
    Field::new(name, kept.unwrap_or_else(|_| given.data_type().clone()), true)
}

/// The table with the new columns and fields that it does not have yet.
pub(crate) fn altered(target: &Arc<Snapshot>, new: &[Field]) -> Result<Option<Altered>, EngineError> {
    let schema = target.schema();
    let mut changes = Vec::new();
    for field in new {
        let path = vec![field.name().clone()];
        match schema.field_with_name(field.name()) {
            Ok(there) => inner_changes(&path, there.data_type(), field.data_type(), &mut changes),
            Err(_) => changes.push(Change::AddColumn { path, field: field.clone(), position: Position::Last }),
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Altered::try_new(target, &changes)?))
}

/// The fields that `given` has at any depth and `there`, the type at `path`, has not.
fn inner_changes(path: &[String], there: &DataType, given: &DataType, changes: &mut Vec<Change>) {
    let below = |name: &str| path.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>();
    match (there, given) {
        (DataType::Struct(there), DataType::Struct(given)) => {
            for field in given {
                // Delta compares names without case.
                match there.iter().find(|there| there.name().eq_ignore_ascii_case(field.name())) {
                    Some(there) => {
                        inner_changes(&below(there.name()), there.data_type(), field.data_type(), changes);
                    }
                    None => changes.push(Change::AddColumn {
                        path: below(field.name()),
                        field: new_column(field.name(), field),
                        position: Position::Last,
                    }),
                }
            }
        }
        (DataType::List(there), DataType::List(given)) => {
            inner_changes(&below("element"), there.data_type(), given.data_type(), changes);
        }
        (DataType::Map(there, _), DataType::Map(given, _)) => {
            let pair = |entries: &FieldRef| match entries.data_type() {
                DataType::Struct(pair) => pair.clone(),
                _ => Fields::empty(),
            };
            for (name, (there, given)) in ["key", "value"].into_iter().zip(pair(there).iter().zip(&pair(given))) {
                inner_changes(&below(name), there.data_type(), given.data_type(), changes);
            }
        }
        _ => {}
    }
}

/// The rows, which have the names of their columns, with nested values in the shape that `columns` have: those for which
/// `new` says so.
pub(crate) fn shaped(plan: LogicalPlan, columns: &Schema, new: &[Field]) -> Result<LogicalPlan, EngineError> {
    if new.iter().all(|field| !field.data_type().is_nested()) {
        return Ok(plan);
    }
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else { return Ok(plan) };
    let mut exprs = Vec::with_capacity(expr.len());
    for expr in expr {
        let name = expr.qualified_name().1;
        match columns.field_with_name(&name) {
            Ok(column) if new.iter().any(|field| *field.name() == name) => {
                let value = expr.unalias();
                let from = value.get_type(input.schema())?;
                exprs.push(write::aligned(value, &from, column.data_type(), None).alias(name));
            }
            _ => exprs.push(expr),
        }
    }
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

fn column_name(name: &ast::ObjectName) -> Result<String, EngineError> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(folded),
        _ => None,
    }
    .ok_or_else(|| EngineError::invalid(format!("\"{name}\" is not the name of a column")))
}

/// Values without names could become columns of any name. Those before the one at `from` are no new columns.
fn check_names(body: &SetExpr, from: usize) -> Result<(), EngineError> {
    let unnamed = match body {
        SetExpr::Values(_) => true,
        SetExpr::Select(select) => select.projection.iter().skip(from).any(|item| {
            !matches!(
                item,
                SelectItem::Wildcard(_)
                    | SelectItem::QualifiedWildcard(..)
                    | SelectItem::ExprWithAlias { .. }
                    | SelectItem::UnnamedExpr(ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))
            )
        }),
        SetExpr::SetOperation { left, .. } => return check_names(left, from),
        SetExpr::Query(query) => return check_names(&query.body, from),
        _ => false,
    };
    match unnamed {
        true => Err(EngineError::invalid("a value for a table whose columns evolve has no name").with_hint(
            "Name the columns in a list, INSERT WITH SCHEMA EVOLUTION INTO t (a, b), or the values with AS.",
        )),
        false => Ok(()),
    }
}
