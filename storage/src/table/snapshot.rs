//! One table at one version.
//!
//! Made by the cache (`cache.rs`), handed to scans and writes, never changed: what a query sees of a table is decided
//! when it gets its snapshot. The typed file index is built on first use and lives as long as the snapshot.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    datatypes::{Field, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::catalog::TableProvider;
use deltalake::kernel::{EagerSnapshot, Protocol, StructType};
use object_store::ObjectStore;
use url::Url;

use super::{files::FileIndex, library::Library, scan};
use crate::{
    StorageError,
    hot::HotCopies,
    log::{LogState, Stamp},
    warm::Blocks,
};

/// The metadata key under which a column's comment stands, in Delta and here.
pub(crate) const COMMENT_KEY: &str = "comment";
/// What the library takes for each file, by estimate: it tells no sizes.
const LIBRARY_FILE_BYTES: usize = 2048;

/// Numbers the snapshots of this process.
static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

/// A table pinned to one version. Immutable; shared by all queries that read this version.
#[derive(Debug)]
pub struct Snapshot {
    serial: u64,
    name: String,
    location: Url,
    log: LogState,
    schema: SchemaRef,
    properties: BTreeMap<String, String>,
    hot: Option<Arc<HotCopies>>,
    warm: Option<Arc<Blocks>>,
    files: OnceLock<FileIndex>,
    library: Arc<Library>,
    state: tokio::sync::OnceCell<EagerSnapshot>,
}

impl Snapshot {
    /// Wraps a loaded log. `library` is the one of this table.
    pub(crate) fn new(name: String, location: Url, log: LogState, library: Arc<Library>) -> Self {
        let schema = Arc::new(Schema::new(log.schema.fields().iter().map(|f| logical_field(f)).collect::<Vec<_>>()));
        let properties = log.metadata.configuration().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let (files, state) = (OnceLock::new(), tokio::sync::OnceCell::new());
        let serial = SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
        Self { serial, name, location, log, schema, properties, hot: None, warm: None, files, library, state }
    }

    /// Lets scans read hot copies.
    pub(crate) fn with_hot(self, hot: Option<Arc<HotCopies>>) -> Self {
        Self { hot, ..self }
    }

    pub(crate) fn hot(&self) -> Option<&Arc<HotCopies>> {
        self.hot.as_ref()
    }

    /// Lets scans read blocks that are near by.
    pub(crate) fn with_warm(self, warm: Option<Arc<Blocks>>) -> Self {
        Self { warm, ..self }
    }

    pub(crate) fn warm(&self) -> Option<&Arc<Blocks>> {
        self.warm.as_ref()
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
        self.log.metadata.id()
    }

    pub fn version(&self) -> u64 {
        self.log.version
    }

