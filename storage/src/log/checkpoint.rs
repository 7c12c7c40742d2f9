//! Checkpoints: all actions of a version in one place, of which a reader needs few columns.
//!
//! Delta protocol, "Checkpoints". One file, several parts, or a V2 checkpoint whose files are in sidecars; whether it has
//! sidecars is told by its content, not its name. First come protocol, metadata and sidecars, which are small, then the
//! files, whose statistics are typed while they are read. Removed files are not read: they matter to writers only.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray, StructArray},
    compute::{cast, filter_record_batch, is_not_null},
    datatypes::{DataType, Int32Type, Int64Type},
    error::ArrowError,
    json::LineDelimitedWriter,
};
use deltalake::kernel::{Metadata, Protocol};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use parquet::{arrow::arrow_reader::RowSelection, errors::ParquetError};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    LogError,
    action::{self, Actions, Add, AppTransaction, FileAction, SORTED_BY, STORAGE_CLASS, Sidecar, TIER},
    chunk::{Chunk, RawAdds, RawStats, Vectors},
    commit::{self, in_background},
    layout::Layout,
    list::{Checkpoint, sidecar_path},
    parquet::ParquetFile,
    parsed::values_of,
    replay,
    stats::child,
};
use crate::{StoreReason, store::is_not_found};

/// How many files of a checkpoint are worked on at once.
const AT_ONCE: usize = 8;
/// How many batches of a file's rows are typed while the next is decoded: each in a thread with memory of its own.
const TYPED_AT_ONCE: usize = 2;
/// A chunk has no more files, so that its texts stay within the offsets of their arrays.
const CHUNK_FILES_MAX: usize = 1 << 20;
/// Adds of a JSON checkpoint are typed in pieces of this size.
const JSON_ADDS: usize = 8192;

/// A checkpoint of which the small part was read.
pub(super) struct Head {
    checkpoint: Checkpoint,
    pub(super) protocol: Option<Protocol>,
    pub(super) metadata: Option<Metadata>,
    pub(super) transactions: Vec<AppTransaction>,
    /// Parts and sidecars.
    pub(super) files: Vec<ParquetFile>,
    /// Of a JSON checkpoint without sidecars.
    adds: Vec<Add>,
}

/// Reads protocol, metadata, transactions and sidecars.
pub(super) async fn head(store: &Arc<dyn ObjectStore>, checkpoint: &Checkpoint) -> Result<Head, LogError> {
    let mut head = Head {
        checkpoint: checkpoint.clone(),
        protocol: None,
        metadata: None,
        transactions: vec![],
        files: vec![],
        adds: vec![],
    };
    let mut sidecars = Vec::new();
    for meta in &checkpoint.files {
        if meta.location.extension() == Some("json") {
            let read = commit::read_json(store.as_ref(), &meta.location).await?;
            let actions = read.map_err(|reason| head.damaged(&meta.location, reason))?;
            head.take(actions, &mut sidecars);
        }
    }
    let parts = checkpoint.files.iter().filter(|meta| meta.location.extension() != Some("json"));
    let parts = parts.map(|meta| open_head(checkpoint.version, store.clone(), meta.clone()).boxed()).collect();
    let opened = some_at_once(parts).await?;
    for (file, actions) in opened {
        head.take(actions, &mut sidecars);
        head.files.push(file);
    }
    let sidecars = sidecars.into_iter();
    let sidecars = sidecars.map(|sidecar| open_sidecar(checkpoint.version, store.clone(), sidecar).boxed()).collect();
    let opened = some_at_once(sidecars).await?;
    head.files.extend(opened);
    Ok(head)
}

