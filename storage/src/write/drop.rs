//! DROP TABLE.
//!
//! ```text
//! 1. the catalog document names the table's id as dropped   -> gone for every reader, in one write
//! 2. the log's files are deleted, then all others
//! 3. the name is taken off the document
//! ```
//! A crash after 1 leaves files that nobody sees; the next DROP or CREATE of the name, or of the schema, does 2 and 3.
//! Only two processes that finish the same crashed DROP in the same moment could get into each other's way: one may
//! delete the log's first files while the other has made a new table already. Inside one process a lock prevents it.

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, path::Path};
use url::Url;

use crate::{Lake, StorageError, store::is_not_found, table::table_store};

/// Drops a table. It is gone for every reader with one write of the catalog document; its files are deleted after that,
/// and what a crash leaves is deleted by the next DROP or CREATE of that name.
pub async fn drop_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    let location = lake.table_url(schema, name);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    let id = match lake.table(schema, name).await {
        Ok(snapshot) => Some(snapshot.id().to_owned()),
        Err(error @ StorageError::TableNotFound { .. }) => {
            finish(lake, schema, name, &location).await?;
            return Err(error);
        }
        // A damaged table can be dropped, too. It has no id; while its name is marked, nothing there is readable.
        Err(StorageError::ReadTable { .. }) => None,
        Err(error) => return Err(error),
    };
    lake.change_document(schema, |document| {
        let ids = document.dropped_tables.entry(name.to_owned()).or_default();
        ids.extend(id.clone().filter(|id| !ids.contains(id)));
    })
    .await?;
    finish(lake, schema, name, &location).await
}

/// Deletes what a dropped table left, if anything, and frees its name.
pub(crate) async fn finish_drop(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    let location = lake.table_url(schema, name);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    finish(lake, schema, name, &location).await
}

/// The same for a caller that holds the table's lock.
pub(crate) async fn finish(lake: &Lake, schema: &str, name: &str, location: &Url) -> Result<(), StorageError> {
    let document = lake.document(schema).await?;
    let Some(dropped) = document.dropped_tables.get(name) else {
        return Ok(());
    };
    if !lake.is_made_anew(schema, name, dropped).await? {
        delete_files(lake, location).await?;
    }
    lake.change_document(schema, |document| {
        document.dropped_tables.remove(name);
    })
    .await
}

/// Deletes everything under a location, the log first: without it the rest is no table for anyone.
async fn delete_files(lake: &Lake, location: &Url) -> Result<(), StorageError> {
    let store = table_store(lake.store_registry(), location)?;
    let failed = |source| StorageError::Store { action: "delete", path: location.to_string(), source };
    let log = Path::from("_delta_log");
    for prefix in [Some(&log), None] {
        let listed: Vec<_> = store.list(prefix).map_ok(|meta| meta.location).try_collect().await.map_err(failed)?;
        let paths = futures::stream::iter(listed.into_iter().map(Ok)).boxed();
        let mut deleted = store.delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Err(error) if !is_not_found(&error) => return Err(failed(error)),
                _ => {}
            }
        }
    }
    remove_folders(location).await;
    Ok(())
}

/// On a file system empty folders stay behind. They do no harm, so failing to remove them is no failure.
async fn remove_folders(location: &Url) {
    let Some(path) = (location.scheme() == "file").then(|| location.to_file_path().ok()).flatten() else {
        return;
    };
    let removed = tokio::task::spawn_blocking(move || remove_empty(&path)).await;
    if let Ok(Err(error)) = removed {
        tracing::debug!(%location, %error, "empty folders of a dropped table are left");
    }
}

fn remove_empty(folder: &std::path::Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}
