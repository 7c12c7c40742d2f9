//! The one place through which commits go: metadata, once-only token, retry.
//!
//! [`CommitLog`] stands between the library and the log. The library decides what to commit and checks conflicts; here it
//! is decided whether a commit that the store refused may have been ours (the store's answer can be lost, and a repeated
//! conditional write then meets the first one), and how long rivals wait before they try again.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::{
    DeltaResult, DeltaTableError,
    kernel::transaction::{CommitProperties, TransactionError},
    logstore::{CommitOrBytes, LogStore, LogStoreConfig, LogStoreRef},
};
use object_store::ObjectStore;
use parking_lot::Mutex;
use serde_json::Value;
use uuid::Uuid;

use crate::{Snapshot, StorageError, catalog::backoff};

/// How often a commit is tried against rivals that were faster, each time after a check for conflicts.
const RETRIES_MAX: usize = 100;
/// Longer statements are cut in the history.
pub(super) const STATEMENT_CHARS_MAX: usize = 2_000;
/// The protocol's mark of a column that the table fills itself, and of one with a rule.
pub(super) const GENERATED_KEY: &str = "delta.generationExpression";
pub(super) const INVARIANT_KEY: &str = "delta.invariants";
pub(super) const CLIENT: &str = concat!("boathouse.", env!("CARGO_PKG_VERSION"));

/// Who commits what, kept in the table's history.
#[derive(Debug, Clone, Default)]
pub struct CommitInfo {
    /// The statement's text, shortened, for the history.
    pub statement: Option<String>,
}

/// A commit that happened, and what it tells the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    pub version: u64,
    pub rows_inserted: u64,
    pub rows_updated: u64,
    pub rows_deleted: u64,
}

/// What goes into every commit of this product.
///
/// `txnId` makes the bytes of each commit unlike any other's, which is how a commit recognizes itself. It is not an
/// application transaction: those are kept in every checkpoint for ever, one per commit would grow without end.
pub(super) fn properties(info: &CommitInfo, retry: bool) -> CommitProperties {
    let mut metadata = HashMap::from([
        ("txnId".to_owned(), Value::String(Uuid::new_v4().to_string())),
        ("clientVersion".to_owned(), Value::String(CLIENT.to_owned())),
    ]);
    if let Some(statement) = &info.statement {
        let text: String = statement.chars().take(STATEMENT_CHARS_MAX).collect();
        metadata.insert("statement".to_owned(), Value::String(text));
    }
    CommitProperties::default()
        .with_metadata(metadata)
        .with_max_retries(if retry { RETRIES_MAX } else { 0 })
        // Both run in the background after the commit: see `maintain`.
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
}

/// What a commit did.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    committed: Option<Committed>,
    /// Version 0 was made by someone else.
    rival: bool,
    /// The table under the snapshot is not there any more.
    replaced: bool,
}

/// A table's log for one commit. The library asks for its name and takes the direct way only for this one.
pub(super) struct CommitLog {
    inner: LogStoreRef,
    /// The version that the statement read, whose successor is only written while it is the same table.
    base: Option<Arc<Snapshot>>,
    outcome: Mutex<Outcome>,
}

impl CommitLog {
    pub(super) fn new(inner: LogStoreRef, base: Option<Arc<Snapshot>>) -> Arc<Self> {
        Arc::new(Self { inner, base, outcome: Mutex::default() })
    }

    /// The commit that this log wrote.
    pub(super) fn committed(&self) -> Option<Committed> {
        self.outcome.lock().committed
    }

