//! Checkpoints, written: all that a version says in one place, so that the commits before it are needed no more.
//!
//! ```text
//! commits since the last checkpoint, newest first --+
//! the last checkpoint, batch by batch --------------+--reconcile--> rows --> the new file --> the hint
//! ```
//! Memory holds the names of the files that those commits touch and one row group. The file appears when it is complete;
//! what it holds must be what the version has, file by file, or it is not written. A table that is dropped meanwhile takes
//! its checkpoint along.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::SchemaRef,
    error::ArrowError,
};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    LogError, LogState, RawCommit, Stamp,
    checkpoint::{self, damaged, parquet_error},
    columns::{FILE_COLUMNS, rows_of},
    commit::in_background,
    list::{Checkpoint, Listing, checkpoint_path, commit_path, hint, hint_path, list, sidecar_path},
    parsed::ParsedFields,
    reconcile::{Reconciler, Shape},
    upload::Upload,
};

/// Commits that are read ahead.
const READS_AT_ONCE: usize = 8;
/// A sidecar with so many files is ended: readers read several at once.
const SIDECAR_ROWS: u64 = 1 << 19;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) actions: u64,
    pub(crate) bytes: u64,
}

/// Writes the checkpoint of a version, and the hint at it. `None` when there is one already.
pub(crate) fn write_checkpoint<'a>(
    store: &'a Arc<dyn ObjectStore>,
    state: &'a LogState,
    shape: Shape,
) -> BoxFuture<'a, Result<Option<Written>, LogError>> {
    // Boxed: callers are deep enough without its type.
    write(store, state, shape).boxed()
}

async fn write(store: &Arc<dyn ObjectStore>, state: &LogState, shape: Shape) -> Result<Option<Written>, LogError> {
    let version = state.version;
    let listing = list(store.as_ref(), 0).await?;
    if listing.checkpoints.iter().any(|checkpoint| checkpoint.version == version) {
        return Ok(None);
    }
    let before = listing.checkpoints.iter().rev().filter(|checkpoint| checkpoint.version < version);
    let mut failed = None;
    for start in before.map(Some).chain([None]) {
        let mut file = NewCheckpoint::begin(store, state, shape)?;
        let written = match file.fill(&listing, start, shape).await {
            Ok(()) => file.complete().await,
            Err(error) => {
                file.abort().await;
                Err(error)
            }
        };
        match written {
            // Older ones and more commits may tell the same.
            Err(error @ (LogError::Checkpoint { .. } | LogError::Gap { .. })) => failed = failed.or(Some(error)),
            written => return written.map(Some),
        }
    }
    Err(failed.unwrap_or_else(|| LogError::Gap { version, path: commit_path(version) }))
}

/// A checkpoint on its way.
struct NewCheckpoint<'a> {
    store: &'a Arc<dyn ObjectStore>,
    state: &'a LogState,
    schema: SchemaRef,
    main: Upload,
    /// Of a V2 checkpoint, the file that takes what is said of data files.
    sidecars: Option<Sidecars>,
    files: u64,
    file_bytes: u64,
}

struct Sidecars {
    open: Option<Upload>,
    /// Names, sizes and rows.
    complete: Vec<(String, u64, u64)>,
}

impl<'a> NewCheckpoint<'a> {
    fn begin(store: &'a Arc<dyn ObjectStore>, state: &'a LogState, shape: Shape) -> Result<Self, LogError> {
        let schema = reconciler(state, shape).schema();
        let path = checkpoint_path(state.version, shape.v2.then(Uuid::new_v4));
        let main = Upload::new(store.clone(), path, schema.clone()).map_err(|error| unwritten(state, error))?;
        let sidecars = shape.v2.then(|| Sidecars { open: None, complete: Vec::new() });
        Ok(Self { store, state, schema, main, sidecars, files: 0, file_bytes: 0 })
    }

    async fn fill(&mut self, listing: &Listing, start: Option<&Checkpoint>, shape: Shape) -> Result<(), LogError> {
        let version = self.state.version;
        let first = start.map_or(0, |checkpoint| checkpoint.version + 1);
        if let Some(gap) = (first..=version).find(|version| !listing.commits.contains_key(version)) {
            return Err(LogError::Gap { version: gap, path: commit_path(gap) });
        }
        self.write_head().await?;
        let mut reconciler = reconciler(self.state, shape);
        let mut commits = futures::stream::iter((first..=version).rev().map(|version| {
            let store = self.store.clone();
            async move { RawCommit::read(store.as_ref(), version).await }.boxed()
        }))
        .buffered(READS_AT_ONCE);
        while let Some(commit) = commits.try_next().await? {
            let commit = commit.ok_or(LogError::Replaced)?;
            let at = commit.version;
            let (back, rows) = json(reconciler, commit.bytes).await.map_err(|reason| LogError::Damaged {
                version: at,
                path: commit_path(at),
                reason,
            })?;
            reconciler = back;
            self.write(rows).await?;
        }
        if let Some(start) = start {
            self.write_kept(reconciler, start).await?;
        }
        let (files, bytes) = (self.state.files.len() as u64, self.state.files.total_bytes());
        if (self.files, self.file_bytes) != (files, bytes) {
            let reason = format!("it would have {} files of {files}, {} bytes of {bytes}", self.files, self.file_bytes);
            return Err(unwritten(self.state, reason));
        }
        Ok(())
    }