/// Gives each add action of a checkpoint to `take`, as the checkpoint has it, without statistics that are not text.
pub(super) async fn said_adds(
    store: &Arc<dyn ObjectStore>,
    checkpoint: &Checkpoint,
    take: &mut (dyn FnMut(Value) + Send),
) -> Result<(), LogError> {
    const COLUMNS: [&str; 10] = [
        "add.path",
        "add.partitionValues",
        "add.size",
        "add.modificationTime",
        "add.dataChange",
        "add.stats",
        "add.tags",
        "add.deletionVector",
        "add.baseRowId",
        "add.defaultRowCommitVersion",
    ];
    for meta in checkpoint.files.iter().filter(|meta| meta.location.extension() == Some("json")) {
        let path = &meta.location;
        let bytes = match store.get(path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|source| LogError::Store { path: path.clone(), source })?;
        let adds = super::raw::adds(&bytes).map_err(|reason| damaged(checkpoint.version, path, reason))?;
        adds.into_iter().for_each(&mut *take);
    }
    for file in head(store, checkpoint).await?.files {
        let path = file.path().clone();
        let failed = |error| parquet_error(checkpoint.version, &path, error);
        let mut batches = file.read(&COLUMNS).map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let rows = json_rows(&batch).map_err(|reason| damaged(checkpoint.version, &path, reason))?;
            for mut row in rows {
                // A row of another action has an add without a path.
                if let Some(add) = row.get_mut("add").filter(|add| add.get("path").is_some_and(Value::is_string)) {
                    take(add.take());
                }
            }
        }
    }
    Ok(())
}

impl Head {
    fn damaged(&self, path: &Path, reason: impl ToString) -> LogError {
        damaged(self.checkpoint.version, path, reason)
    }

    fn take(&mut self, actions: Actions, sidecars: &mut Vec<Sidecar>) {
        self.protocol = self.protocol.take().or(actions.protocol);
        self.metadata = self.metadata.take().or(actions.metadata);
        self.transactions.extend(actions.transactions);
        sidecars.extend(actions.sidecars);
        let adds = actions.files.into_iter().filter_map(|action| match action {
            FileAction::Add(add) => Some(add),
            FileAction::Remove(_) => None,
        });
        self.adds.extend(adds);
    }

    /// The files that are alive in the checkpoint, in chunks.
    pub(super) async fn chunks(&self, layout: &Arc<Layout>) -> Result<Vec<Chunk>, LogError> {
        let mut chunks = Vec::new();
        for adds in self.adds.chunks(JSON_ADDS) {
            let path = self.checkpoint.files.first().map(|meta| meta.location.clone()).unwrap_or_default();
            chunks.push(replay::chunk(layout, adds).map_err(|reason| self.damaged(&path, reason))?);
        }
        let files = self.files.iter();
        let files = files.map(|file| file_chunks(self.checkpoint.version, file.clone(), layout.clone()).boxed());
        let read = some_at_once(files.collect()).await?;
        chunks.extend(read.into_iter().flatten());
        let path = self.checkpoint.files.first().map(|meta| meta.location.clone()).unwrap_or_default();
        in_background(move || joined(chunks)).await.map_err(|reason| self.damaged(&path, reason))
    }
}

/// The same files in few chunks, so that what is asked of all of them need not be put together time and again.
fn joined(chunks: Vec<Chunk>) -> Result<Vec<Chunk>, String> {
    let (mut done, mut open, mut files) = (Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        if files + chunk.len() > CHUNK_FILES_MAX && !open.is_empty() {
            done.push(Chunk::join(std::mem::take(&mut open)).map_err(in_words)?);
            files = 0;
        }
        files += chunk.len();
        open.push(chunk);
    }
    if !open.is_empty() {
        done.push(Chunk::join(open).map_err(in_words)?);
    }
    Ok(done)
}

/// Results in the order of the work. The futures are boxed and own what they use, which keeps the callers' types simple.
async fn some_at_once<T>(work: Vec<BoxFuture<'static, Result<T, LogError>>>) -> Result<Vec<T>, LogError> {
    futures::stream::iter(work).buffered(AT_ONCE).try_collect().await
}

