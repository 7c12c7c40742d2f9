//! A change from its query to its commit.

use std::sync::{Arc, atomic::Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::{Expr, LogicalPlan},
};

use super::{
    Action, Actions, Changed, Replaces, RowChange,
    equal::take_equal,
    exec::{ChangeExec, Done, Roles},
    gone::AddressPlaces,
    hide::{hide, hides_rows},
    history::{self, copied_rows, metrics, predicate_parameter},
    rest::{left, write_rest},
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{Addressed, prune, scanned_snapshot},
    task_context,
    write::{
        CommitInfo, Committed,
        commit::refusal,
        conflict::Reads,
        conform::query_error,
        data::{FileLayout, write_rows},
        fed::{Fed, write_fed},
        feed::{self, Taken},
        identity::numbered,
        near_store::near_store,
        once::done_before,
        rewrite::Patches,
        rows::Rows,
        transaction::{Operation, Transaction},
    },
};

/// Carries out a statement that changes rows in place: runs its query once, writes what comes of it, and commits once.
/// Nothing of the size of the table is held in memory: one bit a changed row at most.
///
/// `MatchedTwice` when a row would be changed a second time; `Conflict` when rows that were read changed meanwhile;
/// `AppendOnly` and `Unsupported` for a table that must not, or cannot, be changed.
pub async fn change(
    lake: &Lake,
    change: RowChange<'_>,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Changed, StorageError> {
    let target = change.target.snapshot();
    check_changeable(target)?;
    if let Some(done) = done_before(lake, target, info).await? {
        return Ok(told(done));
    }
    match change.rules {
        Some(rules) => rules.check_complete(target)?,
        None if change.actions == Actions::All(Action::Delete) => {}
        None => crate::write::Rules::default().check_complete(target)?,
    }
    let table = target.name();
    let query = session.create_physical_plan(&change.plan).await;
    let query = query.map_err(|error| refusal(&error).unwrap_or_else(|| query_error(table, error)))?;
    let (columns, layout, feed_layout) = match &change.evolved {
        Some(altered) => (altered.schema()?, altered.layout()?, altered.feed_layout()?),
        None => (target.schema(), FileLayout::of_table(target), FileLayout::of_feed(target)),
    };
    let roles = roles(&change, &columns, &query.schema())?;
    let hides = hides_rows(target);
    let patches = patches(&change, session.as_ref())?;
    let done = Arc::new(Done { patches: patches.clone(), ..Done::default() });
    let given = if target.keeps_feed() { Arc::new(feed::fed_columns(&columns)) } else { columns };
    let exec = Arc::new(ChangeExec::new(query, roles, target, given.clone(), done.clone()));
    let (store, rows) = (near_store(lake.store_registry(), target)?, Rows::of(exec));
    let task = task_context(session.as_ref());
    let written = match target.keeps_feed() {
        true => write_fed(&layout, &feed_layout, &rows, &store, &task).await,
        false => write_rows(&layout, &rows, &store, &task).await.map(Fed::of_data),
    };
    let Fed { data: files, changes } = match written {
        Err(StorageError::MatchedTwice { file, row, .. }) => {
            let values = target.describe_row(session.as_ref(), file, row).await.unwrap_or_default();
            return Err(StorageError::MatchedTwice { table: table.to_owned(), file, row, values });
        }
        written => written?,
    };
    let mut transaction = Transaction::new(lake, target, Operation::default())?;
    let mut added = files.len();
    let come = if matches!(change.replaces, Some(Replaces::Equal(_))) { files.clone() } else { Vec::new() };
    transaction.add_written(files)?;
    let replaced = match &change.replaces {
        Some(Replaces::Files(filters)) => whole_files(change.target, filters, session.as_ref()).await?,
        Some(Replaces::Equal(columns)) => {
            take_equal(change.target, columns, &come, session.as_ref(), &given, &done).await?
        }
        None => WholeFiles::default(),
    };
    let touched = done.gone.take();
    if target.keeps_feed() {
        let taken = Taken::new(&touched, done.changed.take());
        transaction.add_changes(feed::complete(lake, target, taken, session.as_ref(), changes).await?)?;
    }
    let mut changed = Changed {
        version: None,
        inserted: done.inserted.load(Ordering::Relaxed),
        updated: done.updated.load(Ordering::Relaxed),
        deleted: done.deleted.load(Ordering::Relaxed),
    };
    changed.deleted += replaced.rows;
    let is_nothing = touched.is_empty() && added == 0 && replaced.files.is_empty() && change.evolved.is_none();
    // A commit says that it was published, or that the statement of this key was carried out, whatever that changed.
    if is_nothing && info.publication.is_none() && info.idempotency_key.is_none() {
        return Ok(changed);
    }
    let left = left(target, &touched, patches.as_ref(), hides)?;
    let rest = write_rest(lake, target, left, &session, info).await?;
    added += rest.rewritten.len() + rest.written.len();
    transaction.add_written(rest.written)?;
    for file in &rest.rewritten {
        transaction.add_rewritten(file)?;
    }
    let copied = copied_rows(target, touched.clone())?;
    let metrics = metrics(&change, &changed, copied, touched.len() + replaced.files.len(), added);
    *transaction.operation_mut() = history::operation(change.operation, change.parameters.clone(), metrics, &changed);
    transaction.reads(reads(&change, &replaced));
    for file in touched.keys().chain(&replaced.files) {
        transaction.remove(*file, true)?;
    }
    if hides {
        hide(lake, target, session.as_ref(), touched, &mut transaction).await?;
    }
    let altered = match change.rules {
        Some(rules) => numbered(change.evolved, target, rules)?,
        None => change.evolved,
    };
    if let Some(altered) = altered {
        altered.into_transaction(&mut transaction)?;
    }
    // A rival with the same key may have been faster: then its answer counts.
    transaction.commit(lake, info).await.map(told)
}

