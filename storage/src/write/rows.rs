//! The rows of a write: a query planned once, its streams watched.
//!
//! The library turns a query's failure into text. What failed is kept here on the way, so that the caller gets the
//! query's own error and our own refusals as they are.

use std::{fmt, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{
    catalog::Session,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::LogicalPlan,
    physical_expr::expressions::{Column, col},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, Partitioning, execution_plan::replace_children_if_necessary,
        repartition::RepartitionExec, stream::RecordBatchStreamAdapter, streaming::PartitionStream,
    },
};
use futures::StreamExt;
use parking_lot::Mutex;

use super::{commit::refusal, conform::query_error, values::as_rows};
use crate::{StorageError, maintain::Pace};

type Fault = Arc<Mutex<Option<DataFusionError>>>;
type Map = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>;

/// A planned query.
pub(super) struct Rows {
    plan: Arc<dyn ExecutionPlan>,
    /// What is made of its rows, and under which columns.
    map: Option<(SchemaRef, Map)>,
    fault: Fault,
    pace: Pace,
}

impl Rows {
    pub(super) async fn plan(table: &str, plan: &LogicalPlan, session: &dyn Session) -> Result<Self, StorageError> {
        let plan = as_rows(plan.clone()).map_err(|error| query_error(table, error))?;
        let planned = session.create_physical_plan(&plan).await;
        let plan = planned.map_err(|error| refusal(&error).unwrap_or_else(|| query_error(table, error)))?;
        Ok(Self::of(in_one_stream(&plan).map_err(|error| query_error(table, error))?.unwrap_or(plan)))
    }

    /// A query that is planned already.
    pub(super) fn of(plan: Arc<dyn ExecutionPlan>) -> Self {
        Self { plan, map: None, fault: Fault::default(), pace: Pace::default() }
    }

    /// The same rows, which let others go first.
    pub(super) fn paced(self, pace: &Pace) -> Self {
        Self { pace: pace.clone(), ..self }
    }

    /// The rows that `map` makes of those of a plan, under the columns of `schema`.
    pub(super) fn mapped(
        plan: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        map: impl Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Self {
        Self { map: Some((schema, Arc::new(map))), ..Self::of(plan) }
    }

    /// The rows as streams; with partition columns each partition's rows are in one of them.
    pub(super) fn streams(
        &self,
        partition_by: &[String],
        task: &Arc<TaskContext>,
    ) -> Result<Vec<SendableRecordBatchStream>> {
        let mut plan = self.plan.clone();
        let count = plan.output_partitioning().partition_count();
        if !partition_by.is_empty() && count > 1 {
            let schema = plan.schema();
            let keys = partition_by.iter().map(|name| col(name, &schema)).collect::<Result<Vec<_>>>()?;
            plan = Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(keys, count))?);
        }
        let count = plan.output_partitioning().partition_count();
        Ok((0..count).map(|partition| self.watched(&plan, partition).execute(task.clone())).collect())
    }

    /// The column, by its place, in whose rising order the rows come in one stream, NULL last.
    pub(super) fn sorted_by(&self) -> Option<usize> {
        if self.map.is_some() || self.plan.output_partitioning().partition_count() != 1 {
            return None;
        }
        let first = self.plan.output_ordering()?.first();
        let rises = !first.options.descending && !first.options.nulls_first;
        first.expr.downcast_ref::<Column>().filter(|_| rises).map(Column::index)
    }

    /// What the query failed with, if it did.
    pub(super) fn error(&self, table: &str) -> Option<StorageError> {
        let error = self.fault.lock().take()?;
        Some(refusal(&error).unwrap_or_else(|| query_error(table, error)))
    }

    fn watched(&self, plan: &Arc<dyn ExecutionPlan>, partition: usize) -> Watched {
        let (schema, map) = match &self.map {
            Some((schema, map)) => (schema.clone(), Some(map.clone())),
            None => (plan.schema(), None),
        };
        let (fault, pace) = (self.fault.clone(), self.pace.clone());
        Watched { schema, map, plan: plan.clone(), partition, fault, pace }
    }
}

/// The plan without the step that deals ordered rows out to several streams before it makes them fit the table: `ORDER BY`
/// at the end of a query that fills a table says how its rows are to lie in the files. `None` where there is none.
fn in_one_stream(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let [input] = plan.children()[..] else { return Ok(None) };
    let kept = plan.maintains_input_order().first().copied().unwrap_or_default();
    let one = input.output_partitioning().partition_count() == 1;
    if let Some(dealt) = plan.downcast_ref::<RepartitionExec>() {
        let deals = matches!(dealt.partitioning(), Partitioning::RoundRobinBatch(_));
        return Ok((deals && one && input.output_ordering().is_some()).then(|| input.clone()));
    }
    match kept && !one {
        true => in_one_stream(input)?.map(|input| replace_children_if_necessary(plan.clone(), vec![input])).transpose(),
        false => Ok(None),
    }
}

/// One partition of the query, its first error kept.
struct Watched {
    schema: SchemaRef,
    map: Option<Map>,
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    fault: Fault,
    pace: Pace,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl PartitionStream for Watched {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let fault = self.fault.clone();
        let keep = move |error: DataFusionError| {
            let text = error.to_string();
            fault.lock().get_or_insert(error);
            DataFusionError::Execution(text)
        };
        let stream = match self.plan.execute(self.partition, task) {
            Ok(stream) => {
                let pace = self.pace.clone();
                let paced = stream.then(move |batch| {
                    let pace = pace.clone();
                    async move {
                        pace.wait().await;
                        batch
                    }
                });
                let map = self.map.clone();
                let mapped = move |batch| match &map {
                    Some(map) => map(batch),
                    None => Ok(batch),
                };
                paced.map(move |batch| batch.and_then(&mapped).map_err(&keep)).boxed()
            }
            Err(error) => futures::stream::iter([Err(keep(error))]).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}