pub(super) fn damaged(version: u64, path: &Path, reason: impl ToString) -> LogError {
    LogError::Checkpoint { version, path: path.clone(), reason: reason.to_string() }
}

/// Sorts what reading a checkpoint's file met: the store, or what is in the file.
pub(super) fn parquet_error(version: u64, path: &Path, error: ParquetError) -> LogError {
    let reason = StoreReason::of(&error);
    match error {
        ParquetError::External(source) if reason.is_some_and(|reason| reason != StoreReason::NotFound) => {
            match source.downcast::<object_store::Error>() {
                Ok(source) => LogError::Store { path: path.clone(), source: *source },
                Err(source) => damaged(version, path, source),
            }
        }
        error => damaged(version, path, error),
    }
}

async fn open_head(
    version: u64,
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
) -> Result<(ParquetFile, Actions), LogError> {
    let path = meta.location.clone();
    let failed = |error| parquet_error(version, &path, error);
    let file = ParquetFile::open(store, meta).await.map_err(failed)?;
    let mut actions = Actions::default();
    let rows = if file.is_near() { head_rows(&file).await.map_err(failed)? } else { None };
    let mut batches = file.read_rows(&HEAD, rows).map_err(failed)?;
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        head_actions(&batch, &mut actions).map_err(|reason| damaged(version, &path, reason))?;
    }
    Ok((file, actions))
}

async fn open_sidecar(version: u64, store: Arc<dyn ObjectStore>, sidecar: Sidecar) -> Result<ParquetFile, LogError> {
    let path = sidecar_path(&sidecar.path).map_err(|error| damaged(version, &Path::default(), error))?;
    let meta = match store.head(&path).await {
        // The store of a table tells the place in its own root.
        Ok(meta) => ObjectMeta { location: path.clone(), ..meta },
        Err(error) if is_not_found(&error) => return Err(damaged(version, &path, "it is not there")),
        Err(source) => return Err(LogError::Store { path, source }),
    };
    ParquetFile::open(store, meta).await.map_err(|error| parquet_error(version, &path, error))
}

/// What is no data file, and of each the column that is never NULL in it.
const HEAD: [&str; 4] = ["protocol", "metaData", "sidecar", "txn"];
const HEAD_MARKS: [&str; 4] = ["protocol.minReaderVersion", "metaData.id", "sidecar.path", "txn.appId"];

/// Where the few rows are that are no data files; `None` when that must be found out by reading all.
async fn head_rows(file: &ParquetFile) -> Result<Option<RowSelection>, ParquetError> {
    let marked = HEAD.iter().zip(HEAD_MARKS).all(|(name, mark)| !file.has_column(name) || file.has_column(mark));
    if !marked {
        return Ok(None);
    }
    let marks: Vec<&str> = HEAD_MARKS.into_iter().filter(|mark| !file.is_all_null(mark)).collect();
    let mut batches = file.read(&marks)?;
    let (mut found, mut first) = (Vec::new(), 0);
    while let Some(batch) = batches.try_next().await? {
        let mut is_head = vec![false; batch.num_rows()];
        for column in batch.columns() {
            let Some(mark) = column.as_struct_opt().map(|column| column.column(0)) else { return Ok(None) };
            (0..mark.len()).filter(|row| mark.is_valid(*row)).for_each(|row| is_head[row] = true);
        }
        let rows = is_head.iter().enumerate().filter(|(_, is_head)| **is_head);
        found.extend(rows.map(|(row, _)| first + row..first + row + 1));
        first += batch.num_rows();
    }
    Ok(Some(RowSelection::from_consecutive_ranges(found.into_iter(), file.rows())))
}

