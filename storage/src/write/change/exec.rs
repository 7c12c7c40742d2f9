//! The plan that writers pull: first the new rows of the statement, then the survivors of the files that it touched.
//!
//! Every partition begins with its part of the query. Which files are touched is known when the last of them has ended;
//! until then the others wait. So all partitions must be pulled at once, and one that fails or is given up lets the
//! others fail.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int8Array, StringArray, UInt32Array, new_null_array},
    compute::take_record_batch,
    datatypes::{DataType, Int8Type, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    catalog::Session,
    common::{DataFusionError, Result, exec_datafusion_err, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        ReplaceChildrenOptions, execution_plan::EmissionType, stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringBitmap;
use tokio::sync::{OnceCell, watch};

use super::{
    Action,
    gone::{Address, AddressPlaces, Gone},
};
use crate::{
    Snapshot, StorageError,
    table::{ChangeType, FileIndex},
    write::feed::fed_columns,
};

/// What the rows of the query mean.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    /// None when rows are only inserted.
    pub(super) addresses: Option<AddressPlaces>,
    /// The column with actions; without one the action of all rows.
    pub(super) action: Result<usize, Action>,
    /// Where the table's columns are, in their order; none when rows are only deleted.
    pub(super) columns: Option<Vec<usize>>,
    /// The table keeps a change feed: the rows that come have one column more, which says what happened to them.
    pub(super) fed: bool,
}

/// What the statement did so far, shared with those who wait for its end.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) gone: Gone,
    /// Those of them that were updated, for the change feed.
    pub(super) changed: Gone,
    pub(super) inserted: AtomicU64,
    pub(super) updated: AtomicU64,
    pub(super) deleted: AtomicU64,
}

/// How far the partitions are.
#[derive(Debug, Clone)]
struct Progress {
    /// Partitions whose part of the query has not ended.
    running: usize,
    failed: Option<Arc<DataFusionError>>,
}

pub(super) struct ChangeExec {
    query: Arc<dyn ExecutionPlan>,
    roles: Roles,
    target: Arc<Snapshot>,
    /// What is written: the target's columns, and behind them those that the statement adds to it.
    columns: SchemaRef,
    session: Arc<dyn Session>,
    /// Rows stay where they are, hidden by deletion vectors: no file is copied.
    hides: bool,
    schema: SchemaRef,
    pub(super) done: Arc<Done>,
    progress: watch::Sender<Progress>,
    survivors: Arc<OnceCell<Option<Arc<dyn ExecutionPlan>>>>,
    properties: Arc<PlanProperties>,
}

impl ChangeExec {
    pub(super) fn new(
        query: Arc<dyn ExecutionPlan>,
        roles: Roles,
        target: &Arc<Snapshot>,
        columns: SchemaRef,
        session: &Arc<dyn Session>,
        hides: bool,
    ) -> Self {
        let running = query.output_partitioning().partition_count();
        // Copying keeps every thread busy, however the query is split.
        let partitions = running.max(session.config().target_partitions()).max(1);
        let schema = match roles.fed {
            true => Arc::new(fed_columns(&columns)),
            false => columns.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            query.boundedness(),
        );
        Self {
            query,
            roles,
            target: target.clone(),
            columns,
            session: session.clone(),
            hides,
            schema,
            done: Arc::default(),
            progress: watch::Sender::new(Progress { running, failed: None }),
            survivors: Arc::default(),
            properties: Arc::new(properties),
        }
    }

