//! The writer of a table with a change feed: each row goes into a data file, and into a file of the feed when it came or was
//! changed (see `feed`). The files are written side by side, in one reading of the rows.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::{DeltaTableError, datafile::writer::DeltaWriter, kernel::Add};
use futures::StreamExt;
use object_store::ObjectStore;
use tokio::task::JoinSet;

use super::{
    conform::query_error,
    data::{FileLayout, all_of, under_stored_names, write_error},
    discard::Discard,
    feed::{change_folder, in_change_folder, split},
    partition::Texts,
    recorder::Recorder,
    rows::Rows,
    writer::abort,
};
use crate::StorageError;

/// The files of one write, for its commit.
#[derive(Debug, Default)]
pub(super) struct Fed {
    pub(super) data: Vec<Add>,
    /// Files of the change feed, with their paths in the table's folder.
    pub(super) changes: Vec<Add>,
}

impl Fed {
    /// Of a table without a feed.
    pub(super) fn of_data(data: Vec<Add>) -> Self {
        Self { data, changes: Vec::new() }
    }
}

/// Writes rows whose last column says as what they go into the feed, if they do. Nothing is visible before a commit; when it
/// fails or is dropped, the files written so far are deleted.
pub(super) async fn write_fed(
    layout: &FileLayout,
    feed: &FileLayout,
    rows: &Rows,
    store: &Arc<dyn ObjectStore>,
    task: &Arc<TaskContext>,
) -> Result<Fed, StorageError> {
    let table = &layout.table;
    let streams = rows.streams(&layout.partition_columns, task).map_err(|error| query_error(table, error))?;
    // Dropped after the writers, whose files it deletes.
    let discard = Discard::new(store.clone());
    let recorder: Arc<dyn ObjectStore> = Arc::new(Recorder { inner: store.clone(), begun: discard.list() });
    let mut writers = JoinSet::new();
    for stream in streams {
        let (data, changes) = (FileWriter::new(layout, &recorder), FileWriter::new(feed, &change_folder(&recorder)));
        writers.spawn(write_stream(Sink { data, changes }, stream));
    }
    match all_of(writers).await {
        Ok(parts) => {
            discard.keep();
            let mut written = Fed::default();
            for Fed { data, changes } in parts {
                written.data.extend(data);
                written.changes.extend(changes);
            }
            Ok(written)
        }
        Err(error) => {
            discard.delete().await;
            Err(rows.error(table).unwrap_or_else(|| write_error(table, error)))
        }
    }
}

async fn write_stream(mut sink: Sink, mut rows: SendableRecordBatchStream) -> Result<Fed, DeltaTableError> {
    while let Some(batch) = rows.next().await {
        let written = match batch {
            Ok(batch) => sink.write(&batch).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            abort(sink.data.writer).await;
            abort(sink.changes.writer).await;
            return Err(error);
        }
    }
    sink.close().await
}

/// Writes rows under the names that files of one kind have.
struct FileWriter {
    writer: DeltaWriter,
    stored: SchemaRef,
    texts: Texts,
}

impl FileWriter {
    fn new(layout: &FileLayout, store: &Arc<dyn ObjectStore>) -> Self {
        let writer = DeltaWriter::new(store.clone(), layout.config.clone());
        Self { writer, stored: layout.stored.clone(), texts: layout.texts.clone() }
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<(), DeltaTableError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.texts.check(batch)?;
        self.writer.write(&under_stored_names(batch, &self.stored)?).await
    }
}

/// Where the rows of one stream go.
struct Sink {
    data: FileWriter,
    changes: FileWriter,
}

impl Sink {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), DeltaTableError> {
        let (data, changed) = split(batch)?;
        self.changes.write(&changed).await?;
        self.data.write(&data).await
    }

    /// Both are closed, whatever becomes of the first: what is not closed must be aborted.
    async fn close(self) -> Result<Fed, DeltaTableError> {
        let (data, changes) = (self.data.writer.close().await, self.changes.writer.close().await);
        Ok(Fed { data: data?, changes: in_change_folder(changes?) })
    }
}