/// Where the new values of rows are kept that are changed where they lie.
fn patches(change: &RowChange<'_>, session: &dyn Session) -> Result<Option<Arc<Patches>>, StorageError> {
    let Some(names) = change.sets else { return Ok(None) };
    let target = change.target.snapshot();
    if !changes_in_place(target, names) {
        return Err(StorageError::Internal { message: "rows of this table do not change in their place".into() });
    }
    let schema = target.schema();
    let column = |name: &String| {
        schema.index_of(name).map_err(|_| StorageError::Internal { message: format!("no column \"{name}\" to set") })
    };
    let columns = names.iter().map(column).collect::<Result<_, _>>()?;
    Ok(Some(Arc::new(Patches::new(&schema, columns, &task_context(session).runtime_env()))))
}

/// Whether rows that get new values in `columns` alone can keep their place: they belong to the same partition still, and
/// nobody asks for the whole rows, as those do who hide the old ones or feed others with what changed.
pub fn changes_in_place(target: &Snapshot, columns: &[String]) -> bool {
    !columns.is_empty()
        && !hides_rows(target)
        && !target.keeps_feed()
        && !columns.iter().any(|column| target.partition_columns().contains(column))
}

/// Takes away all rows of the files whose partition values match all of `filters`, which must be about partition columns
/// alone; without one, all rows. No file is read when the log knows how many rows each has.
pub async fn remove_files(
    lake: &Lake,
    target: &Addressed,
    operation: &'static str,
    filters: &[Expr],
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Changed, StorageError> {
    let snapshot = target.snapshot();
    check_changeable(snapshot)?;
    if let Some(done) = done_before(lake, snapshot, info).await? {
        return Ok(told(done));
    }
    let WholeFiles { files: kept, rows: deleted } = whole_files(target, filters, session.as_ref()).await?;
    let changed = Changed { deleted, ..Changed::default() };
    if kept.is_empty() && info.idempotency_key.is_none() {
        return Ok(changed);
    }
    let parameters = predicate_parameter(filters);
    let metrics = [("numDeletedRows", deleted), ("numRemovedFiles", kept.len() as u64), ("numAddedFiles", 0)];
    let metrics = metrics.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let mut transaction =
        Transaction::new(lake, snapshot, history::operation(operation, parameters, metrics, &changed))?;
    transaction.reads(Reads::Rows { filters: filters.to_vec(), files: kept.clone() });
    for file in &kept {
        transaction.remove(*file, true)?;
    }
    transaction.commit(lake, info).await.map(told)
}

fn told(done: Committed) -> Changed {
    let Committed { version, rows_inserted, rows_updated, rows_deleted } = done;
    Changed { version: Some(version), inserted: rows_inserted, updated: rows_updated, deleted: rows_deleted }
}

/// Files of which all rows go.
#[derive(Debug, Default)]
pub(super) struct WholeFiles {
    files: Vec<usize>,
    rows: u64,
}

impl WholeFiles {
    /// Counts their rows.
    pub(super) async fn of(
        snapshot: &Arc<Snapshot>,
        files: Vec<usize>,
        session: &dyn Session,
    ) -> Result<Self, StorageError> {
        let index = snapshot.files()?;
        let mut rows = 0;
        for file in &files {
            rows += match index.visible_rows(*file) {
                Some(rows) => rows,
                None => snapshot.count_rows(session, *file).await?,
            };
        }
        Ok(Self { files, rows })
    }
}

async fn whole_files(target: &Addressed, filters: &[Expr], session: &dyn Session) -> Result<WholeFiles, StorageError> {
    if !target.decides(filters) {
        return Err(StorageError::Internal { message: "files cannot be removed by a condition on rows".into() });
    }
    let snapshot = target.snapshot();
    let index = snapshot.files()?;
    let pruned = prune(index, &snapshot.schema(), filters, session);
    let files = pruned.map_err(|error| query_error(snapshot.name(), error))?.kept;
    WholeFiles::of(snapshot, files, session).await
}

/// Refuses a table whose rows must not be changed.
fn check_changeable(target: &Snapshot) -> Result<(), StorageError> {
    match target.properties().get("delta.appendOnly").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        true => Err(StorageError::AppendOnly { table: target.name().to_owned() }),
        false => Ok(()),
    }
}

