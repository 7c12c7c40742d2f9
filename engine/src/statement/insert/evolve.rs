//! INSERT WITH SCHEMA EVOLUTION: columns of the rows that the table does not have are added to it, in the same commit.
//!
//! Values belong to columns by name: those of the list, or those of the query's output. A new column has the type of its
//! values and stands behind the others.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot,
    write::{Altered, Change, Position},
};
use datafusion::{
    arrow::datatypes::{Field, FieldRef},
    sql::sqlparser::ast::{self, SelectItem, SetExpr},
};

use crate::{
    EngineError,
    catalog::TableName,
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
    let plan = context.analyze(context.plan_query(source.clone()).await?)?;
    let given: Vec<FieldRef> = plan.schema().fields().iter().map(create_table::plain).collect();
    let names: Vec<String> = match named.is_empty() {
        true => {
            check_names(&source.body)?;
            given.iter().map(|field| field.name().clone()).collect()
        }
        false => named.iter().map(column_name).collect::<Result<_, _>>()?,
    };
    if names.len() != given.len() {
        let message = format!("INSERT gives {} values for {} columns of table \"{table}\"", given.len(), names.len());
        return Err(EngineError::invalid(message));
    }
    let schema = target.schema();
    let (mut columns, mut new): (Vec<FieldRef>, Vec<Field>) = (Vec::with_capacity(names.len()), Vec::new());
    for (name, given) in names.iter().zip(&given) {
        if columns.iter().any(|column| column.name().eq_ignore_ascii_case(name)) {
            return Err(EngineError::invalid(format!("column \"{name}\" is named twice")));
        }
        // Delta compares names without case.
        match schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
            Some(field) => columns.push(Arc::clone(field)),
            None => {
                let kept = boathouse_storage::write::kept_type(given.data_type());
                let kept = kept.unwrap_or_else(|_| given.data_type().clone());
                let field = Field::new(name, kept, true);
                columns.push(Arc::new(field.clone()));
                new.push(field);
            }
        }
    }
    Ok((columns, new))
}

/// The table with the new columns that it does not have yet.
pub(super) fn altered(target: &Arc<Snapshot>, new: &[Field]) -> Result<Option<Altered>, EngineError> {
    let schema = target.schema();
    let missing = new.iter().filter(|field| schema.field_with_name(field.name()).is_err());
    let changes: Vec<Change> = missing
        .map(|field| Change::AddColumn {
            path: vec![field.name().clone()],
            field: field.clone(),
            position: Position::Last,
        })
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Altered::try_new(target, &changes)?))
}

fn column_name(name: &ast::ObjectName) -> Result<String, EngineError> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(folded),
        _ => None,
    }
    .ok_or_else(|| EngineError::invalid(format!("\"{name}\" is not the name of a column")))
}

/// Values without names could become columns of any name.
fn check_names(body: &SetExpr) -> Result<(), EngineError> {
    let unnamed = match body {
        SetExpr::Values(_) => true,
        SetExpr::Select(select) => select.projection.iter().any(|item| {
            !matches!(
                item,
                SelectItem::Wildcard(_)
                    | SelectItem::QualifiedWildcard(..)
                    | SelectItem::ExprWithAlias { .. }
                    | SelectItem::UnnamedExpr(ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))
            )
        }),
        SetExpr::SetOperation { left, .. } => return check_names(left),
        SetExpr::Query(query) => return check_names(&query.body),
        _ => false,
    };
    match unnamed {
        true => Err(EngineError::invalid("a value for a table whose columns evolve has no name").with_hint(
            "Name the columns in a list, INSERT WITH SCHEMA EVOLUTION INTO t (a, b), or the values with AS.",
        )),
        false => Ok(()),
    }
}
