//! Rows that are made in this process into a table, in one commit: generators, and what a program holds as Arrow.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError},
    catalog::streaming::StreamingTable,
    datasource::provider_as_source,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{StreamExt, stream::BoxStream};
use parking_lot::Mutex;

use super::Session;
use crate::{
    EngineError, Origin,
    parser::{self, Ast, create::Create},
    queries::Phase,
    statement::CreateTable,
};

/// Batches as they are made. An error ends the load, and no table is made or changed.
pub type Batches = BoxStream<'static, Result<RecordBatch, ArrowError>>;

impl Session {
    /// Carries out `create`, a CREATE [OR REPLACE] TABLE with its columns, and fills the table with `rows` in the same
    /// commit: readers see all of them or nothing. Columns go by name and are checked as by INSERT. Gives the row count.
    pub async fn load(&self, create: &str, schema: SchemaRef, rows: Batches) -> Result<u64, EngineError> {
        let live = self.engine.queries().begin(&Origin::default(), create, Phase::Queued);
        live.is_a("LOAD");
        self.check_change("load rows").inspect_err(|error| live.failed(error))?;
        let permit = Arc::new(self.engine.permits().acquire(self.statement_timeout(), live).await?);
        let context = self.context(create)?.for_run(permit.clone());
        let work = async move {
            let table = match parser::parse(&context.sql)? {
                Ast::Create(create) => match *create {
                    Create::Table(table) => table,
                    _ => return Err(not_a_table()),
                },
                _ => return Err(not_a_table()),
            };
            let count = Arc::new(AtomicU64::new(0));
            let plan = once(schema, rows, count.clone()).map_err(|error| context.error(error))?;
            let table = CreateTable::plan(&context, table).await?.filled_with(plan)?;
            let outcome = permit.bound(table.run(&context, &[])).await;
            permit.live().add_rows(usize::try_from(count.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
            permit.live().answered(outcome.as_ref());
            outcome?;
            Ok(count.load(Ordering::Relaxed))
        };
        self.engine.runtime().spawn(work).await?
    }
}

fn not_a_table() -> EngineError {
    EngineError::invalid("rows are loaded by a CREATE TABLE statement")
}

/// A plan that yields `rows`, the first time it runs.
pub(crate) fn once(schema: SchemaRef, rows: Batches, count: Arc<AtomicU64>) -> Result<LogicalPlan, DataFusionError> {
    let partition = Once { schema: schema.clone(), rows: Mutex::new(Some(rows)), count };
    let table = StreamingTable::try_new(schema, vec![Arc::new(partition)])?;
    LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None)?.build()
}

/// Rows that can be read once, counted as they pass.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<Batches>>,
    count: Arc<AtomicU64>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take().unwrap_or_else(|| {
            let again = ArrowError::InvalidArgumentError("these rows were read already".to_owned());
            futures::stream::iter([Err(again)]).boxed()
        });
        let count = self.count.clone();
        let rows = rows.map(move |batch| {
            let batch = batch?;
            count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            Ok(batch)
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}