/// The few rows that are no files.
fn head_actions(batch: &RecordBatch, actions: &mut Actions) -> Result<(), String> {
    for (at, column) in batch.columns().iter().enumerate() {
        if column.null_count() == column.len() {
            continue;
        }
        let kept = is_not_null(column).and_then(|kept| filter_record_batch(batch, &kept)).map_err(in_words)?;
        let name = batch.schema_ref().field(at).name().clone();
        for value in json_rows(&kept.project(&[at]).map_err(in_words)?)? {
            let Some(value) = value.get(&name).cloned() else { continue };
            match name.as_str() {
                "protocol" => actions.protocol = Some(action::protocol(value)?),
                "metaData" => actions.metadata = Some(action::metadata(value)?),
                "txn" => actions.transactions.push(serde_json::from_value(value).map_err(|e| e.to_string())?),
                "sidecar" => actions.sidecars.push(serde_json::from_value(value).map_err(|e| e.to_string())?),
                _ => {}
            }
        }
    }
    Ok(())
}

fn in_words(error: ArrowError) -> String {
    error.to_string()
}

pub(super) fn json_rows(batch: &RecordBatch) -> Result<Vec<Value>, String> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch).and_then(|()| writer.finish()).map_err(in_words)?;
    let rows = serde_json::Deserializer::from_slice(&writer.into_inner()).into_iter().collect::<Result<_, _>>();
    rows.map_err(|error| error.to_string())
}

async fn file_chunks(version: u64, file: ParquetFile, layout: Arc<Layout>) -> Result<Vec<Chunk>, LogError> {
    let path = file.path().clone();
    let mut columns = vec!["add.path", "add.size", "add.modificationTime"];
    if !file.is_all_null("add.deletionVector.storageType") {
        columns.push("add.deletionVector");
    }
    if !layout.partitions.is_empty() {
        columns.push("add.partitionValues");
    }
    let parsed = file.has_column("add.stats_parsed.numRecords") && file.is_all_null("add.stats");
    // Many writers tag their files; only these tags are of use here.
    if [SORTED_BY, TIER, STORAGE_CLASS].into_iter().any(|tag| file.may_hold("add.tags.key_value.key", tag)) {
        columns.push("add.tags");
    }
    columns.push(if parsed { "add.stats_parsed" } else { "add.stats" });
    let file = file.viewing("add.stats");
    if let Some(batches) = file.read_here(&columns).map_err(|error| parquet_error(version, &path, error))? {
        // In one thread, and so in the memory of one.
        let work = move || {
            let typed = batches.map(|batch| typed(&layout, &batch.map_err(in_words)?));
            typed.filter_map(Result::transpose).collect()
        };
        return in_background(work).await.map_err(|reason| damaged(version, &path, reason));
    }
    let mut batches = file.read(&columns).map_err(|error| parquet_error(version, &path, error))?;
    let mut chunks = Vec::new();
    // Decoding goes on while the batches before are typed.
    let mut typing: VecDeque<JoinHandle<Result<Option<Chunk>, String>>> = VecDeque::new();
    loop {
        let batch = batches.try_next().await.map_err(|error| parquet_error(version, &path, error))?;
        let ended = batch.is_none();
        if let Some(batch) = batch {
            let layout = layout.clone();
            typing.push_back(tokio::task::spawn_blocking(move || typed(&layout, &batch)));
        }
        while (ended || typing.len() >= TYPED_AT_ONCE)
            && let Some(typed) = typing.pop_front()
        {
            let typed = typed.await.unwrap_or_else(|error| Err(error.to_string()));
            chunks.extend(typed.map_err(|reason| damaged(version, &path, reason))?);
        }
        if ended {
            return Ok(chunks);
        }
    }
}

/// The adds of a batch; `None` when it has none.
fn typed(layout: &Layout, batch: &RecordBatch) -> Result<Option<Chunk>, String> {
    let Some(adds) = batch.column_by_name("add").and_then(|adds| adds.as_struct_opt()) else { return Ok(None) };
    let path = child(adds, "path").map_err(in_words)?.ok_or("it has no column add.path")?;
    let adds = match path.null_count() {
        0 => adds.clone(),
        nulls if nulls == path.len() => return Ok(None),
        _ => {
            let kept = is_not_null(&path).map_err(in_words)?;
            arrow::compute::filter(adds, &kept).map_err(in_words)?.as_struct().clone()
        }
    };
    let raw = raw_adds(layout, &adds).map_err(in_words)?;
    Chunk::try_new(layout, raw).map(Some)
}

