//! One data file opened beneath the scan: its footer, its bytes, and the rows of it that a reader does not see.
//!
//! For writers that carry parts of a file over into another one. Queries go through the scan.

use std::sync::Arc;

use datafusion::{
    catalog::Session,
    datasource::{listing::PartitionedFile, physical_plan::ParquetFileReaderFactory},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use parquet::{
    arrow::{
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::AsyncFileReader,
    },
    file::metadata::PageIndexPolicy,
};
use roaring::RoaringBitmap;

use super::{
    Snapshot,
    data_file::NamedReaders,
    deletion,
    footers::FooterReaders,
    location::{self, FileLocation},
    source,
};
use crate::{StorageError, warm::Keep};

/// Safe to read from several tasks at once.
#[derive(Debug)]
pub(crate) struct RawFile {
    readers: Arc<NamedReaders>,
    part: PartitionedFile,
    /// The footer with its page indexes, and the columns as Parquet declares them: what a writer noted of its Arrow
    /// types does not count.
    pub(crate) footer: ArrowReaderMetadata,
    /// Rows that the file's deletion vector hides.
    pub(crate) hidden: RoaringBitmap,
}

impl Snapshot {
    /// Opens a file by its position in the index.
    pub(crate) async fn raw_file(
        self: &Arc<Self>,
        session: &dyn Session,
        file: usize,
    ) -> Result<RawFile, StorageError> {
        let query = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        let index = self.files()?;
        let FileLocation { store, path } = location::resolve(self.location(), index.path(file)).map_err(query)?;
        let part = PartitionedFile::new_from_meta(source::meta(index, file, path));
        let runtime = session.runtime_env();
        let readers = FooterReaders::of_data_files(runtime, &store, self, Keep::Nothing).map_err(query)?;
        let object_store = runtime.object_store(&store).map_err(query)?;
        let readers = NamedReaders::new(readers, self, (&store, object_store), None);
        let stores = &session.runtime_env().object_store_registry;
        let selections = deletion::row_selections(self, stores.as_ref(), index, &[file]).await.map_err(query)?;
        let hidden = selections.get(&file).map(deletion::hidden).unwrap_or_default();
        let options =
            ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_page_index_policy(PageIndexPolicy::Optional);
        let mut reader = reader(&readers, &part).map_err(query)?;
        let footer = ArrowReaderMetadata::load_async(&mut reader, options).await;
        let footer = footer.map_err(|error| query(error.into()))?;
        Ok(RawFile { readers, part, footer, hidden })
    }
}

impl RawFile {
    /// What reads its bytes; errors name the table and the file.
    pub(crate) fn reader(&self) -> datafusion::common::Result<Box<dyn AsyncFileReader>> {
        reader(&self.readers, &self.part)
    }
}

fn reader(readers: &NamedReaders, part: &PartitionedFile) -> datafusion::common::Result<Box<dyn AsyncFileReader>> {
    Ok(readers.create_reader(0, part.clone(), None, &ExecutionPlanMetricsSet::new())?)
}
