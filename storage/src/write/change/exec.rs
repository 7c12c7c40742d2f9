//! The plan that writers pull: the rows that a statement adds. What it does with the rows that are there is noted on the way.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int8Array, StringArray, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, Int8Type, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{DataFusionError, Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        ReplaceChildrenOptions, execution_plan::EmissionType, stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringBitmap;

use super::{
    Action,
    gone::{Address, AddressPlaces, Gone},
};
use crate::{
    Snapshot, StorageError,
    table::{ChangeType, FileIndex},
    write::rewrite::Patches,
};

/// What the rows of the query mean.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    /// None when rows are only inserted.
    pub(super) addresses: Option<AddressPlaces>,
    /// The column with actions; without one the action of all rows.
    pub(super) action: Result<usize, Action>,
    /// Where the table's columns are, in their order; `None` when no row is given whole.
    pub(super) columns: Option<Vec<usize>>,
    /// The table keeps a change feed: the rows that come have one column more, which says what happened to them.
    pub(super) fed: bool,
    /// Where the new values of rows are that are changed where they lie.
    pub(super) patched: Option<Vec<usize>>,
}

/// What the statement did so far.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Rows that are changed in any way.
    pub(super) gone: Gone,
    /// Those of them that were updated, for the change feed.
    pub(super) changed: Gone,
    /// New values of rows that stay where they are.
    pub(super) patches: Option<Arc<Patches>>,
    pub(super) inserted: AtomicU64,
    pub(super) updated: AtomicU64,
    pub(super) deleted: AtomicU64,
}

pub(super) struct ChangeExec {
    query: Arc<dyn ExecutionPlan>,
    roles: Roles,
    target: Arc<Snapshot>,
    /// What is written: the target's columns, behind them those that the statement adds to it, and with a change feed one
    /// that says what happened.
    schema: SchemaRef,
    done: Arc<Done>,
    properties: Arc<PlanProperties>,
}

impl ChangeExec {
    pub(super) fn new(
        query: Arc<dyn ExecutionPlan>,
        roles: Roles,
        target: &Arc<Snapshot>,
        schema: SchemaRef,
        done: Arc<Done>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(query.output_partitioning().partition_count()),
            EmissionType::Incremental,
            query.boundedness(),
        );
        Self { query, roles, target: target.clone(), schema, done, properties: Arc::new(properties) }
    }
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
    if let (Some(patched), Some(patches), Some(addresses)) = (&roles.patched, &done.patches, roles.addresses) {
        let changed: Vec<u32> = (0..rows).filter(is(Action::Update)).map(|at| at as u32).collect();
        if !changed.is_empty() {
            let (files, numbers) = addresses.of(batch, &changed)?;
            // A copy of its own, never a part of a batch that it would keep alive.
            let values = take_record_batch(&batch.project(patched)?, &UInt32Array::from(changed))?;
            patches.add(&files, numbers, values.columns().to_vec())?;
        }
    }
    let Some(columns) = &roles.columns else {
        return match inserted {
            0 => Ok(RecordBatch::new_empty(schema.clone())),
            _ => internal_err!("rows to insert without all of their columns"),
        };
    };
    let comes = |at: &usize| is(Action::Insert)(at) || roles.patched.is_none() && is(Action::Update)(at);
    let kept: Vec<u32> = (0..rows).filter(comes).map(|at| at as u32).collect();
    let values = batch.project(columns)?;
    let kinds = roles.fed.then(|| {
        let kind = |at: &u32| match is(Action::Update)(&(*at as usize)) {
            true => ChangeType::UpdatePostimage.name(),
            false => ChangeType::Insert.name(),
        };
        Arc::new(StringArray::from_iter_values(kept.iter().map(kind))) as ArrayRef
    });
    let values = if kept.len() == rows { values } else { take_record_batch(&values, &UInt32Array::from(kept))? };
    let columns = values.columns().iter().cloned().chain(kinds).zip(schema.fields());
    let columns = columns.map(|(column, field)| in_type(column, field.data_type())).collect::<Result<Vec<_>>>()?;
    // Under the table's own fields: the query's may say less of what is NULL.
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// DataFusion takes two constants for one when their timestamps are equal, whatever their zones, so that a column can come
/// in the type of its neighbour. The instant is the right one.
fn in_type(column: ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    use DataType::Timestamp;
    match (column.data_type(), kind) {
        (Timestamp(given, from), Timestamp(unit, to)) if given == unit && from != to => Ok(cast(&column, kind)?),
        _ => Ok(column),
    }
}

fn is_action(actions: &Int8Array, at: usize, action: Action) -> bool {
    actions.is_valid(at) && actions.value(at) == action as i8
}

fn matched_twice(target: &Snapshot, (file, row): Address) -> StorageError {
    StorageError::MatchedTwice { table: target.name().to_owned(), file, row, values: String::new() }
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
                let (schema, done) = (self.schema.clone(), self.done.clone());
                Ok(Arc::new(Self::new(query, self.roles.clone(), &self.target, schema, done)))
            }
            _ => internal_err!("a change has one query"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (roles, done, target) = (self.roles.clone(), self.done.clone(), self.target.clone());
        let (schema, rows) = (self.schema.clone(), self.query.execute(partition, task)?);
        let rows = rows.map(move |batch| apply(&batch?, &roles, &done, &target, &schema));
        let rows = rows.try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
