//! A change from its query to its commit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::{Expr, LogicalPlan},
};
use object_store::path::Path;
use roaring::RoaringBitmap;
use serde_json::{Map, Value};

use super::{
    Action, Actions, Changed, RowChange,
    exec::{ChangeExec, Roles, is_counted, touched},
    gone::AddressPlaces,
    vector::Vectors,
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{Addressed, prune, scanned_snapshot, table_store},
    write::{
        CommitInfo, Committed,
        commit::refusal,
        conflict::Reads,
        conform::query_error,
        data::{FileLayout, write_rows},
        fed::{Fed, write_fed},
        feed::{self, Taken},
        identity::numbered,
        once::done_before,
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
    let exec = Arc::new(ChangeExec::new(query, roles, target, columns, &session, hides));
    let done = exec.done.clone();
    let (store, rows) = (table_store(lake.store_registry(), target.location())?, Rows::of(exec));
    let task = session.task_ctx();
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
    let added = files.len();
    transaction.add_written(files)?;
    let gone = done.gone.take();
    if target.keeps_feed() {
        let taken = Taken::new(&gone, done.changed.take());
        transaction.add_changes(feed::complete(lake, target, taken, session.as_ref(), changes).await?)?;
    }
    let mut changed = Changed {
        version: None,
        inserted: done.inserted.load(Ordering::Relaxed),
        updated: done.updated.load(Ordering::Relaxed),
        deleted: done.deleted.load(Ordering::Relaxed),
    };
    let replaced = match &change.replaces {
        Some(filters) => whole_files(change.target, filters, session.as_ref()).await?,
        None => WholeFiles::default(),
    };
    changed.deleted += replaced.rows;
    if gone.is_empty() && added == 0 && replaced.files.is_empty() && change.evolved.is_none() {
        return Ok(changed);
    }
    let copied = copied_rows(target, gone.clone())?;
    let metrics = metrics(&change, &changed, copied, gone.len() + replaced.files.len(), added);
    *transaction.operation_mut() = operation(change.operation, change.parameters.clone(), metrics, &changed);
    transaction.reads(reads(&change, &replaced));
    for file in gone.keys().chain(&replaced.files) {
        transaction.remove(*file, true)?;
    }
    if hides {
        hide(lake, target, session.as_ref(), gone, &mut transaction).await?;
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
    if kept.is_empty() {
        return Ok(changed);
    }
    let parameters = predicate_parameter(filters);
    let metrics = [("numDeletedRows", deleted), ("numRemovedFiles", kept.len() as u64), ("numAddedFiles", 0)];
    let metrics = metrics.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let mut transaction = Transaction::new(lake, snapshot, self::operation(operation, parameters, metrics, &changed))?;
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
struct WholeFiles {
    files: Vec<usize>,
    rows: u64,
}

async fn whole_files(target: &Addressed, filters: &[Expr], session: &dyn Session) -> Result<WholeFiles, StorageError> {
    if !target.decides(filters) {
        return Err(StorageError::Internal { message: "files cannot be removed by a condition on rows".into() });
    }
    let snapshot = target.snapshot();
    let index = snapshot.files()?;
    let pruned = prune(index, &snapshot.schema(), filters, session);
    let files = pruned.map_err(|error| query_error(snapshot.name(), error))?.kept;
    let mut rows = 0;
    for file in &files {
        rows += match index.visible_rows(*file) {
            Some(rows) => rows,
            None => snapshot.count_rows(session, *file).await?,
        };
    }
    Ok(WholeFiles { files, rows })
}

fn operation(
    name: &'static str,
    parameters: BTreeMap<String, String>,
    metrics: BTreeMap<String, u64>,
    changed: &Changed,
) -> Operation {
    let Changed { inserted, updated, deleted, .. } = *changed;
    Operation { name, parameters, metrics, inserted, updated, deleted }
}

fn predicate_parameter(filters: &[Expr]) -> BTreeMap<String, String> {
    let texts: Vec<String> = filters.iter().map(ToString::to_string).collect();
    if texts.is_empty() { BTreeMap::new() } else { BTreeMap::from([("predicate".to_owned(), texts.join(" AND "))]) }
}

/// Refuses a table whose rows must not be changed.
fn check_changeable(target: &Snapshot) -> Result<(), StorageError> {
    match target.properties().get("delta.appendOnly").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        true => Err(StorageError::AppendOnly { table: target.name().to_owned() }),
        false => Ok(()),
    }
}

/// Whether rows that go are hidden by deletion vectors.
fn hides_rows(target: &Snapshot) -> bool {
    let asked = target.properties().get("delta.enableDeletionVectors");
    asked.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && target.features().iter().any(|feature| feature == "deletionVectors")
}

/// Adds the touched files again, each with a vector of all its hidden rows.
async fn hide(
    lake: &Lake,
    target: &Arc<Snapshot>,
    session: &dyn Session,
    gone: BTreeMap<usize, RoaringBitmap>,
    transaction: &mut Transaction,
) -> Result<(), StorageError> {
    let index = target.files()?;
    let mut hidden = touched(target, gone)?;
    hidden.retain(|file, _| is_counted(index, *file));
    if hidden.is_empty() {
        return Ok(());
    }
    target.add_hidden(session, &mut hidden).await?;
    let vectors = Vectors::new(&hidden)?;
    if let Some((path, _)) = &vectors.file {
        transaction.note_written(path.as_ref());
    }
    vectors.write(&*table_store(lake.store_registry(), target.location())?).await?;
    let stats = statistics(target, hidden.keys().copied()).await?;
    for (file, vector) in &vectors.descriptors {
        transaction.add_hiding(*file, vector, stats.get(file).map_or("{}", String::as_str))?;
    }
    Ok(())
}

/// The statistics of some files, marked as those of more rows than are seen.
async fn statistics(
    target: &Snapshot,
    files: impl Iterator<Item = usize>,
) -> Result<BTreeMap<usize, String>, StorageError> {
    let index = target.files()?;
    let named = |file: usize| Some((Path::from_url_path(index.path(file)).ok()?, file));
    let (files, mut kept) = (files.collect::<Vec<_>>(), HashMap::new());
    let wanted: HashMap<Path, usize> = files.iter().copied().filter_map(named).collect();
    // Only the library keeps them as they were written.
    for view in target.state().await?.log_data().iter() {
        if let Some(file) = wanted.get(&view.object_store_path())
            && let Some(stats) = view.stats().and_then(|stats| serde_json::from_str::<Map<String, Value>>(&stats).ok())
        {
            kept.insert(*file, stats);
        }
    }
    let marked = files.into_iter().map(|file| {
        let mut stats = kept.remove(&file).unwrap_or_default();
        stats.insert("numRecords".to_owned(), index.stored_rows().value(file).into());
        stats.insert("tightBounds".to_owned(), false.into());
        (file, Value::Object(stats).to_string())
    });
    Ok(marked.collect())
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
    Ok(Roles {
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
        columns: if only_deletes || columns.is_err() && query.fields().len() == ADDRESS_AND_ACTION {
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
    if let Some(filters) = &change.replaces
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

/// Rows of the touched files that stayed, as far as the log knows.
fn copied_rows(target: &Snapshot, gone: BTreeMap<usize, RoaringBitmap>) -> Result<u64, StorageError> {
    let index = target.files()?;
    let left = |(file, rows): (usize, RoaringBitmap)| index.visible_rows(file).map_or(0, |all| all - rows.len());
    Ok(touched(target, gone)?.into_iter().map(left).sum())
}

/// What DESCRIBE HISTORY shows, under the names that other writers use.
fn metrics(
    change: &RowChange<'_>,
    changed: &Changed,
    copied: u64,
    removed: usize,
    added: usize,
) -> BTreeMap<String, u64> {
    let (removed, added) = (removed as u64, added as u64);
    let metrics: Vec<(&str, u64)> = match change.actions {
        Actions::Column(_) => vec![
            ("numTargetRowsInserted", changed.inserted),
            ("numTargetRowsUpdated", changed.updated),
            ("numTargetRowsDeleted", changed.deleted),
            ("numTargetRowsCopied", copied),
            ("numTargetFilesRemoved", removed),
            ("numTargetFilesAdded", added),
        ],
        Actions::All(Action::Insert) => vec![
            ("numFiles", added),
            ("numOutputRows", changed.inserted),
            ("numDeletedRows", changed.deleted),
            ("numRemovedFiles", removed),
        ],
        Actions::All(_) => vec![
            ("numDeletedRows", changed.deleted),
            ("numUpdatedRows", changed.updated),
            ("numCopiedRows", copied),
            ("numRemovedFiles", removed),
            ("numAddedFiles", added),
        ],
    };
    metrics.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