    /// Logical schema, partition columns in their declared place, column comments under the metadata key `comment`.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub fn partition_columns(&self) -> &[String] {
        self.log.metadata.partition_columns()
    }

    /// The columns as the log has them, with what it calls them in files: other text, perhaps other values under a name.
    pub fn schema_text(&self) -> String {
        let metadata = serde_json::to_value(&self.log.metadata).unwrap_or_default();
        format!("{:?} {}", self.log.metadata.partition_columns(), metadata["schemaString"].as_str().unwrap_or_default())
    }

    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    pub fn comment(&self) -> Option<&str> {
        self.log.metadata.description()
    }

    /// The number of a program's last application transaction, if it ever committed one.
    pub fn transaction(&self, program: &str) -> Option<i64> {
        self.log.transactions.get(program).copied()
    }

    /// The programs that committed application transactions, each with the number of its last one, in no order.
    pub fn transactions(&self) -> impl Iterator<Item = (&str, i64)> {
        self.log.transactions.iter().map(|(program, number)| (program.as_str(), *number))
    }

    /// Milliseconds since 1970, UTC.
    pub fn created_ms(&self) -> Option<i64> {
        self.log.metadata.created_time()
    }

    /// Milliseconds since 1970, UTC, of the commit of this version; `None` when its file was cleaned up.
    pub fn modified_ms(&self) -> Option<i64> {
        self.log.stamp.as_ref().map(Stamp::modified_ms)
    }

    pub fn file_count(&self) -> usize {
        self.log.files.len()
    }

    /// How many rows there are, as far as the log knows how many each file has.
    pub fn row_count(&self) -> Option<u64> {
        let index = self.files().ok()?;
        (0..index.len()).try_fold(0_u64, |sum, file| sum.checked_add(index.visible_rows(file)?))
    }

    /// Whether all files of another version of the table are here, too, none with other rows hidden.
    pub fn has_files_of(&self, other: &Self) -> bool {
        let (own, others) = (&self.log.files, &other.log.files);
        let own: HashSet<String> = (0..own.len()).map(|file| own.identity(file)).collect();
        (0..others.len()).all(|file| own.contains(&others.identity(file)))
    }

    pub fn size_bytes(&self) -> u64 {
        self.log.files.total_bytes()
    }

    pub fn reader_version(&self) -> i32 {
        self.protocol().min_reader_version()
    }

    pub fn writer_version(&self) -> i32 {
        self.protocol().min_writer_version()
    }

    /// Reader and writer features by their protocol names, sorted.
    pub fn features(&self) -> Vec<String> {
        let reader = self.protocol().reader_features().unwrap_or_default();
        let writer = self.protocol().writer_features().unwrap_or_default();
        let mut names: Vec<String> = reader.iter().chain(writer).map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.log.protocol
    }

    /// The columns as the protocol has them.
    pub(crate) fn columns(&self) -> &StructType {
        &self.log.columns
    }

    /// The columns in Arrow's types, the protocol's metadata on every field.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        self.log.schema.clone()
    }

    pub(crate) fn log(&self) -> &LogState {
        &self.log
    }

    /// What DataFusion scans.
    pub fn provider(self: &Arc<Self>) -> Result<Arc<dyn TableProvider>, StorageError> {
        scan::provider(self)
    }

    /// The same for a version that the statement names.
    pub fn past_provider(self: &Arc<Self>) -> Result<Arc<dyn TableProvider>, StorageError> {
        scan::past_provider(self)
    }

    /// The typed index of the files, built by the first scan.
    pub(crate) fn files(&self) -> Result<&FileIndex, StorageError> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = FileIndex::try_new(&self.log).map_err(|source: ArrowError| StorageError::ReadTable {
            table: self.name.clone(),
            location: self.location.to_string(),
            source: Box::new(source),
        })?;
        Ok(self.files.get_or_init(|| files))
    }

    /// The identity of this version's commit file.
    pub(crate) fn stamp(&self) -> Option<&Stamp> {
        self.log.stamp.as_ref()
    }

    /// Whether the commit file of this version is still the one that was read: false once the table was made anew.
    pub(crate) async fn is_current_file(&self, table_store: &dyn ObjectStore) -> object_store::Result<bool> {
        let Some(known) = self.stamp() else { return Ok(true) };
        Ok(Stamp::read(table_store, self.version()).await?.as_ref() == Some(known))
    }

    /// This version in the words of the Delta library, loaded on first use: writes need it, queries do not.
    pub(crate) async fn state(&self) -> Result<&EagerSnapshot, StorageError> {
        self.state.get_or_try_init(|| self.library.at(self.version(), self.id())).await
    }

    /// The library's view of the table, for the snapshots that follow this one.
    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Bytes in memory; what is shared with other versions is counted for each.
    pub fn memory_bytes(&self) -> usize {
        let schema = self.log.metadata.schema_string().len() * 8;
        let library = self.library.files() * LIBRARY_FILE_BYTES;
        self.log.files.bytes() + self.files.get().map_or(0, FileIndex::bytes) + schema + library
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