    /// Turns a failed write into what happened.
    pub(super) fn write_error(&self, table: &str, error: DeltaTableError) -> StorageError {
        let table = table.to_owned();
        let outcome = *self.outcome.lock();
        if let Some(refusal) = refusal(&error) {
            return refusal;
        }
        let source = Box::new(error);
        match &*source {
            // The library has no type for it.
            error if error.to_string().contains("Invalid data found") => {
                StorageError::ConstraintViolated { table, rules: self.rules(), source }
            }
            _ if outcome.rival => StorageError::TableExists { table },
            _ if outcome.replaced => StorageError::Conflict { table, source },
            DeltaTableError::Transaction { source: TransactionError::UnsupportedTableFeatures(features) } => {
                let features = features.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                StorageError::UnsupportedFeature { table, features }
            }
            DeltaTableError::Transaction {
                source: TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_),
            }
            | DeltaTableError::VersionAlreadyExists(_) => StorageError::Conflict { table, source },
            _ => StorageError::Write { table, source },
        }
    }

    /// What rows of the table have to fulfil, as the table says it.
    fn rules(&self) -> String {
        let Some(base) = &self.base else { return String::new() };
        let checks = base.properties().iter().filter(|(key, _)| key.starts_with("delta.constraints."));
        let mut rules: Vec<String> = checks.map(|(_, rule)| rule.clone()).collect();
        for field in base.columns().fields() {
            if let Some(rule) = field.metadata().get(GENERATED_KEY) {
                rules.push(format!("{} = {rule}", field.name()));
            }
            if let Some(rule) = field.metadata().get(INVARIANT_KEY) {
                rules.push(format!("{}: {rule}", field.name()));
            }
        }
        rules.join("; ")
    }

    fn record(&self, version: u64, bytes: &Bytes) {
        self.outcome.lock().committed =
            Some(Committed { version, rows_inserted: rows_added(bytes), ..Committed::default() });
    }

    /// Refuses to write a commit onto a table that took the place of the one that was read.
    async fn check_base(&self) -> Result<(), TransactionError> {
        let Some(base) = &self.base else { return Ok(()) };
        let same = base.is_current_file(&*self.inner.object_store(None)).await.map_err(TransactionError::from)?;
        if same {
            return Ok(());
        }
        self.outcome.lock().replaced = true;
        let source = "the table was dropped or replaced meanwhile".into();
        Err(TransactionError::LogStoreError { msg: "the log is not the one that was read".into(), source })
    }
}

#[async_trait]
impl LogStore for CommitLog {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn read_commit_entry(&self, version: u64) -> DeltaResult<Option<Bytes>> {
        self.inner.read_commit_entry(version).await
    }

    async fn write_commit_entry(
        &self,
        version: u64,
        commit: CommitOrBytes,
        operation_id: Uuid,
    ) -> Result<(), TransactionError> {
        let CommitOrBytes::LogBytes(bytes) = &commit else {
            return self.inner.write_commit_entry(version, commit, operation_id).await;
        };
        let bytes = bytes.clone();
        self.check_base().await?;
        let Err(error) = self.inner.write_commit_entry(version, commit, operation_id).await else {
            self.record(version, &bytes);
            return Ok(());
        };
        match self.inner.read_commit_entry(version).await {
            Ok(Some(found)) if found == bytes => {
                tracing::info!(version, "the store's answer to a commit was lost; the commit is there");
                self.record(version, &bytes);
                Ok(())
            }
            Ok(Some(_)) if self.base.is_none() => {
                // The library would go on and commit the new table's definition onto the rival's table.
                self.outcome.lock().rival = true;
                let source = "version 0 was made by someone else".into();
                Err(TransactionError::LogStoreError { msg: "the table exists".into(), source })
            }
            Ok(Some(_)) => {
                tokio::time::sleep(backoff(4)).await;
                Err(TransactionError::VersionAlreadyExists(version))
            }
            Ok(None) | Err(_) => Err(error),
        }
    }

    async fn abort_commit_entry(
        &self,
        version: u64,
        commit: CommitOrBytes,
        operation_id: Uuid,
    ) -> Result<(), TransactionError> {
        self.inner.abort_commit_entry(version, commit, operation_id).await
    }

    async fn get_latest_version(&self, start_version: u64) -> DeltaResult<u64> {
        self.inner.get_latest_version(start_version).await
    }

    fn object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.inner.object_store(operation_id)
    }

    fn root_object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.inner.root_object_store(operation_id)
    }

    fn config(&self) -> &LogStoreConfig {
        self.inner.config()
    }
}

/// Rows in the files that a commit adds, from their statistics.
fn rows_added(commit: &Bytes) -> u64 {
    let added = |line: &[u8]| -> Option<u64> {
        let action: Value = serde_json::from_slice(line).ok()?;
        let stats: Value = serde_json::from_str(action.get("add")?.get("stats")?.as_str()?).ok()?;
        stats.get("numRecords")?.as_u64()
    };
    commit.split(|byte| *byte == b'\n').filter_map(added).sum()
}

/// Our own refusal of a row, dug out of what the engine and the library wrapped around it.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<StorageError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<StorageError>() {
            Some(StorageError::NullValue { table, column }) => {
                return Some(StorageError::NullValue { table: table.clone(), column: column.clone() });
            }
            Some(StorageError::TypeMismatch { table, column, expected, given }) => {
                return Some(StorageError::TypeMismatch {
                    table: table.clone(),
                    column: column.clone(),
                    expected: expected.clone(),
                    given: given.clone(),
                });
            }
            _ => cause = error.source(),
        }
    }
    None
}
