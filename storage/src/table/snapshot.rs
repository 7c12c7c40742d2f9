//! One table at one version.
//!
//! Made by the cache (`cache.rs`), handed to scans and writes, never changed: what a query sees of a table is decided
//! when it gets its snapshot. The typed file index is built on first use and lives as long as the snapshot.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use deltalake::{
    DeltaTable,
    kernel::{EagerSnapshot, engine::arrow_conversion::TryIntoArrow},
};
use object_store::ObjectStore;
use url::Url;

use super::{cache::Stamp, files::FileIndex, scan};
use crate::{StorageError, hot::HotCopies};

/// The metadata key under which a column's comment stands, in Delta and here.
pub(crate) const COMMENT_KEY: &str = "comment";

/// Numbers the snapshots of this process.
static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

/// A table pinned to one version. Immutable; shared by all queries that read this version.
#[derive(Debug)]
pub struct Snapshot {
    serial: u64,
    name: String,
    location: Url,
    table: DeltaTable,
    version: u64,
    schema: SchemaRef,
    properties: BTreeMap<String, String>,
    stamp: Option<Stamp>,
    hot: Option<Arc<HotCopies>>,
    files: OnceLock<FileIndex>,
}

impl Snapshot {
    /// Wraps a loaded table. `stamp` is the identity of the version's commit file while there is one.
    pub(crate) fn try_new(
        name: String,
        location: Url,
        table: DeltaTable,
        stamp: Option<Stamp>,
    ) -> Result<Self, StorageError> {
        let read_error = |source: deltalake::DeltaTableError| StorageError::ReadTable {
            table: name.clone(),
            location: location.to_string(),
            source: Box::new(source),
        };
        let state = table.snapshot().map_err(read_error)?;
        let version = state.version();
        let schema: Schema = state.schema().as_ref().try_into_arrow().map_err(|e| read_error(e.into()))?;
        let schema = Arc::new(Schema::new(schema.fields().iter().map(|f| logical_field(f)).collect::<Vec<_>>()));
        let properties = state.metadata().configuration().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let (serial, hot, files) = (SNAPSHOTS.fetch_add(1, Ordering::Relaxed), None, OnceLock::new());
        Ok(Self { serial, name, location, version, schema, properties, stamp, table, hot, files })
    }

    /// Lets scans read hot copies.
    pub(crate) fn with_hot(self, hot: Option<Arc<HotCopies>>) -> Self {
        Self { hot, ..self }
    }

    pub(crate) fn hot(&self) -> Option<&Arc<HotCopies>> {
        self.hot.as_ref()
    }

    /// `schema.table`, or the location for a table that has no name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A number that no other snapshot of this process has, not even of the same version: two reads of the table gave the
    /// same rows when they had snapshots of one number.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Where the table lies, with a trailing slash.
    pub fn location(&self) -> &Url {
        &self.location
    }

    /// The Delta metadata id: tells a table from another that took its name.
    pub fn id(&self) -> &str {
        self.state().metadata().id()
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// Logical schema, partition columns in their declared place, column comments under the metadata key `comment`.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub fn partition_columns(&self) -> &[String] {
        self.state().metadata().partition_columns()
    }

    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    pub fn comment(&self) -> Option<&str> {
        self.state().metadata().description()
    }

    /// Milliseconds since 1970, UTC.
    pub fn created_ms(&self) -> Option<i64> {
        self.state().metadata().created_time()
    }

    /// Milliseconds since 1970, UTC, of the commit of this version.
    pub fn modified_ms(&self) -> Option<i64> {
        let listed = self.state().version_timestamp(self.version);
        listed.or(self.stamp.as_ref().map(Stamp::modified_ms))
    }

    pub fn file_count(&self) -> usize {
        self.state().log_data().num_files()
    }

    pub fn size_bytes(&self) -> u64 {
        self.state().log_data().iter().map(|file| u64::try_from(file.size()).unwrap_or(0)).sum()
    }

    pub fn reader_version(&self) -> i32 {
        self.state().protocol().min_reader_version()
    }

    pub fn writer_version(&self) -> i32 {
        self.state().protocol().min_writer_version()
    }

    /// Reader and writer features by their protocol names, sorted.
    pub fn features(&self) -> Vec<String> {
        let protocol = self.state().protocol();
        let reader = protocol.reader_features().unwrap_or_default();
        let writer = protocol.writer_features().unwrap_or_default();
        let mut names: Vec<String> = reader.iter().chain(writer).map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What DataFusion scans.
    pub fn provider(self: &Arc<Self>) -> Result<Arc<dyn TableProvider>, StorageError> {
        scan::provider(self)
    }

    /// The typed index of the files, built by the first scan.
    pub(crate) fn files(&self) -> Result<&FileIndex, StorageError> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = FileIndex::load(&self.table, &self.schema).map_err(|source| StorageError::ReadTable {
            table: self.name.clone(),
            location: self.location.to_string(),
            source: Box::new(source),
        })?;
        Ok(self.files.get_or_init(|| files))
    }

    /// The identity of this version's commit file.
    pub(crate) fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Whether the commit file of this version is still the one that was read: false once the table was made anew.
    pub(crate) async fn is_current_file(&self, table_store: &dyn ObjectStore) -> object_store::Result<bool> {
        let Some(known) = &self.stamp else { return Ok(true) };
        Ok(Stamp::read(table_store, self.version).await?.as_ref() == Some(known))
    }

    /// The loaded table of the Delta library: its state is always there.
    pub(crate) fn delta(&self) -> &DeltaTable {
        &self.table
    }

    /// The loaded log of this version.
    pub(crate) fn state(&self) -> &EagerSnapshot {
        #[expect(clippy::expect_used, reason = "`try_new` refuses a table without state")]
        self.table.snapshot().expect("a snapshot holds a loaded table").snapshot()
    }
}

/// A column as SQL sees it: of the protocol's metadata only the comment is kept, so that plans compare equal.
fn logical_field(field: &Field) -> Field {
    let mut kept = Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    if let Some(comment) = field.metadata().get(COMMENT_KEY) {
        kept.set_metadata([(COMMENT_KEY.to_owned(), comment.clone())].into());
    }
    kept
}
