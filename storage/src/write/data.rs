//! The writer of data files: written first, made visible by the one commit that follows.
//!
//! Rows come under the table's names and types (see `conform`). Here they get the names that the table's files have
//! (column mapping), are split by partition and written with statistics, one writer for each stream of the query.

use std::{num::NonZeroU64, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    catalog::Session,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::ExecutionPlan,
};
use deltalake::{
    DeltaTableError,
    datafile::writer::{DeltaWriter, WriterConfig},
    kernel::{Add, Metadata},
    table::config::TablePropertiesExt,
};
use futures::StreamExt;
use object_store::ObjectStore;
use tokio::task::JoinSet;

use super::{
    conform::query_error,
    define::Definition,
    discard::Discard,
    features::MAPPING_MODE,
    parquet::{target_file_size, writer_properties},
    recorder::Recorder,
    rows::Rows,
};
use crate::{
    Snapshot, StorageError,
    log::physical_name,
    table::{COLUMN_ID, MappingMode, PARQUET_ID, relabel},
};

/// Files of column-mapped tables lie in folders with names of this length, which tell nothing of the columns.
const PREFIX_CHARS: usize = 2;
/// Rows are handed to the Parquet writer in pieces of this size: its estimate of a file's size is as fine.
const PIECE_ROWS: usize = 8192;

/// How the files of a table look.
pub(super) struct FileLayout {
    table: String,
    /// All columns under the names that files have, partition columns among them.
    stored: SchemaRef,
    partition_columns: Vec<String>,
    config: WriterConfig,
}

impl FileLayout {
    /// Of a table that is there.
    pub(super) fn of_table(table: &Snapshot) -> Self {
        Self::new(table.name(), &table.arrow_schema(), &table.log().metadata)
    }

    /// Of a table that is about to be made.
    pub(super) fn of_definition(table: &Definition) -> Self {
        Self::new(&table.name, &table.stored, &table.metadata)
    }

    /// Of a table of these columns, the protocol's metadata on every field.
    pub(super) fn new(table: &str, columns: &Schema, metadata: &Metadata) -> Self {
        Self::sized(table, columns, metadata, target_file_size())
    }

    /// The same, with another size at which files are closed.
    fn sized(table: &str, columns: &Schema, metadata: &Metadata, file_bytes: Option<NonZeroU64>) -> Self {
        let mode = metadata.configuration().get(MAPPING_MODE).map(String::as_str);
        let mapped = MappingMode::parse(mode) != MappingMode::None;
        let stored = Arc::new(Schema::new(stored_fields(columns.fields(), mapped)));
        let stored_name = |name: &String| match columns.field_with_name(name) {
            Ok(field) if mapped => physical_name(field).to_owned(),
            _ => name.clone(),
        };
        let partition_columns = metadata.partition_columns().to_vec();
        let stored_partition_columns: Vec<String> = partition_columns.iter().map(stored_name).collect();
        let properties = metadata.parse_table_properties();
        let named = properties.data_skipping_stats_columns.as_deref();
        let counted = named.map(|names| names.iter().map(|name| stored_name(&name.to_string())).collect());
        let config = WriterConfig::new(
            stored.clone(),
            stored_partition_columns,
            Some(writer_properties()),
            file_bytes,
            Some(PIECE_ROWS),
            properties.num_indexed_cols(),
            counted,
        );
        let config = config.with_random_prefix_length(mapped.then_some(PREFIX_CHARS));
        Self { table: table.to_owned(), stored, partition_columns, config }
    }
}

/// Writes the rows of a plan that are in the table already, in files of about `file_bytes`.
pub(crate) async fn write_compact(
    target: &Snapshot,
    store: &Arc<dyn ObjectStore>,
    plan: Arc<dyn ExecutionPlan>,
    session: &dyn Session,
    file_bytes: u64,
) -> Result<Vec<Add>, StorageError> {
    let (columns, metadata) = (target.arrow_schema(), &target.log().metadata);
    let layout = FileLayout::sized(target.name(), &columns, metadata, NonZeroU64::new(file_bytes));
    write_rows(&layout, &Rows::of(plan), store, &session.task_ctx()).await
}