    /// The new rows of one partition of the query.
    fn new_rows(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let turn = Turn { progress: self.progress.clone(), ended: false };
        let (roles, done, target) = (self.roles.clone(), self.done.clone(), self.target.clone());
        let (schema, input) = (self.schema.clone(), self.query.execute(partition, task)?);
        let rows = futures::stream::try_unfold((input, turn), move |(mut input, mut turn)| {
            let (roles, done, target, schema) = (roles.clone(), done.clone(), target.clone(), schema.clone());
            async move {
                let Some(batch) = input.next().await else {
                    turn.end();
                    return Ok(None);
                };
                let written = batch.and_then(|batch| apply(&batch, &roles, &done, &target, &schema));
                match written {
                    Ok(batch) => Ok(Some((batch, (input, turn)))),
                    Err(error) => Err(turn.fail(error)),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }

    /// What is left of the touched files, this partition's share, once all of the query has ended.
    fn rest(&self, partition: usize, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (target, session, done) = (self.target.clone(), self.session.clone(), self.done.clone());
        let (survivors, mut progress) = (self.survivors.clone(), self.progress.subscribe());
        let columns = self.columns.clone();
        let (hides, partitions) = (self.hides, self.properties.partitioning.partition_count());
        let (fed, schema) = (self.roles.fed, self.schema.clone());
        let rows = async move {
            // Those who wait are woken by a failure, too.
            let ended = progress.wait_for(|progress| progress.running == 0 || progress.failed.is_some()).await;
            let ended = ended.map_err(|_| exec_datafusion_err!("a write was given up"))?.clone();
            if let Some(error) = ended.failed {
                return Err(DataFusionError::Shared(error));
            }
            let plan = survivors
                .get_or_try_init(|| async {
                    let mut gone = touched(&target, done.gone.copy()).map_err(external)?;
                    let index = target.files().map_err(external)?;
                    gone.retain(|file, _| !(hides && is_counted(index, *file)));
                    if gone.is_empty() {
                        return Ok::<_, DataFusionError>(None);
                    }
                    Ok(Some(target.survivors(session.as_ref(), &gone).await.map_err(external)?))
                })
                .await?
                .clone();
            let Some(plan) = plan else { return Ok(futures::stream::empty().boxed()) };
            let shares = (partition..plan.output_partitioning().partition_count()).step_by(partitions);
            let streams = shares.map(move |share| plan.execute(share, task.clone()));
            let rows = futures::stream::iter(streams).try_flatten();
            Ok(rows.map(move |batch| batch.and_then(|batch| with_new_columns(&batch, &columns))).boxed())
        };
        let rows = futures::stream::once(rows).try_flatten();
        let rows = rows.map(move |batch| match fed {
            true => unchanged(&batch?, &schema),
            false => batch,
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

/// Columns that the table did not have are NULL in rows that were there.
fn with_new_columns(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() == columns.fields().len() {
        return Ok(batch.clone());
    }
    let new = columns.fields().iter().skip(batch.num_columns());
    let new = new.map(|field| new_null_array(field.data_type(), batch.num_rows()));
    Ok(RecordBatch::try_new(columns.clone(), batch.columns().iter().cloned().chain(new).collect())?)
}

/// The files of which some rows are left, as far as the log knows.
pub(super) fn touched(
    target: &Snapshot,
    mut gone: BTreeMap<usize, RoaringBitmap>,
) -> Result<BTreeMap<usize, RoaringBitmap>, StorageError> {
    let index = target.files()?;
    gone.retain(|file, rows| index.visible_rows(*file) != Some(rows.len()));
    Ok(gone)
}

/// Whether a file's rows may be hidden by a vector: the log must say how many there are.
pub(super) fn is_counted(index: &FileIndex, file: usize) -> bool {
    index.stored_rows().is_valid(file)
}

fn external(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Rows of a table with a change feed that stayed as they were.
fn unchanged(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    columns.push(new_null_array(&DataType::Utf8, batch.num_rows()));
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Notes the rows of a batch that go; gives those that come.
fn apply(
    batch: &RecordBatch,
    roles: &Roles,
    done: &Done,
    target: &Snapshot,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let actions = match roles.action {
        Ok(column) => Some(batch.column(column).as_primitive::<Int8Type>()),
        Err(_) => None,
    };
    let is = |action: Action| {
        let all = roles.action == Err(action);
        move |at: &usize| all || actions.is_some_and(|actions| is_action(actions, *at, action))
    };
    if let Some(addresses) = roles.addresses {
        let (deleted, twice) = done.gone.add(batch, addresses, (0..rows).filter(is(Action::Delete)))?;
        // Where rows are only deleted it does no harm to find one again.
        if let (Some(address), Ok(_)) = (twice, &roles.action) {
            return Err(external(matched_twice(target, address)));
        }
        let (updated, twice) = done.gone.add(batch, addresses, (0..rows).filter(is(Action::Update)))?;
        if let Some(address) = twice {
            return Err(external(matched_twice(target, address)));
        }
        if roles.fed {
            done.changed.add(batch, addresses, (0..rows).filter(is(Action::Update)))?;
        }
        done.deleted.fetch_add(deleted, Ordering::Relaxed);
        done.updated.fetch_add(updated, Ordering::Relaxed);
    }
    let inserted = (0..rows).filter(is(Action::Insert)).count() as u64;
    done.inserted.fetch_add(inserted, Ordering::Relaxed);
    let Some(columns) = &roles.columns else { return Ok(RecordBatch::new_empty(schema.clone())) };
    let values = batch.project(columns)?;
    let kept: Vec<u32> =
        (0..rows).filter(|at| is(Action::Update)(at) || is(Action::Insert)(at)).map(|at| at as u32).collect();
    let kinds = roles.fed.then(|| {
        let kind = |at: &u32| match is(Action::Update)(&(*at as usize)) {
            true => ChangeType::UpdatePostimage.name(),
            false => ChangeType::Insert.name(),
        };
        Arc::new(StringArray::from_iter_values(kept.iter().map(kind))) as ArrayRef
    });
    let values = if kept.len() == rows { values } else { take_record_batch(&values, &UInt32Array::from(kept))? };
    // Under the table's own fields: the query's may say less of what is NULL.
    Ok(RecordBatch::try_new(schema.clone(), values.columns().iter().cloned().chain(kinds).collect())?)
}

fn is_action(actions: &Int8Array, at: usize, action: Action) -> bool {
    actions.is_valid(at) && actions.value(at) == action as i8
}

fn matched_twice(target: &Snapshot, (file, row): Address) -> StorageError {
    StorageError::MatchedTwice { table: target.name().to_owned(), file, row, values: String::new() }
}

/// One partition's part of the query. Given up before its end, it lets the others know.
struct Turn {
    progress: watch::Sender<Progress>,
    ended: bool,
}

impl Turn {
    fn end(&mut self) {
        self.ended = true;
        self.progress.send_modify(|progress| progress.running -= 1);
    }

    fn fail(&mut self, error: DataFusionError) -> DataFusionError {
        let error = Arc::new(error);
        self.ended = true;
        self.progress.send_modify(|progress| progress.failed = progress.failed.take().or(Some(error.clone())));
        DataFusionError::Shared(error)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.fail(exec_datafusion_err!("a write was given up"));
        }
    }
}

impl fmt::Debug for ChangeExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeExec").field("target", &self.target.name()).finish_non_exhaustive()
    }
}

impl DisplayAs for ChangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ChangeExec: {}", self.target.name())
    }
}

impl ExecutionPlan for ChangeExec {
    fn name(&self) -> &str {
        "ChangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.query]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(query), true) => {
                let mut other =
                    Self::new(query, self.roles.clone(), &self.target, self.columns.clone(), &self.session, self.hides);
                other.done = self.done.clone();
                Ok(Arc::new(other))
            }
            _ => internal_err!("a change has one query"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rest = self.rest(partition, task.clone());
        if partition >= self.query.output_partitioning().partition_count() {
            return Ok(rest);
        }
        let rows = self.new_rows(partition, task)?.chain(rest);
        let rows = rows.try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
