//! CREATE TABLE and CREATE TABLE AS, with OR REPLACE.
//!
//! A new table is one commit: protocol, definition and, with a query, the files that hold its rows. OR REPLACE adds the
//! removal of the old rows to that commit and keeps the history. Data files are written before; a query that fails leaves
//! no table and no files. What a crash leaves is in nobody's way, and known by a mark (`lake/begun.rs`).

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{catalog::Session, logical_expr::LogicalPlan};
use deltalake::kernel::Add;

use super::{
    CommitInfo, Committed,
    conflict::Reads,
    conform::conform,
    data::{FileLayout, file_rows, write_rows},
    define::Definition,
    discard::Discard,
    drop::{keep_name, make_room},
    features,
    found::{Beginning, found},
    near_store::near_store_at,
    rows::Rows,
    rules::Rules,
    transaction::{Operation, Transaction},
};
use crate::{Lake, Snapshot, StorageError, catalog::backoff, lake::check_name, table::table_store, task_context};

/// How often OR REPLACE starts over because others committed to the old table.
const REPLACE_ATTEMPTS_MAX: usize = 20;

/// A table to be made.
///
/// Types that Delta does not have become those that hold all their values: unsigned integers the next wider signed one
/// (64 bits: `DECIMAL(20, 0)`), half floats `FLOAT`, large, view and dictionary forms the plain type, timestamps those with
/// microseconds, with a zone always UTC. Times of day, intervals and unions are refused.
#[derive(Debug, Clone)]
pub struct NewTable {
    pub schema_name: String,
    pub name: String,
    /// Nullability is kept; a column comment stands under the metadata key `comment`.
    pub schema: SchemaRef,
    pub partition_columns: Vec<String>,
    pub properties: BTreeMap<String, String>,
    pub comment: Option<String>,
    /// CREATE OR REPLACE: a table that is there gets this schema and loses its rows, in one commit that keeps its history.
    pub replace: bool,
}

/// An error unless such a table can be made, as far as that shows without the lake: names and types of its columns, what it is
/// partitioned by, its properties.
pub fn check_new(table: &NewTable) -> Result<(), StorageError> {
    Definition::try_new(table).map(drop)
}

/// Makes an empty table in one commit. `TableExists` when it is there and `replace` is false.
pub async fn create(lake: &Lake, table: &NewTable, info: &CommitInfo) -> Result<Committed, StorageError> {
    make(lake, table, None, info).await
}

/// Makes a table with the rows of `plan`, in one commit: a failing query leaves no table. The columns of the plan are
/// matched to those of the table by name, its rows keep `rules`.
pub async fn create_as(
    lake: &Lake,
    table: &NewTable,
    plan: LogicalPlan,
    rules: &Rules,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    make(lake, table, Some((plan, rules, session)), info).await
}

async fn make(
    lake: &Lake,
    table: &NewTable,
    query: Option<(LogicalPlan, &Rules, Arc<dyn Session>)>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    check_name("schema", &table.schema_name)?;
    check_name("table", &table.name)?;
    let definition = Definition::try_new(table)?;
    lake.check_schema(&table.schema_name).await?;
    let folder = lake.folder_to_make(&table.schema_name, &table.name).await?;
    let location = lake.table_url(&table.schema_name, &folder);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    let is_there = existing(lake, table).await?.is_some();
    let mark = match query {
        Some(_) if !is_there => Some(begin(lake, table, &folder).await?),
        _ => None,
    };
    let made = fill(lake, table, &folder, &definition, query, mark.as_ref(), info).await;
    if let Some(mark) = mark {
        // While the outcome is not known, files may stay that nobody needs.
        match is_unknown(&made) {
            true => mark.keep(),
            false => mark.delete().await,
        }
    }
    made
}

/// Marks the folder. The mark goes when this is dropped, as the files do that were written by then.
async fn begin(lake: &Lake, table: &NewTable, folder: &str) -> Result<Discard, StorageError> {
    let (store, path) = lake.new_mark()?;
    let mark = Discard::new(store);
    mark.note(path.as_ref());
    lake.note_begun(&path, &table.schema_name, folder).await?;
    Ok(mark)
}

/// Whether the commit may be in the log all the same.
fn is_unknown(made: &Result<Committed, StorageError>) -> bool {
    matches!(made, Err(StorageError::Undecided { .. } | StorageError::Internal { .. }))
}

