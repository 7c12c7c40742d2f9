//! `schema.table.column` in a statement that changes `schema.table`.
//!
//! The query that a statement becomes reads the table under its alias, so longer names are shortened to it first. A
//! statement that reads another table of the same name keeps them: in a subquery the short name would be that one's.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, TableFactor, VisitMut, VisitorMut, visit_expressions_mut,
};

use super::Target;
use crate::{
    catalog::{DEFAULT_CATALOG, TableName},
    statement::{Context, view::folded},
};

/// Shortens the names of the target's columns everywhere in `statement`.
pub(crate) fn shorten<S: VisitMut>(context: &Context, target: &Target, statement: &mut S) {
    if target.alias_name() != target.name.name {
        // Under an alias the table has no other name.
        return;
    }
    let mut others = Others { target: &target.name, default_schema: context.default_schema(), found: false };
    let _ = VisitMut::visit(statement, &mut others);
    if others.found {
        return;
    }
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        if let Expr::CompoundIdentifier(parts) = expr
            && let Some(long) = qualifier(target, parts)
        {
            parts.splice(..long, [target.alias.clone()]);
        }
        ControlFlow::Continue(())
    });
}

/// How many parts at the beginning are the table's name with its schema.
pub(super) fn qualifier(target: &Target, parts: &[Ident]) -> Option<usize> {
    let names: Vec<String> = parts.iter().map(folded).collect();
    let TableName { schema, name } = &target.name;
    match names.as_slice() {
        [first, second, _, ..] if first == schema && second == name => Some(2),
        [catalog, first, second, _, ..] if catalog == DEFAULT_CATALOG && first == schema && second == name => Some(3),
        _ => None,
    }
}

/// Looks for other relations that are called as the target is.
struct Others<'a> {
    target: &'a TableName,
    default_schema: &'a str,
    found: bool,
}

impl VisitorMut for Others<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let is_same =
            |name: &ObjectName| TableName::of_object(name, self.default_schema).is_ok_and(|name| name == *self.target);
        let called = match factor {
            TableFactor::Table { name, alias: None, .. } if is_same(name) => None,
            TableFactor::Table { name, alias: None, .. } => name.0.last().and_then(|part| part.as_ident()).map(folded),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => Some(folded(&alias.name)),
            _ => None,
        };
        self.found |= called.is_some_and(|called| called == self.target.name);
        ControlFlow::Continue(())
    }
}
