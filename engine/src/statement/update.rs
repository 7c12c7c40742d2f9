//! ```text
//! [WITH name AS (query), ...] UPDATE table [[AS] alias] SET column[.field] = value, ... [FROM relation, ...] [WHERE condition]
//! ```
//! Values see the row as it was; DEFAULT is the column's default, or NULL. The table computes its generated columns anew. A row that several rows of FROM match is an error: which of them it took would be chance.

use std::collections::BTreeMap;

use boathouse_storage::write::{self, Action, Actions, RowChange, Rules};
use datafusion::{
    arrow::datatypes::FieldRef,
    common::ScalarValue,
    logical_expr::LogicalPlan,
    sql::sqlparser::ast::{self, TableWithJoins, UpdateTableFromKind},
};

use super::{
    Context, Outcome,
    change::{
        Assigned, Select, Sets, Target, ValueOf, assignments, column, conform, conform_to, outcome, plain_rows,
        put_together, refuse_subqueries, shorten,
    },
    name, parameter,
    refused::{Clause, refuse},
    rules,
};
use crate::{EngineError, error::Place};

const NAME: &str = "UPDATE";

#[derive(Debug)]
pub(crate) struct Update {
    ast: ast::Update,
    target: Target,
    assigned: Vec<Assigned>,
    rules: Rules,
    /// `None`: rows are written whole.
    sets: Option<Sets>,
    /// The addresses of the rows that change, and the values that they get, as the statement gives them.
    rows: LogicalPlan,
    /// The same under the table's types.
    plan: LogicalPlan,
}

impl Update {
    pub async fn plan(context: &Context, update: ast::Update) -> Result<Self, EngineError> {
        let mut update = update;
        let at = Place::of_token_span(update.update_token.0.span);
        refuse(context, refused(&update), at)?;
        let target = Target::open(context, &update.table.relation, NAME).await?;
        shorten(context, &target, &mut update);
        let rules = rules::of_changed(context, target.snapshot())?;
        let assigned = assignments(context, &target, &update.assignments)?;
        let mut select = Select::addresses(&target);
        let mut values: Vec<Option<ValueOf>> = vec![None; select.items.len()];
        let sets = Sets::new(&target, &rules, assigned.iter().map(|assigned| &assigned.column));
        let is_given = |field: &FieldRef| {
            !target.snapshot().is_generated(field.name()) && sets.as_ref().is_none_or(|sets| sets.needs(field))
        };
        for field in target.schema().fields().iter().filter(|field| is_given(field)) {
            let whole = assigned.iter().find(|assigned| assigned.value_column == *field);
            let value = match whole {
                Some(assigned) => assigned.value.clone(),
                None => column(&target.alias, field.name()),
            };
            values.push(Some(ValueOf::new(&target, field, &value)));
            select.item(value, field.name());
        }
        for Assigned { value, value_column, .. } in assigned.iter().filter(|assigned| !assigned.path.is_empty()) {
            values.push(Some(ValueOf::new(&target, value_column, value)));
            select.item(value.clone(), value_column.name());
        }
        let of_target = TableWithJoins { relation: target.factor.clone(), joins: Vec::new() };
        let from = match &update.from {
            Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => from.clone(),
            None => Vec::new(),
        };
        select = select.from([of_target]).from(from);
        select.selection = update.selection.clone();
        let place = |name: &str| assigned.iter().find(|to| to.value_column.name() == name).and_then(Assigned::place);
        let planned = select.planned(context, "UPDATE").await?;
        refuse_subqueries(context, &planned, place)?;
        let rows = plain_rows(context, planned, &values)?;
        let mut planned = Self { ast: update, target, assigned, rules, sets, plan: rows.clone(), rows };
        planned.plan = planned.conformed(context, planned.rows.clone())?;
        Ok(planned)
    }

    /// Rows under the table's types, held to its rules.
    fn conformed(&self, context: &Context, rows: LogicalPlan) -> Result<LogicalPlan, EngineError> {
        let rows = put_together(context, &self.target, rows, &self.assigned)?;
        let Some(sets) = &self.sets else {
            return conform(context, &self.target, &self.rules, rows, &self.assigned);
        };
        let plan = conform_to(context, &self.target, &sets.columns, &sets.rules, rows, &self.assigned)?;
        sets.only_set(plan).map_err(|error| context.error(error))
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        // On the newest tables, however long ago it was planned.
        let context = context.again();
        Self::plan(&context, self.ast.clone()).await?.run_once(&context, parameters).await
    }

    async fn run_once(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        // Values are put in before types, so that each is judged as the constant that it is.
        let rows = parameter::bind(&self.rows, parameters)?;
        let plan = self.conformed(context, rows)?;
        let predicate = self.ast.selection.iter().map(|condition| ("predicate".to_owned(), condition.to_string()));
        let change = RowChange {
            operation: NAME,
            parameters: predicate.collect::<BTreeMap<_, _>>(),
            target: &self.target.addressed,
            plan,
            actions: Actions::All(Action::Update),
            sets: self.sets.as_ref().map(|sets| sets.names.as_slice()),
            rules: Some(&self.rules),
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

/// What other products take in UPDATE.
fn refused(update: &ast::Update) -> [Clause; 8] {
    let in_subquery = "Write WHERE id IN (SELECT id ... ORDER BY ... LIMIT n).";
    let join = "Write UPDATE t SET ... FROM u WHERE t.id = u.id.";
    let before_set = matches!(update.from, Some(UpdateTableFromKind::BeforeSet(_)));
    [
        (update.returning.is_some(), "RETURNING", "RETURNING", "Query the rows afterwards."),
        (update.output.is_some(), "OUTPUT", "OUTPUT", "Query the rows afterwards."),
        (!update.table.joins.is_empty(), "a join before SET", "JOIN", join),
        (before_set, "FROM before SET", "FROM", join),
        (update.or.is_some(), "UPDATE OR ...", "OR", "Leave it out: tables have no unique keys."),
        (!update.order_by.is_empty(), "ORDER BY in UPDATE", "ORDER BY", in_subquery),
        (update.limit.is_some(), "LIMIT in UPDATE", "LIMIT", in_subquery),
        (!update.optimizer_hints.is_empty(), "a hint in UPDATE", "", "Leave it out."),
    ]
}