/// Writes the rows and commits, for who holds the table's lock.
async fn fill(
    lake: &Lake,
    table: &NewTable,
    folder: &str,
    definition: &Definition,
    query: Option<(LogicalPlan, &Rules, Arc<dyn Session>)>,
    mark: Option<&Discard>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let location = lake.table_url(&table.schema_name, folder);
    let store = table_store(lake.store_registry(), &location)?;
    let files = match query {
        None => Vec::new(),
        Some((plan, rules, session)) => {
            let plan = conform(&definition.name, &definition.schema, rules, plan)?;
            let rows = Rows::plan(&definition.name, &plan, session.as_ref()).await?;
            let named = (definition.metadata.id(), definition.name.as_str());
            let store = near_store_at(lake.store_registry(), &location, named, lake.warm())?;
            write_rows(&FileLayout::of_definition(definition), &rows, &store, &task_context(session.as_ref())).await?
        }
    };
    let written = Discard::new(store);
    files.iter().for_each(|file| written.note(&file.path));
    // Not before: a query that fails leaves a dropped table of this name to UNDROP.
    let new = written.list().lock().clone();
    let old = match make_room(lake, &table.schema_name, folder, &new).await {
        Ok(old) => old,
        Err(error) => {
            written.delete().await;
            return Err(error);
        }
    };
    // The commit may be in the log although its caller went away before the answer.
    written.keep();
    if let Some(mark) = mark {
        mark.keep();
    }
    let made = commit(lake, table, folder, definition, &files, info).await;
    // An outcome that is not known keeps the files: a commit may name them.
    if made.is_err() && !is_unknown(&made) {
        written.delete().await;
    }
    let made = made?;
    if let Some(old) = old {
        old.delete(lake).await;
    }
    if made.version == 0 {
        keep_name(lake, &table.schema_name, &table.name, folder, definition.metadata.id()).await?;
    }
    Ok(made)
}

/// The table that is there. An error when there is one that must not be replaced.
async fn existing(lake: &Lake, table: &NewTable) -> Result<Option<Arc<Snapshot>>, StorageError> {
    match lake.table(&table.schema_name, &table.name).await {
        Ok(snapshot) if table.replace => Ok(Some(snapshot)),
        Ok(snapshot) => Err(StorageError::TableExists { table: snapshot.name().to_owned() }),
        Err(StorageError::TableNotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn commit(
    lake: &Lake,
    table: &NewTable,
    folder: &str,
    definition: &Definition,
    files: &[Add],
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    for attempt in 0.. {
        let replaced = existing(lake, table).await?;
        match commit_once(lake, table, folder, definition, files, info, replaced).await {
            Err(StorageError::Conflict { .. })
                if table.replace && info.publication.is_none() && attempt < REPLACE_ATTEMPTS_MAX =>
            {
                tokio::time::sleep(backoff(attempt)).await;
            }
            made => return made,
        }
    }
    Err(StorageError::Internal { message: "attempts to create a table ended without an outcome".into() })
}

async fn commit_once(
    lake: &Lake,
    table: &NewTable,
    folder: &str,
    definition: &Definition,
    files: &[Add],
    info: &CommitInfo,
    replaced: Option<Arc<Snapshot>>,
) -> Result<Committed, StorageError> {
    let name = if table.replace { "CREATE OR REPLACE TABLE" } else { "CREATE TABLE" };
    let inserted: u64 = files.iter().map(file_rows).sum();
    let mut operation = Operation { name, inserted, ..Operation::default() };
    let metrics = [("numFiles", files.len() as u64), ("numOutputRows", inserted)];
    operation.metrics = metrics.map(|(name, count)| (name.to_owned(), count)).into();
    // A table never loses features: its old versions still need them.
    let old = replaced.as_deref().map(Snapshot::protocol);
    let protocol = features::protocol(old, &definition.columns, &definition.properties)?;
    let metadata = definition.metadata.clone();
    let Some(old) = replaced else {
        let location = lake.table_url(&table.schema_name, folder);
        let beginning = Beginning { table: &definition.name, protocol, metadata, files };
        return found(lake, &location, beginning, &operation, info).await;
    };
    let mut transaction = Transaction::new(lake, &old, operation)?;
    // Rows that came meanwhile would stay, under a definition that is not theirs.
    transaction.reads(Reads::Table);
    transaction.set_protocol(protocol)?;
    transaction.set_metadata(metadata);
    for file in 0..old.file_count() {
        transaction.remove(file, true)?;
    }
    for file in files {
        // Written for this statement, which starts over when rivals were faster.
        transaction.add(file.clone())?;
    }
    transaction.commit(lake, info).await
}
