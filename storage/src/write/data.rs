//! The writer of data files: written first, made visible by the one commit that follows.
//!
//! Rows come under the table's names and types (see `conform`). Here they get the names that the table's files have
//! (column mapping), are split by partition and written with statistics, one writer for each stream of the query.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
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
    datafile::writer::WriterConfig,
    kernel::{Add, Metadata},
    table::config::TablePropertiesExt,
};
use futures::StreamExt;
use object_store::ObjectStore;
use parquet::file::properties::WriterPropertiesBuilder;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    conform::query_error,
    define::Definition,
    discard::Discard,
    features::MAPPING_MODE,
    feed,
    flat::Flat,
    parquet::{Tier, properties_for, target_file_size},
    partition::Texts,
    recorder::Recorder,
    rows::Rows,
    sorted::{Rising, Sorted},
    writer::DataWriter,
};
use crate::{
    Snapshot, StorageError,
    log::{COLD, TIER, physical_name},
    maintain::Pace,
    table::{COLUMN_ID, MappingMode, PARQUET_ID, relabel},
    task_context,
};

/// Files of column-mapped tables lie in folders with names of this length, which tell nothing of the columns.
const PREFIX_CHARS: usize = 2;
/// The property that says of how many columns statistics tell, and what holds without it.
const COUNTED_COLUMNS: &str = "delta.dataSkippingNumIndexedCols";
const COUNTED_COLUMNS_DEFAULT: usize = 32;
/// Rows are handed to the Parquet writer in pieces of this size: its estimate of a file's size is as fine.
pub(super) const PIECE_ROWS: usize = 8192;
/// Rows of one write that take less memory are held back, so that they can go into a file with others.
const HELD_BYTES_MAX: usize = 1 << 20;

/// How the files of a table look.
pub(super) struct FileLayout {
    pub(super) table: String,
    /// All columns under the names that files have, partition columns among them.
    pub(super) stored: SchemaRef,
    pub(super) partition_columns: Vec<String>,
    pub(super) texts: Texts,
    counted: Counted,
    pub(super) config: WriterConfig,
    tier: Tier,
    /// The size at which files are closed.
    file_bytes: Option<NonZeroU64>,
    /// Files lie in folders of random names.
    hides_names: bool,
    /// What is written is counted against what was read.
    is_counted: bool,
}

/// Of which columns a file's statistics tell.
#[derive(Clone)]
pub(super) struct Counted {
    /// By their names in files.
    named: Option<Vec<String>>,
    /// The first so many where none are named; `None`: all.
    first: Option<usize>,
}

impl Counted {
    /// Whether the column at this place in a file is among them.
    pub(super) fn counts(&self, at: usize, name: &str) -> bool {
        match &self.named {
            Some(names) => names.iter().any(|named| named == name),
            None => self.first.is_none_or(|first| at < first),
        }
    }
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
        Self::sized(table, columns, metadata, target_file_size(), Tier::Warm)
    }

    /// Of the files of a table's change feed.
    pub(super) fn of_feed(table: &Snapshot) -> Self {
        Self::new(table.name(), &feed::fed_columns(&table.arrow_schema()), &table.log().metadata)
    }

    /// The same, with another size at which files are closed, and for a tier.
    fn sized(table: &str, columns: &Schema, metadata: &Metadata, file_bytes: Option<NonZeroU64>, tier: Tier) -> Self {
        let mode = metadata.configuration().get(MAPPING_MODE).map(String::as_str);
        let mapped = MappingMode::parse(mode) != MappingMode::None;
        let stored = Arc::new(Schema::new(stored_fields(columns.fields(), mapped)));
        let stored_name = |name: &String| match columns.field_with_name(name) {
            Ok(field) if mapped => physical_name(field).to_owned(),
            _ => name.clone(),
        };
        let partition_columns = metadata.partition_columns().to_vec();
        let texts = Texts::of(table, columns, &partition_columns);
        let stored_partition_columns: Vec<String> = partition_columns.iter().map(stored_name).collect();
        let said = metadata.parse_table_properties();
        let named = said.data_skipping_stats_columns.as_deref();
        let named: Option<Vec<String>> =
            named.map(|names| names.iter().map(|name| stored_name(&name.to_string())).collect());
        let first = metadata.configuration().get(COUNTED_COLUMNS).and_then(|text| text.trim().parse::<i64>().ok());
        // A negative number stands for all.
        let first = first.map_or(Some(COUNTED_COLUMNS_DEFAULT), |first| usize::try_from(first).ok());
        let config = WriterConfig::new(
            stored.clone(),
            stored_partition_columns,
            Some(properties_for(tier, &stored).build()),
            file_bytes,
            Some(PIECE_ROWS),
            said.num_indexed_cols(),
            named.clone(),
        );
        let config = config.with_random_prefix_length(mapped.then_some(PREFIX_CHARS));
        let counted = Counted { named, first };
        let table = table.to_owned();
        let (hides_names, is_counted) = (mapped, false);
        Self { table, stored, partition_columns, texts, counted, config, tier, file_bytes, hides_names, is_counted }
    }

    /// All columns under the names that files have, partition columns among them.
    pub(super) fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// How Parquet files are written.
    pub(super) fn properties(&self) -> WriterPropertiesBuilder {
        properties_for(self.tier, &self.stored)
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// What our own writer makes of it: files of a table without partitions, of rows that are in the table already.
    pub(super) fn flat(&self, store: &Arc<dyn ObjectStore>) -> Option<Flat> {
        if !self.is_counted || !self.partition_columns.is_empty() {
            return None;
        }
        let folder = match self.hides_names {
            true => Uuid::new_v4().simple().to_string()[..PREFIX_CHARS].to_owned() + "/",
            false => String::new(),
        };
        let compression = match self.tier {
            Tier::Warm => "snappy",
            Tier::Cold => "zstd",
        };
        let (store, schema, counted) = (store.clone(), self.stored.clone(), self.counted.clone());
        let (properties, file_bytes) = (self.properties().build(), self.file_bytes);
        Some(Flat { store, schema, properties, counted, file_bytes, folder, compression })
    }
}