fn raw_adds(layout: &Layout, adds: &StructArray) -> Result<RawAdds, ArrowError> {
    let size = numbers(required(adds, "size")?)?;
    if size.null_count() > 0 {
        return Err(ArrowError::SchemaError("a file has no size".to_owned()));
    }
    let modified_ms = match child(adds, "modificationTime")? {
        Some(times) => numbers(times)?.iter().map(|time| Some(time.unwrap_or(0))).collect(),
        None => Int64Array::from_value(0, adds.len()),
    };
    let mut partitions = Vec::with_capacity(layout.partitions.len());
    if !layout.partitions.is_empty() {
        let values = required(adds, "partitionValues")?;
        let values = values
            .as_map_opt()
            .ok_or_else(|| ArrowError::SchemaError("add.partitionValues is not a map".to_owned()))?;
        let (names, texts) = (text(values.keys())?, text(values.values())?);
        for column in &layout.partitions {
            partitions.push(values_of(values, &names, &texts, &column.stored));
        }
    }
    let stats = match child(adds, "stats_parsed")?.and_then(|parsed| parsed.as_struct_opt().cloned()) {
        Some(parsed) => RawStats::Struct(parsed),
        None => RawStats::Json(match child(adds, "stats")? {
            Some(stats) => cast(&stats, &DataType::Utf8View)?.as_string_view().clone(),
            None => StringViewArray::new_null(adds.len()),
        }),
    };
    let vectors = match child(adds, "deletionVector")?.and_then(|vectors| vectors.as_struct_opt().cloned()) {
        Some(vectors) => vectors_of(&vectors)?,
        None => None,
    };
    let (sorted_by, tier, class) = match child(adds, "tags")?.and_then(|tags| tags.as_map_opt().cloned()) {
        Some(tags) => {
            let (names, texts) = (text(tags.keys())?, text(tags.values())?);
            let values = |tag| Some(values_of(&tags, &names, &texts, tag));
            (values(SORTED_BY), values(TIER), values(STORAGE_CLASS))
        }
        None => (None, None, None),
    };
    let paths = text(&required(adds, "path")?)?;
    Ok(RawAdds { paths, sizes: size, modified_ms, vectors, partitions, sorted_by, tier, class, stats })
}

fn vectors_of(vectors: &StructArray) -> Result<Option<Vectors>, ArrowError> {
    let storage_type = text(&required(vectors, "storageType")?)?;
    if storage_type.null_count() == storage_type.len() {
        return Ok(None);
    }
    let small = |name: &str| -> Result<Int32Array, ArrowError> {
        let values = child(vectors, name)?;
        let values = values.map(|values| cast(&values, &DataType::Int32)).transpose()?;
        Ok(values.map_or_else(|| Int32Array::new_null(vectors.len()), |v| v.as_primitive::<Int32Type>().clone()))
    };
    Ok(Some(Vectors {
        storage_type,
        path_or_inline: text(&required(vectors, "pathOrInlineDv")?)?,
        offset: small("offset")?,
        size_in_bytes: small("sizeInBytes")?,
        cardinality: numbers(required(vectors, "cardinality")?)?,
    }))
}

fn required(parent: &StructArray, name: &str) -> Result<ArrayRef, ArrowError> {
    child(parent, name)?.ok_or_else(|| ArrowError::SchemaError(format!("it has no column {name}")))
}

fn text(values: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn numbers(values: ArrayRef) -> Result<Int64Array, ArrowError> {
    Ok(cast(&values, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