/// Rows of a file that was just written.
pub(crate) fn file_rows(file: &Add) -> u64 {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rows {
        num_records: u64,
    }
    let stats = file.stats.as_deref().and_then(|stats| serde_json::from_str::<Rows>(stats).ok());
    stats.map_or(0, |stats| stats.num_records)
}

/// Writes rows, all partitions at once, as data files of a table that looks so. Nothing is visible before a commit; when it
/// fails or is dropped, the files written so far are deleted.
pub(super) async fn write_rows(
    layout: &FileLayout,
    rows: &Rows,
    store: &Arc<dyn ObjectStore>,
    task: &Arc<TaskContext>,
) -> Result<Vec<Add>, StorageError> {
    let table = &layout.table;
    let streams = rows.streams(&layout.partition_columns, task).map_err(|error| query_error(table, error))?;
    // Dropped after the writers, whose files it deletes.
    let discard = Discard::new(store.clone());
    let recorder: Arc<dyn ObjectStore> = Arc::new(Recorder { inner: store.clone(), begun: discard.list() });
    let mut writers = JoinSet::new();
    for stream in streams {
        let writer = DeltaWriter::new(recorder.clone(), layout.config.clone());
        writers.spawn(write_stream(writer, stream, layout.stored.clone()));
    }
    let mut files = Vec::new();
    let mut failed = None;
    while let Some(ended) = writers.join_next().await {
        match ended {
            Ok(Ok(written)) => files.extend(written),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(error) => failed = failed.or(Some(DeltaTableError::generic(error))),
        }
    }
    let Some(error) = failed else {
        discard.keep();
        return Ok(files);
    };
    discard.delete().await;
    let write_error = |source| StorageError::Write { table: table.clone(), source: Box::new(source) };
    Err(rows.error(table).unwrap_or_else(|| write_error(error)))
}

async fn write_stream(
    mut writer: DeltaWriter,
    mut rows: SendableRecordBatchStream,
    stored: SchemaRef,
) -> Result<Vec<Add>, DeltaTableError> {
    while let Some(batch) = rows.next().await {
        let written = match batch {
            Ok(batch) if batch.num_rows() == 0 => continue,
            Ok(batch) => match under_stored_names(&batch, &stored) {
                Ok(batch) => writer.write(&batch).await,
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            // Dropping the writer would leave parts of an upload behind.
            if let Err(leak) = writer.abort().await {
                tracing::warn!(%leak, "could not abort the upload of a data file");
            }
            return Err(error);
        }
    }
    writer.close().await
}

/// Without a copy: the columns are the same, in the same order.
fn under_stored_names(batch: &RecordBatch, stored: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(stored.fields());
    let columns = columns.map(|(column, field)| relabel(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(stored.clone(), columns)
}

/// Delta protocol, "Column Mapping": files have physical names, and the ids of columns as Parquet's field ids.
fn stored_fields(fields: &Fields, mapped: bool) -> Vec<FieldRef> {
    fields.iter().map(|field| stored_field(field, mapped)).collect()
}

fn stored_field(field: &Field, mapped: bool) -> FieldRef {
    let name = if mapped { physical_name(field) } else { field.name() };
    let kind = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(stored_fields(fields, mapped).into()),
        DataType::List(item) => DataType::List(stored_field(item, mapped)),
        DataType::Map(pair, sorted) => DataType::Map(stored_field(pair, mapped), *sorted),
        kind => kind.clone(),
    };
    let mut stored = Field::new(name, kind, field.is_nullable());
    if mapped && let Some(id) = field.metadata().get(COLUMN_ID) {
        stored.set_metadata([(PARQUET_ID.to_owned(), id.clone())].into());
    }
    Arc::new(stored)
}
