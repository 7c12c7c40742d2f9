//! Data files for a table that is not there yet: written first, made visible by the one commit that follows.

use std::sync::Arc;

use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::{
    DeltaTableError,
    datafile::writer::{DeltaWriter, WriterConfig},
    kernel::Add,
    table::config::TablePropertiesExt,
};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, path::Path};
use tokio::task::JoinSet;

use super::{
    conform::query_error,
    define::Definition,
    parquet::{target_file_size, writer_properties},
    rows::Rows,
};
use crate::StorageError;

/// Writes all rows, one writer for each stream of the query, and returns what a commit must add. When anything fails, no
/// upload is finished and what was finished is deleted.
pub(super) async fn write_files(
    table: &Definition,
    rows: &Rows,
    store: &Arc<dyn ObjectStore>,
    task: &Arc<TaskContext>,
) -> Result<Vec<Add>, StorageError> {
    let Definition { name: table, partition_columns, metadata, .. } = table;
    let properties = metadata.parse_table_properties();
    let streams = rows.streams(partition_columns, task).map_err(|error| query_error(table, error))?;
    let statistics_columns = properties.data_skipping_stats_columns.as_deref();
    let config = WriterConfig::new(
        rows.schema(),
        partition_columns.clone(),
        Some(writer_properties()),
        target_file_size(),
        None,
        properties.num_indexed_cols(),
        statistics_columns.map(|columns| columns.iter().map(ToString::to_string).collect()),
    );
    let mut writers = JoinSet::new();
    for stream in streams {
        let writer = DeltaWriter::new(store.clone(), config.clone());
        writers.spawn(write_stream(writer, stream));
    }
    let mut files = Vec::new();
    let mut failed = None;
    while let Some(ended) = writers.join_next().await {
        match ended {
            Ok(Ok(written)) => files.extend(written),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(error) => failed = failed.or(Some(DeltaTableError::generic(error))),
        }
    }
    let Some(error) = failed else { return Ok(files) };
    delete_files(store, &files).await;
    let write_error = |source| StorageError::Write { table: table.clone(), source: Box::new(source) };
    Err(rows.error(table).unwrap_or_else(|| write_error(error)))
}

async fn write_stream(
    mut writer: DeltaWriter,
    mut rows: SendableRecordBatchStream,
) -> Result<Vec<Add>, DeltaTableError> {
    while let Some(batch) = rows.next().await {
        let written = match batch {
            Ok(batch) if batch.num_rows() == 0 => continue,
            Ok(batch) => writer.write(&batch).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            // Dropping the writer would leave parts of an upload behind.
            if let Err(leak) = writer.abort().await {
                tracing::warn!(%leak, "could not abort the upload of a data file");
            }
            return Err(error);
        }
    }
    writer.close().await
}

/// Deletes files that no commit names. Best effort: nobody sees them.
pub(super) async fn delete_files(store: &Arc<dyn ObjectStore>, files: &[Add]) {
    let paths: Vec<_> = files.iter().filter_map(|file| Path::from_url_path(&file.path).ok()).map(Ok).collect();
    let deleted = store.delete_stream(futures::stream::iter(paths).boxed());
    if let Err(error) = deleted.try_for_each(async |_| Ok(())).await {
        tracing::warn!(%error, "could not delete the files of a write that failed");
    }
}
