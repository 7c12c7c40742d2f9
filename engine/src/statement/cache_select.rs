//! ```text
//! CACHE SELECT ...
//! ```
//! Brings near what the query reads: copies of its tables' files into the hot tier, where the lake has one and there is room;
//! then the query runs, its rows are thrown away, and the blocks that it reads of the other files stay in the warm tier,
//! whatever was of use there before: of wide tables only the columns that it names. The answer is that of CACHE TABLE.

use boathouse_storage::WantedFiles;
use datafusion::{
    arrow::datatypes::SchemaRef, common::ScalarValue, logical_expr::LogicalPlan, physical_plan::execute_stream,
    sql::sqlparser::ast,
};
use futures::TryStreamExt;

use super::{Context, Outcome, near, parameter};
use crate::{EngineError, queries::Phase};

#[derive(Debug)]
pub(crate) struct CacheSelect {
    query: LogicalPlan,
}

impl CacheSelect {
    pub async fn plan(context: &Context, query: ast::Query) -> Result<Self, EngineError> {
        let query = context.analyze(parameter::settle(context.plan_query(query).await?)?)?;
        Ok(Self { query })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        near::check_tiers(context, "CACHE SELECT")?;
        context.enter(Phase::Planning);
        let lake = context.engine.lake();
        let wanted = WantedFiles::of(lake, context.state.as_ref());
        let context = context.wanting(&wanted);
        let plan = context.physical_plan(&parameter::bind(&self.query, parameters)?).await?;
        if !wanted.has_tables() {
            return Err(EngineError::invalid("CACHE SELECT takes a query that reads tables of the lake"));
        }
        context.enter(Phase::Executing);
        let mut tiers: Vec<_> = lake.bring_copies(&wanted).await?.into_iter().collect();
        let mut rows = execute_stream(plan, context.task()).map_err(|error| context.error(error))?;
        while rows.try_next().await.map_err(|error| context.error(error))?.is_some() {}
        tiers.extend(lake.brought_blocks(&wanted).await);
        near::brought(&tiers)
    }

    pub fn schema(&self) -> SchemaRef {
        near::brought_schema()
    }

    pub fn source(&self) -> &LogicalPlan {
        &self.query
    }
}
