//! `SET a.b = value`: one field of a struct, the others stay as they are.
//!
//! The value is a column of its own in the statement's query until it is held to the field's type; then the struct is put
//! together anew around it. A struct that is NULL becomes one in which only this field has a value.

use boathouse_storage::{table::nullable_parts, write::Rules};
use datafusion::{
    arrow::datatypes::{DataType, FieldRef, Fields},
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    functions::core::expr_fn::{get_field, named_struct},
    logical_expr::{Case, Expr, LogicalPlan, Projection, cast, lit},
    sql::sqlparser::ast::Ident,
};

use super::{Assigned, Target, assignment::conform_to};
use crate::{
    EngineError,
    statement::{Context, view::folded},
};

/// The fields that lead to the one that `path` names, below a column.
pub(super) fn field_of(column: &FieldRef, path: &[Ident]) -> Option<(Vec<String>, FieldRef)> {
    let (mut names, mut field) = (Vec::with_capacity(path.len()), column.clone());
    for ident in path {
        let DataType::Struct(fields) = field.data_type() else { return None };
        let next = find(fields, ident)?.clone();
        names.push(next.name().clone());
        field = next;
    }
    Some((names, field))
}

/// A struct's field is data and is as it is written, or else as SQL folds it.
fn find<'f>(fields: &'f Fields, ident: &Ident) -> Option<&'f FieldRef> {
    let exact = |name: &str| fields.iter().find(|field| field.name() == name);
    exact(&ident.value).or_else(|| exact(&folded(ident)))
}

/// Whether a value is one of the statement's for a field, and not for a whole column.
fn is_nested(assigned: &&Assigned) -> bool {
    !assigned.path.is_empty()
}

/// The rows with the structs put together around the values of their fields, which are columns beside them so far.
pub(crate) fn put_together(
    context: &Context,
    target: &Target,
    rows: LogicalPlan,
    assigned: &[Assigned],
) -> Result<LogicalPlan, EngineError> {
    let leaves: Vec<FieldRef> =
        assigned.iter().filter(is_nested).map(|assigned| assigned.value_column.clone()).collect();
    if leaves.is_empty() {
        return Ok(rows);
    }
    let LogicalPlan::Projection(Projection { expr, input, .. }) = rows else {
        return Err(EngineError::internal("a query without its columns"));
    };
    let name = |expr: &Expr| expr.qualified_name().1;
    let (values, columns): (Vec<Expr>, Vec<Expr>) =
        expr.into_iter().partition(|expr| leaves.iter().any(|leaf| *leaf.name() == name(expr)));
    let values = LogicalPlan::Projection(Projection::try_new(values, input.clone())?);
    let values = conform_to(context, target, &leaves, &Rules::default(), values, assigned)?;
    let values = inlined(&values).map_err(|error| context.error(error))?;
    let value = |of: &Assigned| {
        let found = values.iter().find(|(name, _)| name == of.value_column.name());
        found.map(|(_, value)| value.clone()).ok_or_else(|| EngineError::internal("a field without its value"))
    };
    let mut exprs = Vec::with_capacity(columns.len());
    for expr in columns {
        let name = name(&expr);
        let mut changes = Vec::new();
        for of in assigned.iter().filter(is_nested).filter(|of| *of.column.name() == name) {
            changes.push((of, value(of)?));
        }
        exprs.push(match changes.first() {
            None => expr,
            Some((first, _)) => {
                let kind = first.column.data_type();
                let changes: Vec<(&[String], Expr)> =
                    changes.iter().map(|(of, value)| (of.path.as_slice(), value.clone())).collect();
                with_fields(expr.unalias(), kind, &changes).alias(name)
            }
        });
    }
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
}

/// `value`, a struct, with other values at some paths in it.
fn with_fields(value: Expr, kind: &DataType, changes: &[(&[String], Expr)]) -> Expr {
    if let [(path, new)] = changes
        && path.is_empty()
    {
        return new.clone();
    }
    let DataType::Struct(fields) = kind else { return value };
    if changes.is_empty() {
        return value;
    }
    let parts = fields.iter().flat_map(|field| {
        let inner = changes.iter().filter_map(|(path, new)| match path.split_first() {
            Some((first, rest)) if first == field.name() => Some((rest, new.clone())),
            _ => None,
        });
        let old = get_field(value.clone(), field.name().as_str());
        // A field that is NOT NULL has some value or other where the whole struct is NULL.
        let old = match field.is_nullable() {
            true => old,
            false => {
                let is_there = (Box::new(value.clone().is_not_null()), Box::new(old));
                Expr::Case(Case::new(None, vec![is_there], None))
            }
        };
        [lit(field.name().as_str()), with_fields(old, field.data_type(), &inner.collect::<Vec<_>>())]
    });
    // Values are looked at for NOT NULL while rows flow; a cast would refuse the type.
    cast(named_struct(parts.collect()), nullable_parts(kind))
}

/// The columns of projections upon projections, by name, in terms of what lies under the last of them.
pub(crate) fn inlined(plan: &LogicalPlan) -> datafusion::error::Result<Vec<(String, Expr)>> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(Vec::new()) };
    let below = inlined(&projection.input)?;
    let mut columns = Vec::with_capacity(projection.expr.len());
    for expr in &projection.expr {
        let name = expr.schema_name().to_string();
        let value = expr.clone().unalias().transform(|part| match &part {
            Expr::Column(column) if column.relation.is_none() => {
                match below.iter().find(|(name, _)| *name == column.name) {
                    Some((_, value)) => Ok(Transformed::yes(value.clone())),
                    None => Ok(Transformed::no(part)),
                }
            }
            _ => Ok(Transformed::no(part)),
        });
        columns.push((name, value.data()?));
    }
    Ok(columns)
}
