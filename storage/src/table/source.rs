//! How the files of a scan are opened.
//!
//! The scan decides which files are read and what is known of them; here each becomes a part that says where it lies
//! and which of its rows are read, and all parts of one store get the source that reads them.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::{
    catalog::Session,
    common::{DataFusionError, Result, ScalarValue, config::TableParquetOptions, exec_datafusion_err},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileSource, ParquetSource, parquet::ParquetRowSelection},
        table_schema::TableSchema,
    },
    execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl},
};
use object_store::{ObjectMeta, path::Path};
use parquet::arrow::arrow_reader::RowSelection;
use tokio::runtime::Handle;

use super::{
    Snapshot,
    changes::COMMIT_VERSION,
    data_file::NamedReaders,
    files::FileIndex,
    footers::FooterReaders,
    location::{self, FileLocation},
    scattered::ScatteredSource,
};
use crate::{
    WantedFiles,
    hot::{CopyKey, HotFiles, HotPart, HotSource, Original},
    warm::Keep,
};

/// A page of a column that filters are about has no fewer rows, whoever wrote it, unless the values are long.
pub(super) const PAGE_ROWS: u64 = 20_000;

/// The files of one scan that lie in one store.
pub(super) struct StoreSource<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) store: &'a ObjectStoreUrl,
    pub(super) index: &'a FileIndex,
    /// Columns as the scan has them: those of the files, then the partition columns.
    pub(super) layout: &'a TableSchema,
    /// The last of the partition columns is the file's position in the index.
    pub(super) addressed: bool,
    /// No hot copies.
    pub(super) plain: bool,
    /// What becomes of blocks of a far store.
    pub(super) keep: Keep,
    /// Each file has the version of its commit among its constants.
    pub(super) of_commits: bool,
}

impl StoreSource<'_> {
    /// The file at `path` with its partition values, without statistics. `selection` leaves out deleted rows.
    pub(super) fn part(&self, file: usize, path: Path, selection: Option<RowSelection>) -> Result<PartitionedFile> {
        let mut part = PartitionedFile::new_from_meta(meta(self.index, file, path));
        let values = self.index.partitions().iter();
        part.partition_values =
            values.map(|(_, values)| ScalarValue::try_from_array(values, file)).collect::<Result<_>>()?;
        if self.addressed {
            let number = i64::try_from(file).map_err(|_| exec_datafusion_err!("a table of too many files"))?;
            part.partition_values.push(ScalarValue::Int64(Some(number)));
        }
        if let Some(selection) = selection {
            part = part.with_extension(ParquetRowSelection::new(selection));
        }
        if !self.plain && self.snapshot.hot().is_some() {
            part = part.with_extension(Arc::new(HotPart::new(self.index.stored_rows_of(file))));
        }
        Ok(part)
    }

    /// What reads the parts. It may use every filter that it gets: see `guard`. `pages`: they may lie in several pages each,
    /// of which it leaves some out.
    /// `scattered`: some parts have their visible rows as a bitmap.
    pub(super) fn build(&self, session: &dyn Session, pages: bool, scattered: bool) -> Result<Arc<dyn FileSource>> {
        let mut options = parquet_options(session);
        options.global.enable_page_index &= pages;
        let mut constants = self.index.partitions().iter();
        let version = constants.position(|(name, _)| name == COMMIT_VERSION).filter(|_| self.of_commits);
        let object_store = session.runtime_env().object_store(self.store)?;
        let runtime = session.runtime_env();
        let readers = FooterReaders::of_data_files(runtime, self.store, self.snapshot, self.keep.clone())?;
        let readers = NamedReaders::new(readers, self.snapshot, (self.store, object_store), version);
        let mut source = ParquetSource::new(self.layout.clone()).with_parquet_file_reader_factory(readers);
        if let Some(hint) = options.global.metadata_size_hint {
            source = source.with_metadata_size_hint(hint);
        }
        let parquet = Arc::new(source.with_table_parquet_options(options));
        let source: Arc<dyn FileSource> = match scattered && !self.addressed {
            true => Arc::new(ScatteredSource::new(parquet)),
            false => parquet,
        };
        let Some(copies) = self.snapshot.hot().filter(|_| !self.plain) else { return Ok(source) };
        let files = HotFiles {
            copies: copies.clone(),
            object_store: session.runtime_env().object_store(self.store)?,
            store: self.store.as_str().into(),
            table: self.snapshot.id().into(),
            name: self.snapshot.name().into(),
        };
        Ok(Arc::new(HotSource::new(source, files)))
    }
}

/// What becomes of the blocks that a scan reads. Writes and upkeep read once.
pub(super) fn keep(session: &dyn Session, reads_once: bool) -> Keep {
    match WantedFiles::fill_of(session) {
        _ if reads_once => Keep::Nothing,
        Some(fill) => Keep::Asked(fill),
        None => Keep::Fetched,
    }
}

/// The files of a table as those who make hot copies read them. Works inside a Tokio runtime only.
pub(crate) fn originals(
    snapshot: &Snapshot,
    stores: &dyn ObjectStoreRegistry,
) -> Result<Vec<Original>, DataFusionError> {
    originals_of(snapshot, stores, 0..snapshot.file_count())
}

/// The same for some of the files, by their positions in the index.
pub(crate) fn originals_of(
    snapshot: &Snapshot,
    stores: &dyn ObjectStoreRegistry,
    files: impl Iterator<Item = usize>,
) -> Result<Vec<Original>, DataFusionError> {
    let index = snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
    let runtime = Handle::try_current().map_err(|error| DataFusionError::External(Box::new(error)))?;
    let name: Arc<str> = snapshot.name().into();
    let original = |file| {
        let FileLocation { store, path } = location::resolve(snapshot.location(), index.path(file))?;
        let key = CopyKey::new(store.as_str(), snapshot.id(), &meta(index, file, path.clone()));
        Ok(Original {
            key,
            name: name.clone(),
            store: stores.get_store(store.as_ref())?,
            path,
            runtime: runtime.clone(),
        })
    };
    files.map(original).collect()
}

/// What tells hot copies of the files of a table from all others, by position in the index.
pub(crate) fn copy_keys(snapshot: &Snapshot) -> Result<Vec<CopyKey>, DataFusionError> {
    let index = snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
    let key = |file| {
        let FileLocation { store, path } = location::resolve(snapshot.location(), index.path(file))?;
        Ok(CopyKey::new(store.as_str(), snapshot.id(), &meta(index, file, path)))
    };
    (0..index.len()).map(key).collect()
}

/// Can a filter leave out pages of the file? An index of pages is one more request, and of one page it says what is known of
/// the row group.
pub(super) fn has_pages(index: &FileIndex, file: usize) -> bool {
    index.stored_rows_of(file).is_none_or(|rows| rows > PAGE_ROWS)
}

pub(super) fn meta(index: &FileIndex, file: usize, path: Path) -> ObjectMeta {
    ObjectMeta {
        location: path,
        last_modified: DateTime::from_timestamp_millis(index.modified_ms(file)).unwrap_or_default(),
        size: index.size(file),
        e_tag: None,
        version: None,
    }
}

/// The session's options, with what Delta asks for.
fn parquet_options(session: &dyn Session) -> TableParquetOptions {
    let global = session.config().options().execution.parquet.clone();
    let mut options = TableParquetOptions { global, ..TableParquetOptions::default() };
    // Delta's timestamps are microseconds; as nanoseconds the old format of Spark covers only 584 years.
    options.global.coerce_int96 = Some("us".into());
    options
}
