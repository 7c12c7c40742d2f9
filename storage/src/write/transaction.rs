//! One log entry, all or nothing: the way in which statements change a table.
//!
//! ```text
//! actions --put-if-absent--> the next version ---> committed
//!              | taken: is it ours? (an answer was lost)
//!              | no: look at what the rivals did   ---> Conflict, or one version further
//! ```
//! Every entry carries a `txnId` of its own, which makes its bytes unlike any other's: so a commit recognizes itself. The
//! snapshot cache takes over what was committed, so that the next statement reads nothing again.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arrow::{
    array::{Array, ArrayRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use bytes::Bytes;
use deltalake::kernel::{Action, Add, AddCDCFile, DeletionVectorDescriptor, Metadata, Protocol};
use object_store::ObjectStore;
use serde_json::{Map, Value, json};

use super::{
    CommitInfo, Committed, commit_time,
    conflict::{Claim, Collision, Reads, collision},
    data::file_rows,
    discard::Discard,
    identity::differ_in_numbers_only,
    once::{self, carried_out, done_by_rival},
    protocol::{check, check_writable},
    provenance::provenance,
    put::{Put, follow_up, put},
    rewrite::Rewritten,
};
use crate::{
    Lake, Snapshot, StorageError,
    catalog::backoff,
    lake::Home,
    log::{COLD, Commit, LogError, RawCommit, SORTED_BY, STORAGE_CLASS, Stamp, TIER, physical_name},
    maintain,
    table::table_store,
};

/// How often a commit is tried behind rivals that were faster.
const ATTEMPTS_MAX: usize = 100;
/// Waits between attempts grow up to this step.
const BACKOFF_STEP_MAX: usize = 4;

/// What a statement does, for the table's history.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operation {
    /// `WRITE`, `MERGE`, `DELETE`, ... as other writers call it.
    pub(crate) name: &'static str,
    pub(crate) parameters: BTreeMap<String, String>,
    /// `operationMetrics` under the names that other writers give them.
    pub(crate) metrics: BTreeMap<String, u64>,
    /// Rows that the statement tells its client.
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

/// What one statement wants to commit onto one version of a table.
///
/// Dropped without a commit, or refused, it deletes the files that were written for it.
#[derive(Debug)]
pub(crate) struct Transaction {
    base: Arc<Snapshot>,
    operation: Operation,
    reads: Reads,
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    /// Removes before adds: the order in one commit counts.
    removes: Vec<Value>,
    adds: Vec<Value>,
    /// Files of the change feed.
    changes: Vec<Value>,
    removed: HashSet<String>,
    written: Discard,
    now_ms: i64,
}

impl Transaction {
    /// On the version that the statement read. It reads the whole table until it says otherwise.
    pub(crate) fn new(lake: &Lake, base: &Arc<Snapshot>, operation: Operation) -> Result<Self, StorageError> {
        check_writable(base)?;
        let store = table_store(lake.store_registry(), base.location())?;
        Ok(Self {
            base: base.clone(),
            operation,
            reads: Reads::default(),
            protocol: None,
            metadata: None,
            removes: Vec::new(),
            adds: Vec::new(),
            changes: Vec::new(),
            removed: HashSet::new(),
            written: Discard::new(store),
            now_ms: now_ms(),
        })
    }

    pub(crate) fn reads(&mut self, reads: Reads) {
        self.reads = reads;
    }

    pub(crate) fn operation_mut(&mut self) -> &mut Operation {
        &mut self.operation
    }

    /// Adds files that were written for this commit: they are deleted when it does not come about.
    pub(crate) fn add_written(&mut self, files: Vec<Add>) -> Result<(), StorageError> {
        for file in files {
            self.written.note(&file.path);
            self.add(file)?;
        }
        Ok(())
    }

    /// The same for files of rows that the statement appends, which it tells its client and the history.
    pub(crate) fn append_written(&mut self, files: Vec<Add>) -> Result<(), StorageError> {
        let rows: u64 = files.iter().map(file_rows).sum();
        let bytes: u64 = files.iter().filter_map(|file| u64::try_from(file.size).ok()).sum();
        self.operation.inserted += rows;
        for (name, count) in [("numFiles", files.len() as u64), ("numOutputRows", rows), ("numOutputBytes", bytes)] {
            *self.operation.metrics.entry(name.to_owned()).or_default() += count;
        }
        self.add_written(files)
    }

    /// Adds files of the change feed, which must tell of all rows that this commit changes. They are deleted when it does
    /// not come about.
    pub(super) fn add_changes(&mut self, files: Vec<Add>) -> Result<(), StorageError> {
        for Add { path, size, partition_values, .. } in files {
            self.written.note(&path);
            // Delta protocol, "Add CDC File": they change no data.
            let change = AddCDCFile { path, size, partition_values, data_change: false, tags: None };
            self.changes.push(line(&Action::Cdc(change))?);
        }
        Ok(())
    }

    /// Adds a file that is there whatever becomes of this commit.
    pub(crate) fn add(&mut self, file: Add) -> Result<(), StorageError> {
        self.adds.push(line(&Action::Add(file))?);
        Ok(())
    }

    /// Adds a file of the version that was read once more, by its position in the index: with a vector of all its hidden
    /// rows. The same commit removes it.
    pub(crate) fn add_hiding(
        &mut self,
        file: usize,
        vector: &DeletionVectorDescriptor,
        stats: &str,
    ) -> Result<(), StorageError> {
        let index = self.base.files()?;
        let mut add = json!({
            "path": index.path(file),
            "partitionValues": self.partition_values(file)?,
            "size": index.size(file),
            "modificationTime": index.modified_ms(file),
            "dataChange": true,
            "stats": stats,
            "deletionVector": serde_json::to_value(vector).map_err(unwritable)?,
        });
        // Rows that are hidden leave the others in their order, and the file in its tier.
        let sorted_by = index.sorted_by_stored(file).map(|column| (SORTED_BY.to_owned(), json!(column)));
        let tier = index.is_cold(file).then(|| (TIER.to_owned(), json!(COLD)));
        let class = index.storage_class(file).map(|class| (STORAGE_CLASS.to_owned(), json!(class)));
        let tags: Map<String, Value> = sorted_by.into_iter().chain(tier).chain(class).collect();
        if !tags.is_empty() {
            add["tags"] = Value::Object(tags);
        }
        self.adds.push(json!({ "add": add }));
        Ok(())
    }

    /// Adds a file that takes the place of one of the version that was read, with its partition values: it is deleted when
    /// the commit does not come about.
    pub(super) fn add_rewritten(&mut self, file: &Rewritten) -> Result<(), StorageError> {
        self.written.note(file.path.as_ref());
        let add = json!({
            "path": file.url,
            "partitionValues": self.partition_values(file.file)?,
            "size": file.size,
            "modificationTime": self.now_ms,
            "dataChange": true,
            "stats": file.stats,
        });
        self.adds.push(json!({ "add": add }));
        Ok(())
    }

    /// A file beside the data that was written for this commit: it is deleted when the commit does not come about.
    pub(crate) fn note_written(&mut self, path: &str) {
        self.written.note(path);
    }

    /// Adds a file by what a log said of it before.
    pub(crate) fn add_said(&mut self, add: Value) {
        self.adds.push(json!({ "add": add }));
    }

    /// Removes a file of the version that was read, by its position in the index, together with its deletion vector.
    /// `data_change` is false when other files of this commit hold its rows.
    pub(crate) fn remove(&mut self, file: usize, data_change: bool) -> Result<(), StorageError> {
        if data_change && is_append_only(&self.base) {
            return Err(StorageError::AppendOnly { table: self.base.name().to_owned() });
        }
        let index = self.base.files()?;
        let path = index.path(file);
        let values = self.partition_values(file)?;
        let mut remove = json!({
            // As the log has it: that is what identifies the file.
            "path": path,
            "deletionTimestamp": self.now_ms,
            "dataChange": data_change,
            "extendedFileMetadata": true,
            "partitionValues": values,
            "size": index.size(file),
        });
        if let (Some(vector), Some(fields)) = (index.deletion_vector(file), remove.as_object_mut()) {
            let vector = serde_json::to_value(vector).map_err(unwritable)?;
            fields.insert("deletionVector".to_owned(), vector);
        }
        self.removed.insert(path.to_owned());
        self.removes.push(json!({ "remove": remove }));
        Ok(())
    }

    /// A file's partition values as the log has them.
    fn partition_values(&self, file: usize) -> Result<Map<String, Value>, StorageError> {
        let index = self.base.files()?;
        let mut values = Map::new();
        let schema = self.base.arrow_schema();
        for (name, column) in index.partitions() {
            let stored = schema.field_with_name(name).map_or(name.as_str(), |field| physical_name(field));
            let text = match column.is_null(file) {
                true => Value::Null,
                false => Value::String(partition_text(column, file)?),
            };
            values.insert(stored.to_owned(), text);
        }
        Ok(values)
    }

    pub(crate) fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = Some(metadata);
    }

    /// `UnsupportedFeature` for one that could not be honoured from then on.
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) -> Result<(), StorageError> {
        check(self.base.name(), &protocol, self.base.columns())?;
        self.protocol = Some(protocol);
        Ok(())
    }

    /// Commits behind whatever rivals committed meanwhile, as long as that does not touch what was read or removed.
    ///
    /// `Conflict` says what collided: nothing is committed then, and the statement may run again on the new version.
    /// `Undecided` when the store did not tell; the files stay in this case.
    ///
    /// A caller that goes away does not stop it, once the audit is passed, if the commit has to pass one.
    pub(crate) async fn commit(self, lake: &Lake, info: &CommitInfo) -> Result<Committed, StorageError> {
        if let Err(refused) = self.audited(lake, info).await {
            self.written.delete().await;
            return Err(refused);
        }
        let (home, own) = (lake.home(), info.clone());
        let work = tokio::spawn(async move { self.commit_at(&home, &own).await });
        let failed = |error| StorageError::Internal { message: format!("a commit failed: {error}") };
        info.timed(async { work.await.unwrap_or_else(|error| Err(failed(error))) }).await
    }

    pub(super) async fn commit_at(self, home: &Home, info: &CommitInfo) -> Result<Committed, StorageError> {
        let store = table_store(&home.stores, self.base.location())?;
        if let Some(done) = carried_out(&store, &self.base, info).await? {
            self.written.delete().await;
            return Ok(done);
        }
        let mut rivals: Vec<Commit> = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            let version = rivals.last().map_or(self.base.version(), |rival| rival.version) + 1;
            if !self.is_same_table(&*store).await? {
                return Err(self.conflict(Collision::Replaced).await);
            }
            let time = self.commit_time(&*store, version).await?;
            let bytes = self.bytes(version, info, time)?;
            self.written.keep();
            match put(&*store, version, &bytes, &home.commits).await {
                Ok(Put::Written(stamp)) => return Ok(self.committed(home, version, bytes, stamp, rivals).await),
                Ok(Put::Taken(rival)) => {
                    // Nothing of ours is in the log.
                    self.written.reclaim();
                    let log_error = |error| self.log_error(error);
                    let first = rival.parse().await.map_err(log_error)?;
                    let news = follow_up(&store, first).await.map_err(log_error)?;
                    if let Some(done) = done_by_rival(&news, &self.base, info)? {
                        self.written.delete().await;
                        return Ok(done);
                    }
                    let claim = Claim {
                        base: &self.base,
                        reads: &self.reads,
                        removed: &self.removed,
                        redefines: self.metadata.is_some() || self.protocol.is_some(),
                    };
                    if let Some(found) = news.iter().find_map(|rival| collision(&claim, rival)) {
                        return Err(self.conflict(found).await);
                    }
                    if info.publication.is_some() {
                        return Err(self.conflict(Collision::Audited { version }).await);
                    }
                    rivals.extend(news);
                }
                Err(source) => {
                    return Err(StorageError::Undecided { table: self.base.name().to_owned(), version, source });
                }
            }
            tokio::time::sleep(backoff(attempt.min(BACKOFF_STEP_MAX))).await;
        }
        Err(self.conflict(Collision::Attempts { attempts: ATTEMPTS_MAX }).await)
    }

    /// A blind append that adds files and does nothing else: several of these can be one commit.
    pub(super) fn is_plain_append(&self) -> bool {
        self.is_blind() && self.metadata.is_none() && self.operation.name == "WRITE"
    }

    fn is_blind(&self) -> bool {
        matches!(self.reads, Reads::Nothing)
            && self.removes.is_empty()
            && self.protocol.is_none()
            // Numbers for the rows are not read from rows.
            && self.metadata.as_ref().is_none_or(|new| differ_in_numbers_only(new, &self.base.log().metadata))
    }

    /// Lets a blind append, which read nothing of the table, begin at another version of the same definition.
    pub(super) fn rebase(&mut self, base: &Arc<Snapshot>) {
        debug_assert!(self.is_blind(), "what was read was read in one version");
        self.base = base.clone();
    }

    pub(super) fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    pub(super) fn operation(&self) -> &Operation {
        &self.operation
    }

    pub(super) fn added(&self) -> usize {
        self.adds.len()
    }

    /// Several appends to one table as one, on the newest of their versions. It deletes none of their files.
    pub(super) fn joined(store: Arc<dyn ObjectStore>, appends: &[&Self]) -> Option<Self> {
        let base = appends.iter().map(|append| &append.base).max_by_key(|base| base.version())?.clone();
        let mut operation = Operation::default();
        for append in appends {
            let Operation { name, parameters, metrics, inserted, .. } = &append.operation;
            (operation.name, operation.parameters) = (name, parameters.clone());
            operation.inserted += inserted;
            for (name, count) in metrics {
                *operation.metrics.entry(name.clone()).or_default() += count;
            }
        }
        Some(Self {
            base,
            operation,
            reads: Reads::Nothing,
            protocol: None,
            metadata: None,
            removes: Vec::new(),
            changes: Vec::new(),
            adds: appends.iter().flat_map(|append| append.adds.iter().cloned()).collect(),
            removed: HashSet::new(),
            written: Discard::new(store),
            now_ms: now_ms(),
        })
    }

    /// Its files are, or may be, in the log: they stay.
    pub(super) fn keep_files(&self) {
        self.written.keep();
    }

    /// Whether the version that was read is still the one in the log.
    async fn is_same_table(&self, store: &dyn ObjectStore) -> Result<bool, StorageError> {
        let same = self.base.is_current_file(store).await;
        same.map_err(|source| StorageError::Store {
            action: "look for a commit of",
            path: self.base.name().to_owned(),
            source,
        })
    }

    async fn committed(
        self,
        home: &Home,
        version: u64,
        bytes: Bytes,
        stamp: Option<Stamp>,
        mut commits: Vec<Commit>,
    ) -> Committed {
        if let Some(stamp) = stamp
            && let Ok(own) = RawCommit::written(version, bytes, stamp).parse().await
        {
            commits.push(own);
            home.snapshots.committed(&self.base, commits).await;
        }
        maintain::committed(home, &self.base, version);
        let Operation { inserted, updated, deleted, .. } = self.operation;
        Committed { version, rows_inserted: inserted, rows_updated: updated, rows_deleted: deleted }
    }

    /// The time that the commit says of itself, where the table wants one.
    pub(super) async fn commit_time(&self, store: &dyn ObjectStore, version: u64) -> Result<Option<i64>, StorageError> {
        let enabled = match &self.metadata {
            Some(metadata) => commit_time::is_enabled(metadata.configuration().get(commit_time::ENABLED)),
            None => commit_time::is_enabled(self.base.properties().get(commit_time::ENABLED)),
        };
        if !enabled {
            return Ok(None);
        }
        let before = commit_time::of_version(store, version - 1).await.map_err(|error| self.log_error(error))?;
        Ok(Some(commit_time::next(now_ms(), before)))
    }

    /// The log entry: what happened first, then what the table is, then its files.
    pub(super) fn bytes(&self, version: u64, info: &CommitInfo, time_ms: Option<i64>) -> Result<Bytes, StorageError> {
        let mut provenance = self.provenance(info);
        if let (Some(time), Some(fields)) = (time_ms, provenance.as_object_mut()) {
            fields.insert(commit_time::FIELD.to_owned(), time.into());
        }
        let mut lines = vec![json!({ "commitInfo": provenance })];
        lines.push(once::action(info, version));
        lines.extend(info.publication.iter().flat_map(|publication| publication.actions()));
        lines.extend(self.protocol.as_ref().map(|protocol| line(&Action::Protocol(protocol.clone()))).transpose()?);
        if let Some(metadata) = &self.metadata {
            let metadata = commit_time::with_beginning(metadata, &self.base, version, time_ms.unwrap_or_default());
            lines.push(json!({ "metaData": metadata.map_err(unwritable)? }));
        }
        let mut text = String::new();
        for line in lines.iter().chain(&self.removes).chain(&self.adds).chain(&self.changes) {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        Ok(Bytes::from(text))
    }

    fn provenance(&self, info: &CommitInfo) -> Value {
        provenance(&self.operation, Some(self.base.version()), self.is_blind(), info)
    }

    /// Nothing of ours is in the log: its files go.
    async fn conflict(&self, found: Collision) -> StorageError {
        self.written.delete().await;
        StorageError::Conflict { table: self.base.name().to_owned(), source: Box::new(found) }
    }

    fn log_error(&self, error: LogError) -> StorageError {
        crate::table::log_error(self.base.name(), self.base.location(), error)
    }
}

/// Delta protocol, "Partition Value Serialization".
pub(crate) fn partition_text(values: &ArrayRef, file: usize) -> Result<String, StorageError> {
    const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.6f";
    let options =
        FormatOptions::default().with_timestamp_format(Some(TIMESTAMP)).with_timestamp_tz_format(Some(TIMESTAMP));
    let text = ArrayFormatter::try_new(values.as_ref(), &options).and_then(|text| text.value(file).try_to_string());
    text.map_err(|error| StorageError::Internal { message: format!("a partition value has no text: {error}") })
}

fn is_append_only(base: &Snapshot) -> bool {
    base.properties().get("delta.appendOnly").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

pub(super) fn line(action: &Action) -> Result<Value, StorageError> {
    serde_json::to_value(action).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> StorageError {
    StorageError::Internal { message: format!("an action of a commit cannot be written: {error}") }
}

/// Milliseconds since 1970, UTC.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
