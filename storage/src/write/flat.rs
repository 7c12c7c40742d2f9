//! Files of rows that belong to one partition, or of a table without any: written one after the other, with no more in
//! memory than the encoded columns of one row group.
//!
//! The library's writer holds a row group twice while it hands it on, in buffers that may be twice as large as what is in
//! them.

use std::{num::NonZeroU64, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use deltalake::{DeltaTableError, kernel::Add};
use object_store::{ObjectStore, path::Path};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    file::properties::WriterProperties,
};
use uuid::Uuid;

use super::{
    data::{Counted, PIECE_ROWS},
    output::{Blocks, Output},
    pages::TightPages,
    rewrite::statistics,
    transaction::now_ms,
};
use crate::StorageError;

/// How the files look, and where they go.
pub(super) struct Flat {
    /// The table's folder.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Without partition columns.
    pub(super) schema: SchemaRef,
    pub(super) properties: WriterProperties,
    pub(super) counted: Counted,
    /// A file is closed when it reaches this size.
    pub(super) file_bytes: Option<NonZeroU64>,
    /// The folder of the files in that of the table, empty or with a slash at its end.
    pub(super) folder: String,
    /// As file names tell it.
    pub(super) compression: &'static str,
}

/// Writes rows in their order. Must be closed or aborted; what a dropped one leaves is up to the store.
pub(super) struct FlatWriter {
    flat: Flat,
    id: Uuid,
    open: Option<Open>,
    done: Vec<Add>,
}

/// A file that rows are written to.
struct Open {
    path: Path,
    writer: ArrowWriter<Blocks>,
    out: Output,
}

impl FlatWriter {
    pub(super) fn new(flat: Flat) -> Self {
        Self { flat, id: Uuid::new_v4(), open: None, done: Vec::new() }
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), DeltaTableError> {
        let rows = batch.num_rows();
        for start in (0..rows).step_by(PIECE_ROWS) {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            let written = open.writer.write(&batch.slice(start, PIECE_ROWS.min(rows - start)));
            let bytes = open.writer.bytes_written() + open.writer.in_progress_size();
            let sent = open.out.send().await.map_err(refused);
            self.open = Some(open);
            written?;
            sent?;
            if self.flat.file_bytes.is_some_and(|full| bytes as u64 >= full.get()) {
                self.end().await?;
            }
        }
        Ok(())
    }

    /// The files that it wrote.
    pub(super) async fn close(mut self) -> Result<Vec<Add>, DeltaTableError> {
        self.end().await?;
        Ok(self.done)
    }

    /// Gives up the file that is not complete.
    pub(super) async fn abort(self) {
        if let Some(open) = self.open {
            open.out.abort().await;
        }
    }

    fn begin(&self) -> Result<Open, DeltaTableError> {
        let Flat { store, schema, properties, folder, compression, .. } = &self.flat;
        let name = format!("{folder}part-{:05}-{}-c000.{compression}.parquet", self.done.len(), self.id);
        let path = Path::parse(name)?;
        let out = Output::at(store.clone(), path.clone());
        let options =
            ArrowWriterOptions::new().with_properties(properties.clone()).with_page_store_factory(Arc::new(TightPages));
        let writer = ArrowWriter::try_new_with_options(out.blocks(), schema.clone(), options)?;
        Ok(Open { path, writer, out })
    }

    async fn end(&mut self) -> Result<(), DeltaTableError> {
        let Some(Open { path, writer, mut out }) = self.open.take() else { return Ok(()) };
        let metadata = match writer.close() {
            Ok(metadata) => metadata,
            Err(error) => {
                out.abort().await;
                return Err(error.into());
            }
        };
        if let Err(error) = out.send().await {
            out.abort().await;
            return Err(refused(error));
        }
        let size = out.size() as i64;
        out.finish().await.map_err(refused)?;
        self.done.push(Add {
            path: path.to_string(),
            size,
            modification_time: now_ms(),
            data_change: true,
            stats: Some(statistics(&metadata, &self.flat.counted)),
            ..Add::default()
        });
        Ok(())
    }
}

/// An error of ours that passes through the library's.
fn refused(error: StorageError) -> DeltaTableError {
    DeltaTableError::GenericError { source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringArray},
        compute::concat_batches,
    };
    use bytes::Bytes;
    use deltalake::kernel::Metadata;
    use futures::TryStreamExt;
    use object_store::{ObjectStoreExt, memory::InMemory};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::write::data::FileLayout;

    const ROWS: i64 = 100_000;

    fn rows() -> RecordBatch {
        let ids = Int64Array::from_iter_values((0..ROWS).map(|n| n.wrapping_mul(0x5851_f42d_4c95_7f2d)));
        let texts = StringArray::from_iter((0..ROWS).map(|n| (n % 9 > 0).then(|| format!("text {}", n * 7919))));
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(ids) as _, true),
            ("text", Arc::new(texts) as _, true),
        ])
        .unwrap()
    }

    fn writer(store: &Arc<dyn ObjectStore>, file_bytes: u64) -> FlatWriter {
        let rows = rows();
        let layout = FileLayout::new("t", &rows.schema(), &Metadata::default());
        FlatWriter::new(Flat {
            store: store.clone(),
            schema: rows.schema(),
            properties: layout.properties().set_max_row_group_row_count(Some(30_000)).build(),
            counted: layout.counted().clone(),
            file_bytes: NonZeroU64::new(file_bytes),
            folder: "ab/".to_owned(),
            compression: "snappy",
        })
    }

    async fn listed(store: &Arc<dyn ObjectStore>) -> Vec<(String, i64)> {
        let files: Vec<_> = store.list(None).try_collect().await.unwrap();
        files.into_iter().map(|file| (file.location.to_string(), file.size as i64)).collect()
    }

    #[tokio::test]
    async fn rows_come_back_in_their_order_from_files_of_the_size_asked_for() {
        for (file_bytes, expected) in [(u64::MAX, 1), (400_000, 5)] {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let mut writer = writer(&store, file_bytes);
            writer.write(&rows().slice(0, 70_001)).await.unwrap();
            writer.write(&rows().slice(70_001, 29_999)).await.unwrap();
            let files = writer.close().await.unwrap();
            let told: Vec<_> = files.iter().map(|file| (file.path.clone(), file.size)).collect();
            assert_eq!(told, listed(&store).await);
            assert_eq!(files.len(), expected, "{told:?}");
            let mut found = Vec::new();
            for file in &files {
                assert!(
                    file.path.starts_with("ab/part-0000") && file.path.ends_with(".snappy.parquet"),
                    "{}",
                    file.path
                );
                let bytes: Bytes = store.get(&Path::from(file.path.as_str())).await.unwrap().bytes().await.unwrap();
                let read = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                let read: Vec<RecordBatch> = read.map(Result::unwrap).collect();
                let read = concat_batches(&rows().schema(), &read).unwrap();
                let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref().unwrap()).unwrap();
                assert_eq!(stats["numRecords"], read.num_rows());
                assert_eq!(stats["nullCount"]["text"], read.column(1).null_count());
                found.push(read);
            }
            assert_eq!(concat_batches(&rows().schema(), &found).unwrap(), rows());
        }
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing_and_nothing_is_no_file() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut given_up = writer(&store, u64::MAX);
        given_up.write(&rows()).await.unwrap();
        given_up.abort().await;
        let empty = writer(&store, u64::MAX);
        assert!(empty.close().await.unwrap().is_empty());
        assert!(listed(&store).await.is_empty());
    }
}