    /// What the table is.
    async fn write_head(&mut self) -> Result<(), LogError> {
        let failed = |error: serde_json::Error| unwritten(self.state, error);
        let protocol = serde_json::to_value(&self.state.protocol).map_err(failed)?;
        let metadata = serde_json::to_value(&self.state.metadata).map_err(failed)?;
        let mut actions = vec![json!({ "protocol": protocol }), json!({ "metaData": metadata })];
        if self.sidecars.is_some() {
            actions.push(json!({ "checkpointMetadata": { "version": self.state.version } }));
        }
        self.write_actions(&actions).await
    }

    async fn write_actions(&mut self, actions: &[Value]) -> Result<(), LogError> {
        let rows = rows_of(actions).and_then(|rows| {
            // These name no data file.
            let columns = self.schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
                match column.data_type() == field.data_type() {
                    true => column.clone(),
                    false => arrow::array::new_null_array(field.data_type(), rows.num_rows()),
                }
            });
            RecordBatch::try_new(self.schema.clone(), columns.collect())
        });
        let rows = rows.map_err(|error: ArrowError| unwritten(self.state, error))?;
        self.main.write(&rows).await.map_err(|error| unwritten(self.state, error))
    }

    /// What the checkpoint before says and nothing after it says otherwise.
    async fn write_kept(&mut self, mut reconciler: Reconciler, start: &Checkpoint) -> Result<(), LogError> {
        for meta in start.files.iter().filter(|meta| meta.location.extension() == Some("json")) {
            let path = meta.location.clone();
            let bytes = match self.store.get(&path).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let bytes = bytes.map_err(|source| LogError::Store { path: path.clone(), source })?;
            let (back, rows) = json(reconciler, bytes).await.map_err(|r| damaged(start.version, &path, r))?;
            reconciler = back;
            self.write(rows).await?;
        }
        for file in checkpoint::head(self.store, start).await?.files {
            let path = file.path().clone();
            let mut columns = FILE_COLUMNS.to_vec();
            columns.push("domainMetadata");
            if file.is_all_null("add.stats") {
                columns.push("add.stats_parsed");
            }
            let failed = |error| parquet_error(start.version, &path, error);
            let mut batches = file.read(&columns).map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                let work = in_background(move || {
                    let rows = reconciler.batch(&batch)?;
                    Ok((reconciler, rows))
                });
                let (back, rows) = work.await.map_err(|reason| damaged(start.version, &path, reason))?;
                reconciler = back;
                self.write(rows).await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, rows: Vec<RecordBatch>) -> Result<(), LogError> {
        for rows in rows {
            let (files, bytes) = adds(&rows);
            self.files += files;
            self.file_bytes += bytes;
            self.write_rows(&rows).await.map_err(|error| unwritten(self.state, error))?;
        }
        Ok(())
    }

    async fn write_rows(&mut self, rows: &RecordBatch) -> Result<(), parquet::errors::ParquetError> {
        let Some(sidecars) = &mut self.sidecars else { return self.main.write(rows).await };
        // Files here, all else there: a batch of JSON has both.
        let is_file = arrow::compute::or(
            &arrow::compute::is_not_null(&rows["add"])?,
            &arrow::compute::is_not_null(&rows["remove"])?,
        )?;
        let files = arrow::compute::filter_record_batch(rows, &is_file)?;
        let others = arrow::compute::filter_record_batch(rows, &arrow::compute::not(&is_file)?)?;
        if others.num_rows() > 0 {
            self.main.write(&others).await?;
        }
        if files.num_rows() == 0 {
            return Ok(());
        }
        let chosen: Vec<usize> =
            ["add", "remove"].iter().map(|name| files.schema().index_of(name)).collect::<Result<_, _>>()?;
        let files = files.project(&chosen)?;
        let open = match sidecars.open.take() {
            Some(open) => sidecars.open.insert(open),
            None => {
                let path = sidecar_path(&format!("{}.parquet", Uuid::new_v4()))
                    .map_err(|error| parquet::errors::ParquetError::External(Box::new(error)))?;
                sidecars.open.insert(Upload::new(self.store.clone(), path, files.schema())?)
            }
        };
        open.write(&files).await?;
        match open.rows() >= SIDECAR_ROWS {
            true => sidecars.complete_open().await,
            false => Ok(()),
        }
    }

    async fn complete(mut self) -> Result<Written, LogError> {
        let completed = self.complete_sidecars().await;
        let there = match &completed {
            Ok(()) => is_there(self.store, self.state).await,
            Err(_) => Ok(false),
        };
        match (completed, there) {
            (Ok(()), Ok(true)) => {}
            (completed, there) => {
                self.abort().await;
                completed?;
                there?;
                return Err(LogError::Replaced);
            }
        }
        let Self { store, state, main, sidecars, files, .. } = self;
        let sidecars = sidecars.map(|sidecars| sidecars.complete).unwrap_or_default();
        let (path, rows) = (main.path().clone(), main.rows());
        let actions = rows + sidecars.iter().map(|(_, _, rows)| rows).sum::<u64>();
        let bytes = match main.complete().await {
            Ok(bytes) => bytes + sidecars.iter().map(|(_, bytes, _)| bytes).sum::<u64>(),
            Err(error) => {
                delete(store, sidecars.into_iter().map(|(name, ..)| name)).await;
                return Err(unwritten(state, error));
            }
        };
        // A drop that ends before this look has deleted the commit, one that ends later deletes the checkpoint.
        if !is_there(store, state).await? {
            let _ = store.delete(&path).await;
            delete(store, sidecars.into_iter().map(|(name, ..)| name)).await;
            return Err(LogError::Replaced);
        }
        point_at(store, state.version, actions, bytes, files).await?;
        Ok(Written { actions, bytes })
    }

    /// Ends the sidecars and names them in the main file.
    async fn complete_sidecars(&mut self) -> Result<(), LogError> {
        let Some(sidecars) = &mut self.sidecars else { return Ok(()) };
        sidecars.complete_open().await.map_err(|error| unwritten(self.state, error))?;
        let now = chrono::Utc::now().timestamp_millis();
        let named = sidecars.complete.iter().map(
            |(name, bytes, _)| json!({ "sidecar": { "path": name, "sizeInBytes": bytes, "modificationTime": now } }),
        );
        let named: Vec<Value> = named.collect();
        match named.is_empty() {
            true => Ok(()),
            false => self.write_actions(&named).await,
        }
    }

    async fn abort(self) {
        self.main.abort().await;
        if let Some(Sidecars { open, complete }) = self.sidecars {
            if let Some(open) = open {
                open.abort().await;
            }
            delete(self.store, complete.into_iter().map(|(name, ..)| name)).await;
        }
    }
}

