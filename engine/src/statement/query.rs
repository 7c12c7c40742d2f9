//! `[WITH ...] SELECT ...`, `VALUES (...), ...`, and their unions: all that DataFusion plans.

use datafusion::{arrow::datatypes::SchemaRef, common::ScalarValue, logical_expr::LogicalPlan, sql::sqlparser::ast};

use super::{Context, Outcome, parameter};
use crate::EngineError;

/// A planned query.
#[derive(Debug)]
pub(crate) struct Query {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Query {
    pub async fn plan(context: &Context, query: ast::Query) -> Result<Self, EngineError> {
        let plan = parameter::settle(context.plan_query(query).await?)?;
        Self::of_plan(context, plan)
    }

    /// A query that is planned already.
    pub fn of_plan(context: &Context, plan: LogicalPlan) -> Result<Self, EngineError> {
        let plan = context.analyze(plan)?;
        let schema = context.wire_schema(&plan);
        Ok(Self { plan, schema })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let plan = parameter::bind(&self.plan, parameters)?;
        Ok(Outcome::Rows(context.execute_rows(&plan, self.schema.clone()).await?))
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub fn source(&self) -> &LogicalPlan {
        &self.plan
    }
}
