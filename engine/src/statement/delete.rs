//! ```text
//! [WITH name AS (query), ...] DELETE FROM table [[AS] alias] [USING relation, ...] [WHERE condition]
//! ```
//! Rows for which the condition is true go; those for which it is false or NULL stay. Without a condition all rows go. A
//! condition on partition columns alone takes away whole files, none of which is read.

use boathouse_storage::write::{self, Action, Actions, RowChange};
use datafusion::{
    common::ScalarValue,
    logical_expr::LogicalPlan,
    sql::sqlparser::ast::{self, FromTable, TableWithJoins},
};
use std::collections::BTreeMap;

use super::{
    Context, Outcome,
    change::{Select, Target, outcome, plain_rows, shorten},
    name, parameter,
    refused::{Clause, refuse},
};
use crate::{EngineError, error::Place};

const NAME: &str = "DELETE";

#[derive(Debug)]
pub(crate) struct Delete {
    ast: ast::Delete,
    target: Target,
    /// The addresses of the rows that go.
    plan: LogicalPlan,
}

impl Delete {
    pub async fn plan(context: &Context, delete: ast::Delete) -> Result<Self, EngineError> {
        let mut delete = delete;
        let at = Place::of_token_span(delete.delete_token.0.span);
        refuse(context, refused(&delete), at)?;
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let [TableWithJoins { relation, joins }] = tables.as_slice() else {
            return Err(EngineError::unsupported("DELETE FROM several tables is not supported")
                .with_hint("Write DELETE FROM t USING u WHERE t.id = u.id.")
                .at(&context.sql, at));
        };
        if !joins.is_empty() {
            return Err(EngineError::unsupported("a join in DELETE FROM is not supported")
                .with_hint("Write DELETE FROM t USING u WHERE t.id = u.id.")
                .at(&context.sql, at));
        }
        let target = Target::open(context, relation, NAME).await?;
        shorten(context, &target, &mut delete);
        let of_target = TableWithJoins { relation: target.factor.clone(), joins: Vec::new() };
        let mut select = Select::addresses(&target).from([of_target]).from(delete.using.clone().unwrap_or_default());
        select.selection = delete.selection.clone();
        let plan = plain_rows(context, select.planned(context, "DELETE").await?, &[])?;
        Ok(Self { ast: delete, target, plan })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        // On the newest tables, however long ago it was planned.
        let context = context.again();
        Self::plan(&context, self.ast.clone()).await?.run_once(&context, parameters).await
    }

    async fn run_once(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let plan = parameter::bind(&self.plan, parameters)?;
        let optimized = context.state.optimize(&plan).map_err(|error| context.error(error))?;
        if let Some(filters) = self.target.whole_files(&optimized) {
            return self.target.remove_files(context, NAME, &filters).await;
        }
        let predicate = self.ast.selection.iter().map(|condition| ("predicate".to_owned(), condition.to_string()));
        let change = RowChange {
            operation: NAME,
            parameters: predicate.collect::<BTreeMap<_, _>>(),
            target: &self.target.addressed,
            plan,
            actions: Actions::All(Action::Delete),
            sets: None,
            rules: None,
            replaces: None,
            evolved: None,
        };
        let info = name::commit_info(context);
        Ok(outcome(write::change(context.engine.lake(), change, context.state.clone(), &info).await?))
    }

    /// The query that finds the rows, for EXPLAIN and parameters.
    pub fn source(&self) -> &LogicalPlan {
        &self.plan
    }
}

/// What other products take in DELETE.
fn refused(delete: &ast::Delete) -> [Clause; 7] {
    let in_subquery = "Write WHERE id IN (SELECT id ... ORDER BY ... LIMIT n).";
    let without_from = matches!(delete.from, FromTable::WithoutKeyword(_));
    [
        (delete.returning.is_some(), "RETURNING", "RETURNING", "Query the rows before."),
        (delete.output.is_some(), "OUTPUT", "OUTPUT", "Query the rows before."),
        (!delete.tables.is_empty(), "DELETE of several tables", "", "Write one DELETE for each."),
        (!delete.order_by.is_empty(), "ORDER BY in DELETE", "ORDER BY", in_subquery),
        (delete.limit.is_some(), "LIMIT in DELETE", "LIMIT", in_subquery),
        (without_from, "DELETE without FROM", "", "Write DELETE FROM t."),
        (!delete.optimizer_hints.is_empty(), "a hint in DELETE", "", "Leave it out."),
    ]
}