/// Writes the rows of a plan that are in the table already, in files of about `file_bytes`, for a tier, which their tags tell.
pub(crate) async fn write_compact(
    target: &Snapshot,
    store: &Arc<dyn ObjectStore>,
    plan: Arc<dyn ExecutionPlan>,
    session: &dyn Session,
    (file_bytes, tier): (u64, Tier),
    pace: &Pace,
) -> Result<Vec<Add>, StorageError> {
    let (columns, metadata) = (target.arrow_schema(), &target.log().metadata);
    let layout = FileLayout::sized(target.name(), &columns, metadata, NonZeroU64::new(file_bytes), tier);
    let layout = FileLayout { is_counted: true, ..layout };
    let mut files = write_rows(&layout, &Rows::of(plan).paced(pace), store, &task_context(session)).await?;
    for file in &mut files {
        // What the table holds already.
        file.data_change = false;
        if tier == Tier::Cold {
            file.tags.get_or_insert_default().insert(TIER.to_owned(), Some(COLD.to_owned()));
        }
    }
    Ok(files)
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
    match write_or_hold(layout, rows, store, task).await? {
        Written::Files(files) => Ok(files),
        Written::Held(held) => write_held(layout, &[&held], store).await,
    }
}

/// What became of the rows of a write.
pub(super) enum Written {
    Files(Vec<Add>),
    /// They are few, and not written yet.
    Held(Held),
}

/// Writes rows as [`write_rows`] does, unless they are few: then they come back.
pub(super) async fn write_or_hold(
    layout: &FileLayout,
    rows: &Rows,
    store: &Arc<dyn ObjectStore>,
    task: &Arc<TaskContext>,
) -> Result<Written, StorageError> {
    let table = &layout.table;
    let streams = rows.streams(&layout.partition_columns, task).map_err(|error| query_error(table, error))?;
    // Dropped after the writers, whose files it deletes.
    let discard = Discard::new(store.clone());
    let recorder: Arc<dyn ObjectStore> = Arc::new(Recorder { inner: store.clone(), begun: discard.list() });
    let sorted = Sorted::of(rows, layout);
    let mut writers = JoinSet::new();
    let room = Arc::new(AtomicUsize::new(HELD_BYTES_MAX));
    for stream in streams {
        let writer = DataWriter::new(&recorder, layout, sorted.as_ref());
        let rising = sorted.clone().map(Rising::new);
        writers.spawn(write_stream(
            writer,
            stream,
            (layout.stored.clone(), layout.texts.clone()),
            rising,
            room.clone(),
        ));
    }
    let written = match all_of(writers).await {
        Ok(parts) => {
            let (mut files, mut held) = (Vec::new(), Vec::new());
            for (written, rest) in parts {
                files.extend(written);
                held.extend(rest);
            }
            match files.is_empty() || held.is_empty() {
                true if files.is_empty() => Ok(Written::Held(Held { batches: held, sorted: sorted.clone() })),
                true => Ok(Written::Files(files)),
                // What the streams left that had few rows is one file.
                false => {
                    let rest = DataWriter::new(&recorder, layout, None).write_only(held.into_iter()).await;
                    rest.map(|rest| Written::Files(files.into_iter().chain(rest).collect()))
                }
            }
        }
        Err(error) => Err(error),
    };
    match written {
        Ok(mut written) => {
            discard.keep();
            if let (Written::Files(files), Some(sorted)) = (&mut written, &sorted) {
                sorted.tag(files);
            }
            Ok(written)
        }
        Err(error) => {
            discard.delete().await;
            Err(rows.error(table).unwrap_or_else(|| write_error(table, error)))
        }
    }
}

