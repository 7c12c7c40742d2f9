//! Names to tables of `system`.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{TableProvider, streaming::StreamingTable},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::stream;

use super::{cache, caches, exports, marts, queries, tiers, upkeep, users};
use crate::{Engine, Identity, catalog::TableName, statement::Context, tier};

/// Tables of `system`, sorted.
pub(crate) const TABLES: &[&str] = &[
    "cache",
    "caches",
    "mart_columns",
    "mart_exports",
    "mart_runs",
    "mart_tests",
    "marts",
    "queries",
    "tiers",
    "tokens",
    "upkeep",
    "users",
];

/// One of the tables.
pub(crate) fn table(context: &Context, name: &TableName) -> Option<Arc<dyn TableProvider>> {
    let (kind, schema) = match name.name.as_str() {
        _ if name.schema != "system" => return None,
        "cache" => (Kind::Cache, cache::schema()),
        "caches" => (Kind::Caches, caches::schema()),
        "mart_columns" => (Kind::MartColumns, marts::column_schema()),
        "mart_exports" => (Kind::MartExports, exports::schema()),
        "mart_runs" => (Kind::MartRuns, marts::run_schema()),
        "mart_tests" => (Kind::MartTests, marts::test_schema()),
        "marts" => (Kind::Marts, marts::schema()),
        "queries" => (Kind::Queries, queries::schema()),
        "tiers" => (Kind::Tiers, tiers::schema()),
        "tokens" => (Kind::Tokens, users::token_schema()),
        "upkeep" => (Kind::Upkeep, upkeep::schema()),
        "users" => (Kind::Users, users::schema()),
        _ => return None,
    };
    let source = Source { kind, schema, engine: context.engine.clone(), caller: context.session.identity() };
    let table = StreamingTable::try_new(source.schema.clone(), vec![Arc::new(source)]).ok()?;
    Some(Arc::new(table))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cache,
    Caches,
    MartColumns,
    MartExports,
    MartRuns,
    MartTests,
    Marts,
    Queries,
    Tiers,
    Tokens,
    Upkeep,
    Users,
}

/// A table, about to be read.
struct Source {
    kind: Kind,
    schema: SchemaRef,
    engine: Arc<Engine>,
    caller: Identity,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system.{:?}", self.kind)
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (kind, schema, engine) = (self.kind, self.schema.clone(), self.engine.clone());
        let caller = self.caller.clone();
        let batch = async move {
            Ok(match kind {
                Kind::Cache => cache::rows(&schema, &engine.lake().table_cache_usages())?,
                Kind::Caches => caches::rows(&schema, &engine.cache_usages().await)?,
                Kind::MartColumns => marts::column_rows(&schema, &marts::all(engine.lake()).await.map_err(external)?)?,
                Kind::MartExports => exports::rows(&schema, &exports::all(engine.lake()).await.map_err(external)?)?,
                Kind::MartRuns => marts::run_rows(&schema, &marts::all(engine.lake()).await.map_err(external)?)?,
                Kind::MartTests => marts::test_rows(&schema, &marts::all(engine.lake()).await.map_err(external)?)?,
                Kind::Marts => marts::rows(&schema, &marts::all(engine.lake()).await.map_err(external)?)?,
                Kind::Queries => queries::rows(&schema, &engine.queries().seen_by(&caller))?,
                Kind::Tiers => {
                    let tables = engine.tiers(None, tier::now_ms()).await.map_err(external)?;
                    tiers::rows(&schema, &tables, &engine.config().prices)?
                }
                Kind::Tokens => {
                    users::token_rows(&schema, &*engine.users().newest().await.map_err(external)?, &caller)?
                }
                Kind::Upkeep => upkeep::rows(&schema, &engine.upkeep().all())?,
                Kind::Users => users::rows(&schema, &*engine.users().newest().await.map_err(external)?, &caller)?,
            })
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::once(batch)))
    }
}

fn external(error: crate::EngineError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