/// Columns of a query that only says which rows go.
const ADDRESS_AND_ACTION: usize = 3;

/// Where the query has what.
fn roles(change: &RowChange<'_>, columns: &SchemaRef, query: &SchemaRef) -> Result<Roles, StorageError> {
    let place = |name: &str| {
        query.index_of(name).map_err(|_| StorageError::Internal { message: format!("a change without \"{name}\"") })
    };
    let columns: Result<Vec<usize>, _> = columns.fields().iter().map(|field| place(field.name())).collect();
    let only_deletes = change.actions == Actions::All(Action::Delete);
    let patched = change.sets.map(|names| names.iter().map(|name| place(name)).collect()).transpose()?;
    let only_updates = change.actions == Actions::All(Action::Update);
    Ok(Roles {
        patched,
        addresses: match change.actions {
            Actions::All(Action::Insert) => None,
            _ => Some(AddressPlaces {
                file: place(change.target.file_column())?,
                row: place(change.target.row_column())?,
            }),
        },
        action: match change.actions {
            Actions::All(action) => Err(action),
            Actions::Column(name) => Ok(place(name)?),
        },
        fed: change.target.snapshot().keeps_feed(),
        columns: if only_deletes
            || only_updates && change.sets.is_some()
            || columns.is_err() && (change.sets.is_some() || query.fields().len() == ADDRESS_AND_ACTION)
        {
            None
        } else {
            Some(columns?)
        },
    })
}

/// Does the statement read the version that it changes in other places, too?
fn is_read_again(plan: &LogicalPlan, target: &Addressed) -> bool {
    let (own, base) = (target.provider(), target.snapshot());
    let mut found = false;
    let walk = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(snapshot) = scanned_snapshot(&*provider)
        {
            let same = snapshot.location() == base.location() && snapshot.version() == base.version();
            found |= same && !Arc::ptr_eq(&provider, &own);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walk.is_err()
}

/// What a rival must not have touched.
fn reads(change: &RowChange<'_>, replaced: &WholeFiles) -> Reads {
    if let Some(Replaces::Equal(_)) = &change.replaces {
        return Reads::Table;
    }
    if let Some(Replaces::Files(filters)) = &change.replaces
        && !is_read_again(&change.plan, change.target)
    {
        return Reads::Rows { filters: filters.clone(), files: replaced.files.clone() };
    }
    match change.target.seen() {
        Some(seen) if !is_read_again(&change.plan, change.target) => {
            Reads::Rows { filters: seen.filters, files: seen.files }
        }
        _ => Reads::Table,
    }
}