/// What all writers of a write made, or the first fault; all have ended then.
pub(super) async fn all_of<T: 'static>(
    mut writers: JoinSet<Result<T, DeltaTableError>>,
) -> Result<Vec<T>, DeltaTableError> {
    let (mut parts, mut failed) = (Vec::with_capacity(writers.len()), None);
    while let Some(ended) = writers.join_next().await {
        match ended {
            Ok(Ok(part)) => parts.push(part),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(error) => failed = failed.or(Some(DeltaTableError::generic(error))),
        }
    }
    failed.map_or(Ok(parts), Err)
}

/// Few rows of one table, checked and under the names that its files have.
#[derive(Debug, Default)]
pub(super) struct Held {
    batches: Vec<RecordBatch>,
    sorted: Option<Sorted>,
}

impl Held {
    #[cfg(test)]
    pub(super) fn of(batches: Vec<RecordBatch>) -> Self {
        Self { batches, sorted: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    pub(super) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }
}

/// Writes rows that were held, of several writes perhaps, together.
pub(super) async fn write_held(
    layout: &FileLayout,
    held: &[&Held],
    store: &Arc<dyn ObjectStore>,
) -> Result<Vec<Add>, StorageError> {
    let batches: Vec<RecordBatch> = held.iter().flat_map(|held| held.batches.iter().cloned()).collect();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let discard = Discard::new(store.clone());
    let recorder: Arc<dyn ObjectStore> = Arc::new(Recorder { inner: store.clone(), begun: discard.list() });
    // Behind one another the rows of several writes have no order.
    let sorted = match held {
        [only] => only.sorted.as_ref(),
        _ => None,
    };
    let writer = DataWriter::new(&recorder, layout, sorted);
    // Batches of many writes are small: one is cheaper to write.
    let batches = match concat_batches(&layout.stored, &batches) {
        Ok(one) => vec![one],
        Err(_) => batches,
    };
    match writer.write_only(batches.into_iter()).await {
        Ok(mut files) => {
            discard.keep();
            if let Some(sorted) = sorted {
                sorted.tag(&mut files);
            }
            Ok(files)
        }
        Err(error) => {
            discard.delete().await;
            Err(write_error(&layout.table, error))
        }
    }
}

pub(super) fn write_error(table: &str, source: DeltaTableError) -> StorageError {
    let source = match source {
        DeltaTableError::GenericError { source } => match source.downcast::<StorageError>() {
            Ok(refused) => return *refused,
            Err(source) => DeltaTableError::GenericError { source },
        },
        source => source,
    };
    StorageError::Write { table: table.to_owned(), source: Box::new(source) }
}

/// Writes a stream, or gives its rows back as long as there is room for them.
async fn write_stream(
    mut writer: DataWriter,
    mut rows: SendableRecordBatchStream,
    (stored, texts): (SchemaRef, Texts),
    mut rising: Option<Rising>,
    room: Arc<AtomicUsize>,
) -> Result<(Vec<Add>, Vec<RecordBatch>), DeltaTableError> {
    let (mut held, mut writes) = (Vec::new(), false);
    while let Some(batch) = rows.next().await {
        let batch = match batch {
            Ok(batch) if batch.num_rows() == 0 => continue,
            Ok(batch) => {
                let checked = rising.as_mut().map_or(Ok(()), |rising| rising.check(&batch));
                let checked = checked.map_err(DeltaTableError::from).and_then(|()| texts.check(&batch));
                checked.and_then(|()| Ok(under_stored_names(&batch, &stored)?))
            }
            Err(error) => Err(error.into()),
        };
        let written = match batch {
            Ok(batch) if !writes && has_room(&room, &batch) => {
                held.push(batch);
                continue;
            }
            Ok(batch) => {
                writes = true;
                held.push(batch);
                writer.write_all(held.drain(..)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            writer.abort().await;
            return Err(error);
        }
    }
    match writes {
        true => Ok((writer.close().await?, Vec::new())),
        false => Ok((Vec::new(), held)),
    }
}

fn has_room(room: &AtomicUsize, batch: &RecordBatch) -> bool {
    let bytes = batch.get_array_memory_size();
    room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes)).is_ok()
}

/// Without a copy: the columns are the same, in the same order.
pub(super) fn under_stored_names(batch: &RecordBatch, stored: &SchemaRef) -> Result<RecordBatch, ArrowError> {
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
