//! ```text
//! [WITH name AS (query), ...] MERGE [WITH SCHEMA EVOLUTION] INTO table [[AS] alias] USING { table | (query) } [AS] alias ON condition
//!   { WHEN MATCHED [AND condition] THEN { UPDATE SET column = value, ... | UPDATE SET * | DELETE }
//!   | WHEN NOT MATCHED [BY TARGET] [AND condition] THEN { INSERT [(column, ...)] VALUES (value, ...) | INSERT * }
//!   | WHEN NOT MATCHED BY SOURCE [AND condition] THEN { UPDATE SET column = value, ... | DELETE } } ...
//! ```
//! For each row the first clause applies whose kind and condition fit; a row without one stays as it is. `*` gives each
//! column of the table the source's column of the same name. Two source rows that would change one row are an error. With
//! schema evolution the table gets the source's columns that it does not have, as far as `*` or a clause names them.
//!
//! The statement becomes one join. `clause` reads the clauses, `plan` puts their conditions and values over the join,
//! `written` says which of the table's columns that takes.

mod clause;
mod evolve;
mod plan;
mod written;

use std::collections::BTreeMap;

use boathouse_storage::write::{self, Actions, RowChange, Rules};
use datafusion::{
    arrow::datatypes::FieldRef,
    common::ScalarValue,
    logical_expr::LogicalPlan,
    sql::sqlparser::ast::{
        self, Ident, Join, JoinConstraint, JoinOperator, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
    },
};

use self::clause::{Clause, Kind};
use super::{
    Context, Outcome,
    change::{Sets, Target, outcome, shorten},
    name, parameter, property,
    refused::refuse,
    rules,
};
use crate::{EngineError, error::Place, parser};

const NAME: &str = "MERGE";
/// Tells in the join whether there is a source row.
const PRESENT: &str = "__boathouse_source";
/// What is done with a row.
const ACTION: &str = "__boathouse_action";

#[derive(Debug)]
pub(crate) struct Merge {
    ast: ast::Merge,
    /// `WITH SCHEMA EVOLUTION`
    asked: bool,
    target: Target,
    rules: Rules,
    /// `None`: updated rows are written whole.
    sets: Option<Sets>,
    plan: LogicalPlan,
}

/// The relation that is merged into the table.
pub(super) struct Source {
    pub alias: Ident,
    factor: TableFactor,
    /// Its columns, where the table evolves with them.
    columns: Option<Vec<FieldRef>>,
}

impl Merge {
    pub async fn plan(context: &Context, merge: ast::Merge, asked: bool) -> Result<Self, EngineError> {
        let mut merge = merge;
        let at = Place::of_token_span(merge.merge_token.0.span);
        let clauses = [
            (merge.output.is_some(), "RETURNING", "RETURNING", "Query the rows afterwards."),
            (!merge.optimizer_hints.is_empty(), "a hint in MERGE", "", "Leave it out."),
        ];
        refuse(context, clauses, at)?;
        let mut target = Target::open(context, &merge.table, NAME).await?;
        shorten(context, &target, &mut merge);
        let mut source = Source::of(&merge.source).map_err(|error| error.at(&context.sql, at))?;
        if asked || property::evolves(target.snapshot()) {
            evolve::evolve(context, &mut target, &mut source, &merge.clauses).await?;
        }
        let clauses = clause::clauses(context, &target, &source, &merge.clauses)?;
        let join = join(&merge, &target, &source, &clauses);
        let rules = rules::of_changed(context, target.snapshot())?;
        let sets = clause::sets(&target, &rules, &clauses);
        let plan = plan::plan(context, &target, &rules, sets.as_ref(), &source, &clauses, join).await?;
        Ok(Self { ast: merge, asked, target, rules, sets, plan })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        // On the newest tables, however long ago it was planned.
        let context = context.again();
        Self::plan(&context, self.ast.clone(), self.asked).await?.run_planned(&context, parameters).await
    }

    /// On the tables as they were when it was planned, in the same context.
    pub async fn run_planned(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let change = RowChange {
            operation: NAME,
            parameters: BTreeMap::from([("predicate".to_owned(), self.ast.on.to_string())]),
            target: &self.target.addressed,
            plan: parameter::bind(&self.plan, parameters)?,
            actions: Actions::Column(ACTION),
            sets: self.sets.as_ref().map(|sets| sets.names.as_slice()),
            rules: Some(&self.rules),
            replaces: None,
            evolved: self.target.evolved().cloned(),
        };
        let info = name::commit_info(context);
        Ok(outcome(write::change(context.engine.lake(), change, context.for_merge().state, &info).await?))
    }

    /// The join with what is done with its rows, for EXPLAIN and parameters.
    pub fn source(&self) -> &LogicalPlan {
        &self.plan
    }
}

impl Source {
    /// The source with a column that is there for each of its rows, under its own alias.
    fn of(factor: &TableFactor) -> Result<Self, EngineError> {
        let alias = match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => alias.name.clone(),
            TableFactor::Table { name, alias: None, args: None, .. } => {
                match name.0.last().and_then(|p| p.as_ident()) {
                    Some(name) => name.clone(),
                    None => return Err(EngineError::invalid(format!("\"{name}\" is not the name of a table"))),
                }
            }
            _ => {
                let error = EngineError::invalid("the source of MERGE needs a name");
                return Err(error.with_hint("Write USING (...) AS s."));
            }
        };
        let mut query = parser::parse_query(&format!("SELECT *, true AS {PRESENT}"))?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = vec![TableWithJoins { relation: factor.clone(), joins: Vec::new() }];
            debug_assert!(matches!(select.projection.first(), Some(SelectItem::Wildcard(_))));
        }
        let outer = TableAlias { explicit: true, name: alias.clone(), columns: Vec::new(), at: None };
        let factor = TableFactor::Derived { lateral: false, subquery: query, alias: Some(outer), sample: None };
        Ok(Self { alias, factor, columns: None })
    }
}

/// The source comes first: it is the side that is held in memory, and whose keys choose the files of the table.
fn join(merge: &ast::Merge, target: &Target, source: &Source, clauses: &[Clause]) -> TableWithJoins {
    let on = JoinConstraint::On(merge.on.as_ref().clone());
    let has = |kind: Kind| clauses.iter().any(|clause| clause.kind == kind);
    let join_operator = match (has(Kind::NotMatched), has(Kind::NotMatchedBySource)) {
        (false, false) => JoinOperator::Inner(on),
        (true, false) => JoinOperator::LeftOuter(on),
        (false, true) => JoinOperator::RightOuter(on),
        (true, true) => JoinOperator::FullOuter(on),
    };
    let joined = Join { relation: target.factor.clone(), global: false, join_operator };
    TableWithJoins { relation: source.factor.clone(), joins: vec![joined] }
}
