//! ```text
//! CACHE TABLE name [WHERE predicate]
//! ```
//! Brings the table's files near: into the hot tier (Vortex copies on local disk), where the lake has one and there is room,
//! newest first; of the others all blocks into the warm tier. With WHERE the files whose partitions or statistics do not rule
//! out the predicate. Without, the table is also pinned in the hot tier until UNCACHE TABLE: files that are written later get
//! copies as well, in the background, and those of files that it no longer has go. The answer has a row for each tier: files
//! that are there now and their bytes, and files that are not, for want of room, because the tier cannot hold them or because
//! they failed, which are named. No row of any query changes.

use std::sync::Arc;

use boathouse_storage::{Snapshot, WantedFiles};
use datafusion::{arrow::datatypes::SchemaRef, common::ScalarValue, logical_expr::LogicalPlan};

use super::{Context, Outcome, name, near, parameter, restore::table_of_lake};
use crate::{EngineError, parser, queries::Phase};

#[derive(Debug)]
pub(crate) struct CacheTable {
    table: Arc<Snapshot>,
    rows: LogicalPlan,
    /// Without WHERE.
    whole: bool,
}

impl CacheTable {
    pub async fn plan(context: &Context, cache: parser::CacheTable) -> Result<Self, EngineError> {
        let object = cache.name().ok_or_else(|| EngineError::internal("CACHE TABLE without a table"))?;
        let at = |error: EngineError| error.at(&context.sql, name::place(&object));
        let name = name::target(context, &object)?;
        let table = table_of_lake(context, &name, "CACHE TABLE").await.map_err(at)?;
        let rows = context.analyze(parameter::settle(context.plan_query(*cache.rows).await?)?)?;
        Ok(Self { table, rows, whole: cache.whole })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        near::check_tiers(context, "CACHE TABLE")?;
        context.enter(Phase::Planning);
        let lake = context.engine.lake();
        let wanted = WantedFiles::of(lake, context.state.as_ref());
        context.wanting(&wanted).physical_plan(&parameter::bind(&self.rows, parameters)?).await?;
        context.enter(Phase::Executing);
        near::brought(&lake.bring_files(&wanted, &self.table, self.whole).await?)
    }

    pub fn schema(&self) -> SchemaRef {
        near::brought_schema()
    }

    pub fn source(&self) -> &LogicalPlan {
        &self.rows
    }
}