impl Sidecars {
    async fn complete_open(&mut self) -> Result<(), parquet::errors::ParquetError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (name, rows) = (open.path().filename().unwrap_or_default().to_owned(), open.rows());
        let bytes = open.complete().await?;
        self.complete.push((name, bytes, rows));
        Ok(())
    }
}

fn reconciler(state: &LogState, shape: Shape) -> Reconciler {
    Reconciler::new(shape, ParsedFields::new(&state.schema, state.metadata.partition_columns()))
}

/// Reconciles a file of JSON actions where it holds up nobody.
async fn json(mut reconciler: Reconciler, bytes: Bytes) -> Result<(Reconciler, Vec<RecordBatch>), String> {
    in_background(move || {
        let rows = reconciler.json(&bytes)?;
        Ok((reconciler, rows))
    })
    .await
}

/// How many files a batch adds, and their sizes.
fn adds(rows: &RecordBatch) -> (u64, u64) {
    use arrow::{array::AsArray, datatypes::Int64Type};
    let Some(adds) = rows.column_by_name("add").and_then(|adds| adds.as_struct_opt()) else { return (0, 0) };
    let sizes = adds.column_by_name("size").and_then(|sizes| sizes.as_primitive_opt::<Int64Type>());
    let bytes = sizes.map_or(0, |sizes| {
        (0..adds.len()).filter(|row| adds.is_valid(*row)).map(|row| u64::try_from(sizes.value(row)).unwrap_or(0)).sum()
    });
    ((adds.len() - adds.null_count()) as u64, bytes)
}

/// Is the version still the one in the log?
async fn is_there(store: &Arc<dyn ObjectStore>, state: &LogState) -> Result<bool, LogError> {
    let now = Stamp::read(store.as_ref(), state.version).await;
    let now = now.map_err(|source| LogError::Store { path: commit_path(state.version), source })?;
    Ok(now.is_some() && now == state.stamp)
}

/// Leaves a hint where readers begin, unless a later one is there.
async fn point_at(
    store: &Arc<dyn ObjectStore>,
    version: u64,
    actions: u64,
    bytes: u64,
    files: u64,
) -> Result<(), LogError> {
    if hint(store.as_ref()).await?.is_some_and(|known| known > version) {
        return Ok(());
    }
    let hint = json!({ "version": version, "size": actions, "sizeInBytes": bytes, "numOfAddFiles": files });
    let (path, payload) = (hint_path(), PutPayload::from(hint.to_string().into_bytes()));
    store.put(&path, payload).await.map_err(|source| LogError::Store { path, source })?;
    Ok(())
}

/// Sidecars that nothing names. Best effort.
async fn delete(store: &Arc<dyn ObjectStore>, names: impl Iterator<Item = String>) {
    for path in names.filter_map(|name| sidecar_path(&name).ok()) {
        if let Err(error) = store.delete(&path).await {
            tracing::debug!(%path, %error, "a sidecar of a checkpoint that was not written is left");
        }
    }
}

fn unwritten(state: &LogState, reason: impl ToString) -> LogError {
    LogError::Unwritten { version: state.version, reason: reason.to_string() }
}
