//! The change feed of a table: files that say which rows a commit took, brought and changed.
//!
//! Delta protocol, "Change Data Files". A reader takes what a commit added and removed for inserted and deleted rows, unless
//! the commit has change files: then it reads these alone. So a commit has none when whole files say it all, and all of its
//! rows when one of them was changed or left a file that stays.
//!
//! ```text
//! rows that come  --split--> data files, and change files as insert or update_postimage
//! rows that went  --read once more by their addresses--> change files as delete or update_preimage
//! ```

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{filter_record_batch, is_not_null},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    catalog::Session,
    common::Result as QueryResult,
    physical_expr::{
        PhysicalExpr,
        expressions::{col, lit},
    },
    physical_plan::{ExecutionPlan, projection::ProjectionExec, union::UnionExec},
};
use deltalake::kernel::{Add, StructType};
use object_store::{ObjectStore, prefix::PrefixStore};
use roaring::RoaringBitmap;

use super::{
    conform::query_error,
    data::{FileLayout, write_rows},
    discard::Discard,
    rows::Rows,
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{CHANGE_COLUMNS, CHANGE_FEED, CHANGE_TYPE, ChangeType, table_store},
    task_context,
};

/// The folder of change files in that of the table.
const FOLDER: &str = "_change_data";

/// A table with a change feed cannot have columns that its readers add.
pub(super) fn check_columns(columns: &StructType, properties: &BTreeMap<String, String>) -> Result<(), String> {
    if !properties.get(CHANGE_FEED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    let taken = |name: &str| CHANGE_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name));
    match columns.fields().find(|field| taken(field.name())) {
        Some(field) => Err(format!("its change feed has a column of its own that is called \"{}\"", field.name())),
        None => Ok(()),
    }
}

/// The columns of change files: the table's, and what happened to the row.
pub(super) fn fed_columns(columns: &Schema) -> Schema {
    let kind: FieldRef = Arc::new(Field::new(CHANGE_TYPE, DataType::Utf8, true));
    Schema::new(columns.fields().iter().cloned().chain([kind]).collect::<Vec<_>>())
}

/// The rows as the data files have them, and those that go into the feed. Without a type of change a row is in the table
/// already.
pub(super) fn split(batch: &RecordBatch) -> Result<(RecordBatch, RecordBatch), ArrowError> {
    let kinds = batch.num_columns().saturating_sub(1);
    let data = batch.project(&(0..kinds).collect::<Vec<_>>())?;
    let fed: BooleanArray = is_not_null(batch.column(kinds))?;
    let changed = if fed.false_count() == 0 { batch.clone() } else { filter_record_batch(batch, &fed)? };
    Ok((data, changed))
}

/// The table's store as the writers of change files see it.
pub(super) fn change_folder(table: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(table.clone(), FOLDER))
}

/// What was written in the folder of change files, by its paths in that of the table.
pub(super) fn in_change_folder(mut files: Vec<Add>) -> Vec<Add> {
    files.iter_mut().for_each(|file| file.path = format!("{FOLDER}/{}", file.path));
    files
}

/// Rows of the version that was read that a statement takes out, by file.
pub(super) struct Taken {
    pub(super) deleted: BTreeMap<usize, RoaringBitmap>,
    pub(super) updated: BTreeMap<usize, RoaringBitmap>,
}

impl Taken {
    /// All rows that go, and those among them that were updated.
    pub(super) fn new(gone: &BTreeMap<usize, RoaringBitmap>, updated: BTreeMap<usize, RoaringBitmap>) -> Self {
        let mut deleted = gone.clone();
        for (file, rows) in &updated {
            if let Some(gone) = deleted.get_mut(file) {
                *gone -= rows;
            }
        }
        deleted.retain(|_, rows| !rows.is_empty());
        Self { deleted, updated }
    }
}

/// The change files of a commit that takes these rows out, those `written` for the rows that it brings among them. When
/// whole files say it all, `written` is deleted and there are none.
pub(super) async fn complete(
    lake: &Lake,
    target: &Arc<Snapshot>,
    taken: Taken,
    session: &dyn Session,
    written: Vec<Add>,
) -> Result<Vec<Add>, StorageError> {
    let store = table_store(lake.store_registry(), target.location())?;
    let unneeded = Discard::new(store.clone());
    written.iter().for_each(|file| unneeded.note(&file.path));
    if taken.updated.is_empty() && only_whole_files(target, &taken.deleted)? {
        unneeded.delete().await;
        return Ok(Vec::new());
    }
    let mut parts = Vec::with_capacity(2);
    for (rows, kind) in [(&taken.deleted, ChangeType::Delete), (&taken.updated, ChangeType::UpdatePreimage)] {
        if !rows.is_empty() {
            let plan = target.rows_at(session, rows).await?;
            parts.push(with_kind(plan, kind).map_err(|error| query_error(target.name(), error))?);
        }
    }
    let plan = match (parts.len(), parts.pop()) {
        (1, Some(plan)) => plan,
        (_, last) => UnionExec::try_new(parts.into_iter().chain(last).collect())
            .map_err(|error| query_error(target.name(), error))?,
    };
    let (layout, folder) = (FileLayout::of_feed(target), change_folder(&store));
    let gone = write_rows(&layout, &Rows::of(plan), &folder, &task_context(session)).await?;
    unneeded.keep();
    Ok(in_change_folder(gone).into_iter().chain(written).collect())
}

/// Whether no row is left of the files that these rows are of, as far as the log knows.
fn only_whole_files(target: &Snapshot, rows: &BTreeMap<usize, RoaringBitmap>) -> Result<bool, StorageError> {
    let index = target.files()?;
    Ok(rows.iter().all(|(file, rows)| index.visible_rows(*file) == Some(rows.len())))
}

/// The rows with what happened to all of them.
fn with_kind(plan: Arc<dyn ExecutionPlan>, kind: ChangeType) -> QueryResult<Arc<dyn ExecutionPlan>> {
    let schema: SchemaRef = plan.schema();
    let mut exprs: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::with_capacity(schema.fields().len() + 1);
    for field in schema.fields() {
        exprs.push((col(field.name(), &schema)?, field.name().clone()));
    }
    exprs.push((lit(kind.name()), CHANGE_TYPE.to_owned()));
    Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
}
