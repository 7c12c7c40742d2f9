//! `[WITH ...] SELECT ...`, `VALUES (...), ...`, and their unions: all that DataFusion plans.
//!
//! A query that was planned or answered before, on the same versions of the same tables and under the same settings, is
//! neither planned nor run again: see [`crate::cache`].

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef, common::ScalarValue, error::Result as PlanResult, logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan, sql::sqlparser::ast,
};

use super::{Context, Outcome, parameter};
use crate::{
    EngineError, RowStream,
    cache::{KeptPlan, Optimized, PlanKey, Recording, ResultKey, attach, detach, is_fixed},
    catalog::Dependency,
    queries::Phase,
};

/// A planned query.
#[derive(Debug)]
pub(crate) struct Query {
    plan: LogicalPlan,
    schema: SchemaRef,
    known: Option<Known>,
    optimized: Optimized,
}

/// By what a query's plan and rows are known.
#[derive(Debug, Clone)]
struct Known {
    key: Arc<PlanKey>,
    names: Arc<[Dependency]>,
    /// Whether its rows are, too.
    fixed: bool,
}

impl Query {
    pub async fn plan(context: &Context, query: ast::Query) -> Result<Self, EngineError> {
        let plan = parameter::settle(context.plan_query(query).await?)?;
        let plan = context.analyze(plan)?;
        let schema = context.wire_schema(&plan);
        let known = Known::of(context, &plan)?;
        Ok(Self { plan, schema, known, optimized: Optimized::default() })
    }

    /// The query that the context's key names, as it was planned before, if the names in it stand for what they stood for.
    /// Whatever goes wrong comes up again, with its place in the text, when the query is planned.
    pub async fn recall(context: &Context) -> Option<Self> {
        let key = context.plan_key.clone()?;
        let plans = context.engine.plans();
        let kept = plans.get(&key)?;
        if !context.still_holds(&kept.names).await.unwrap_or(false) {
            plans.forget(&key);
            return None;
        }
        let plan = attach(&kept.plan, &context.pinned).ok()?;
        plans.asked(true);
        let known = Known { key, names: kept.names.clone(), fixed: kept.fixed };
        Some(Self { plan, schema: kept.schema.clone(), known: Some(known), optimized: kept.optimized.clone() })
    }

    /// Keeps the plan. The context's text must be the text that the query was parsed from.
    pub fn keep(&self, context: &Context) -> Result<(), EngineError> {
        let Some(known) = &self.known else { return Ok(()) };
        let Some(plan) = detach(self.plan.clone(), &context.pinned)? else { return Ok(()) };
        let plans = context.engine.plans();
        plans.asked(false);
        let (schema, names, optimized) = (self.schema.clone(), known.names.clone(), self.optimized.clone());
        plans.put(known.key.clone(), KeptPlan { plan, schema, names, fixed: known.fixed, optimized });
        Ok(())
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        context.enter(Phase::Planning);
        let plan = parameter::bind(&self.plan, parameters)?;
        let recording = self.result_key(context, parameters).map(|key| Recording::new(context.engine.results(), key));
        let fixed = parameters.is_empty() && self.known.as_ref().is_some_and(|known| known.fixed);
        let physical = match fixed {
            true => self.optimized_once(context).await.ok(),
            false => None,
        };
        let physical = match physical {
            Some(physical) => physical,
            // What went wrong comes up again, with its place in the text.
            None => context.physical_plan(&plan).await?,
        };
        Ok(Outcome::Rows(context.execute_physical(physical, self.schema.clone(), recording)?))
    }

    /// A fixed plan without parameters is optimized for all its runs on the same snapshots.
    async fn optimized_once(&self, context: &Context) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let plan = match self.optimized.get() {
            Some(optimized) => attach(optimized, &context.pinned)?,
            None => {
                let plan = context.state.optimize(&self.plan)?;
                if let Some(detached) = detach(plan.clone(), &context.pinned)? {
                    self.optimized.get_or_init(|| detached);
                }
                plan
            }
        };
        context.state.query_planner().create_physical_plan(&plan, context.state.as_ref()).await
    }

    /// The rows of an earlier run with the same parameters, if they are kept.
    pub fn kept_rows(&self, context: &Context, parameters: &[ScalarValue]) -> Option<RowStream> {
        let rows = context.engine.results().get(&self.result_key(context, parameters)?)?;
        Some(RowStream::of_batches(self.schema.clone(), rows))
    }

    /// Whether [`Query::kept_rows`] would give some.
    pub fn has_kept_rows(&self, context: &Context, parameters: &[ScalarValue]) -> bool {
        self.result_key(context, parameters).is_some_and(|key| context.engine.results().holds(&key))
    }

    /// Whether no ORDER BY says how its rows follow one another.
    pub fn is_unordered(&self) -> bool {
        let mut plan = &self.plan;
        loop {
            plan = match plan {
                LogicalPlan::Sort(_) => return false,
                LogicalPlan::Projection(node) => &node.input,
                LogicalPlan::Filter(node) => &node.input,
                LogicalPlan::Limit(node) => &node.input,
                LogicalPlan::SubqueryAlias(node) => &node.input,
                _ => return true,
            };
        }
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub fn source(&self) -> &LogicalPlan {
        &self.plan
    }

    fn result_key(&self, context: &Context, parameters: &[ScalarValue]) -> Option<ResultKey> {
        let known = self.known.as_ref().filter(|known| known.fixed && context.result_cache)?;
        Some(ResultKey::new(&known.key, &known.names, parameters))
    }
}

/// `SELECT 1`, with which clients ask whether anyone is there.
fn is_of_expressions(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Projection(node) if matches!(*node.input, LogicalPlan::EmptyRelation(_)))
}

impl Known {
    /// `None` when the plan depends on something that cannot be told exactly, or makes rows from no table at all.
    fn of(context: &Context, plan: &LogicalPlan) -> Result<Option<Self>, EngineError> {
        let Some(key) = context.plan_key.clone() else { return Ok(None) };
        let Some(names) = context.pinned.dependencies() else { return Ok(None) };
        if names.is_empty() && !is_of_expressions(plan) {
            return Ok(None);
        }
        if detach(plan.clone(), &context.pinned)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { key, names, fixed: is_fixed(plan)? }))
    }
}
