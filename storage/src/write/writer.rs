//! Which writer makes the data files of a write: the library's, which splits rows by partition and closes files in the
//! background, or ours, which takes less memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::{DeltaTableError, datafile::writer::DeltaWriter, kernel::Add};
use object_store::ObjectStore;

use super::{
    data::FileLayout,
    flat::{Flat, FlatWriter},
    sorted::Sorted,
};

/// Writes the rows of one stream. Must be closed or aborted.
pub(super) enum DataWriter {
    Split(DeltaWriter),
    Flat(Box<FlatWriter>),
}

impl DataWriter {
    /// For files of this layout, which say that their rows are in an order when they are.
    pub(super) fn new(store: &Arc<dyn ObjectStore>, layout: &FileLayout, sorted: Option<&Sorted>) -> Self {
        let properties = sorted.map(|sorted| sorted.properties(layout));
        if let Some(flat) = layout.flat(store) {
            let properties = properties.unwrap_or_else(|| layout.properties().build());
            return Self::Flat(Box::new(FlatWriter::new(Flat { properties, ..flat })));
        }
        let writer = DeltaWriter::new(store.clone(), layout.config.clone());
        Self::Split(properties.into_iter().fold(writer, DeltaWriter::with_writer_properties))
    }

    pub(super) async fn write_all(
        &mut self,
        batches: impl Iterator<Item = RecordBatch>,
    ) -> Result<(), DeltaTableError> {
        for batch in batches {
            match self {
                Self::Split(writer) => writer.write(&batch).await?,
                Self::Flat(writer) => writer.write(&batch).await?,
            }
        }
        Ok(())
    }

    /// Writes all that there is.
    pub(super) async fn write_only(
        mut self,
        batches: impl Iterator<Item = RecordBatch>,
    ) -> Result<Vec<Add>, DeltaTableError> {
        match self.write_all(batches).await {
            Ok(()) => self.close().await,
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// The files that it wrote.
    pub(super) async fn close(self) -> Result<Vec<Add>, DeltaTableError> {
        match self {
            Self::Split(writer) => writer.close().await,
            Self::Flat(writer) => writer.close().await,
        }
    }

    /// Dropping the writer would leave parts of an upload behind.
    pub(super) async fn abort(self) {
        match self {
            Self::Split(writer) => abort(writer).await,
            Self::Flat(writer) => writer.abort().await,
        }
    }
}

/// Dropping the writer would leave parts of an upload behind.
pub(super) async fn abort(writer: DeltaWriter) {
    if let Err(leak) = writer.abort().await {
        tracing::warn!(%leak, "could not abort the upload of a data file");
    }
}
