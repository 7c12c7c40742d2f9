//! Write, audit, publish: a version that is looked at before it is one.
//!
//! ```text
//! data files --> the version that the commit would make --audit--> refused: the files go, nothing was ever seen
//!                                                        --------> one log entry, with what the publisher wrote down
//! ```
//! What was looked at is what is committed: where another writer was faster, the statement runs again as a whole.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use super::{
    CommitInfo,
    transaction::{Transaction, now_ms},
};
use crate::{
    Lake, Snapshot, StorageError, log,
    table::{Library, log_error, table_store},
};

type Audit = dyn Fn(Arc<Snapshot>) -> BoxFuture<'static, Result<(), StorageError>> + Send + Sync;

/// What a commit has to pass before it is one, and what it says besides.
pub struct Publication {
    /// Programs and their numbers.
    transactions: Vec<(String, i64)>,
    info: Value,
    audit: Box<Audit>,
}

impl Publication {
    /// `audit` sees the table as the commit would leave it, and refuses it with an error, which is the write's then. It may
    /// be asked more than once. The commit holds an application transaction, `program` with `number`, which tells later
    /// ([`Snapshot::transaction`]) what was published last, and `info` for the table's history.
    pub fn new(
        program: impl Into<String>,
        number: i64,
        info: Value,
        audit: impl Fn(Arc<Snapshot>) -> BoxFuture<'static, Result<(), StorageError>> + Send + Sync + 'static,
    ) -> Self {
        Self { transactions: vec![(program.into(), number)], info, audit: Box::new(audit) }
    }

    /// The same, whose commit holds an application transaction more.
    pub fn with(mut self, program: impl Into<String>, number: i64) -> Self {
        self.transactions.push((program.into(), number));
        self
    }

    /// For the history.
    pub(super) fn info(&self) -> &Value {
        &self.info
    }

    /// The actions that tell what was published.
    pub(super) fn actions(&self) -> impl Iterator<Item = Value> {
        let action = |(program, number): &(String, i64)| json!({ "txn": { "appId": program, "version": number, "lastUpdated": now_ms() } });
        self.transactions.iter().map(action)
    }

    /// Asks whether the log entry `bytes` may follow `base`.
    async fn audit_next(&self, base: &Arc<Snapshot>, bytes: &Bytes) -> Result<(), StorageError> {
        let staged = log::staged(Some(base.log()), bytes.clone()).await;
        let staged = staged.map_err(|error| log_error(base.name(), base.location(), error))?;
        let (name, location, library) = (base.name().to_owned(), base.location().clone(), base.library().clone());
        (self.audit)(Arc::new(Snapshot::new(name, location, staged, library))).await
    }

    /// Asks whether a table may begin with the log entry `bytes`.
    pub(super) async fn audit_first(
        &self,
        lake: &Lake,
        table: &str,
        location: &Url,
        bytes: &Bytes,
    ) -> Result<(), StorageError> {
        let staged = log::staged(None, bytes.clone()).await.map_err(|error| log_error(table, location, error))?;
        let library = Library::new(table.to_owned(), location.clone(), lake.store_registry().clone());
        (self.audit)(Arc::new(Snapshot::new(table.to_owned(), location.clone(), staged, Arc::new(library)))).await
    }
}

impl Transaction {
    /// Asks whether what it would commit may be committed, if somebody wants to be asked.
    pub(super) async fn audited(&self, lake: &Lake, info: &CommitInfo) -> Result<(), StorageError> {
        let Some(publication) = &info.publication else { return Ok(()) };
        let (base, version) = (self.base(), self.base().version() + 1);
        let store = table_store(lake.store_registry(), base.location())?;
        let time = self.commit_time(&*store, version).await?;
        publication.audit_next(base, &self.bytes(version, info, time)?).await
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, info, .. } = self;
        f.debug_struct("Publication").field("transactions", transactions).field("info", info).finish()
    }
}
