//! DROP TABLE, and what brings a dropped table back.
//!
//! ```text
//! 1. the catalog document names the table's id as dropped   -> gone for every reader, in one write
//! 2. for some days nothing else happens: UNDROP takes the id off the document, and the table is there as it was
//! 3. the log's files are deleted, then all others            -> upkeep after those days, PURGE at once,
//! 4. the name is taken off the document                         CREATE TABLE of that name: a folder holds one table
//! ```
//! Nothing is moved, so it is the same on a folder and on S3; other engines see the whole table until 3. A crash after 3
//! began leaves files that nobody sees; the next DROP or CREATE of the name, or of the schema, does 3 and 4. Files that a
//! shallow clone reads are never deleted: 3 is an error then.
//! Only two processes that finish the same crashed DROP in the same moment could get into each other's way: one may
//! delete the log's first files while the other has made a new table already. Inside one process a lock prevents it.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, path::Path};
use url::Url;

use super::transaction::now_ms;
use crate::{Lake, StorageError, catalog::KeptTable, store::is_not_found, table::table_store};

/// How long a dropped table can be brought back.
pub const DROPPED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A dropped table that can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTable {
    pub name: String,
    /// Milliseconds since 1970, UTC.
    pub dropped_ms: i64,
    /// From then on its files may be deleted.
    pub kept_until_ms: i64,
}

/// Drops a table and deletes its files. It is gone for every reader with one write of the catalog document; its files are
/// deleted after that, and what a crash leaves is deleted by the next DROP or CREATE of that name. A table that was
/// dropped before and is kept loses its files too. `ClonesExist` when others read its files: nothing happens then.
pub async fn drop_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    let location = lake.table_url(schema, name);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    check_clones(lake, schema, name).await?;
    let id = match id(lake, schema, name).await {
        Err(error @ StorageError::TableNotFound { .. }) => {
            let kept = lake.document(schema).await?.kept_tables.contains_key(name);
            finish(lake, schema, name, &location).await?;
            return if kept { Ok(()) } else { Err(error) };
        }
        id => id?,
    };
    mark(lake, schema, name, id).await?;
    finish(lake, schema, name, &location).await
}

/// Drops a table and keeps its files for [`DROPPED_KEPT`]. A damaged table, which nothing could bring back, is deleted.
pub async fn hide_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    let location = lake.table_url(schema, name);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    let Some(id) = id(lake, schema, name).await? else {
        check_clones(lake, schema, name).await?;
        mark(lake, schema, name, None).await?;
        return finish(lake, schema, name, &location).await;
    };
    let kept = KeptTable { id: id.clone(), dropped_ms: now_ms() };
    lake.change_document(schema, |document| {
        let ids = document.dropped_tables.entry(name.to_owned()).or_default();
        ids.extend(Some(id.clone()).filter(|id| !ids.contains(id)));
        document.kept_tables.insert(name.to_owned(), kept.clone());
    })
    .await
}

/// Brings a dropped table back as it was. `NotDropped` when there is none, or its files were deleted; `TableExists` when
/// the name stands for something else now.
pub async fn undrop_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    lake.check_schema(schema).await?;
    let location = lake.table_url(schema, name);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    let table = format!("{schema}.{name}");
    match lake.table(schema, name).await {
        Ok(_) => return Err(StorageError::TableExists { table }),
        Err(StorageError::TableNotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let document = lake.document(schema).await?;
    if document.views.contains_key(name) || document.external_tables.contains_key(name) {
        return Err(StorageError::TableExists { table });
    }
    let Some(kept) = document.kept_tables.get(name) else { return Err(StorageError::NotDropped { table }) };
    // What is in the folder must be what was dropped, whole.
    match lake.table_at(&location, None).await {
        Ok(snapshot) if snapshot.id() == kept.id => {}
        Ok(_) | Err(StorageError::TableNotFound { .. } | StorageError::ReadTable { .. }) => {
            return Err(StorageError::NotDropped { table });
        }
        Err(error) => return Err(error),
    }
    lake.change_document(schema, |document| {
        // Another process may have begun to delete the files.
        if document.kept_tables.remove(name).is_some() {
            document.dropped_tables.remove(name);
        }
    })
    .await?;
    match lake.table(schema, name).await {
        Err(StorageError::TableNotFound { table }) => Err(StorageError::NotDropped { table }),
        found => found.map(|_| ()),
    }
}

/// The dropped tables of a schema that can be brought back, by name.
pub async fn dropped_tables(lake: &Lake, schema: &str) -> Result<Vec<DroppedTable>, StorageError> {
    let document = lake.document(schema).await?;
    let kept_ms = i64::try_from(DROPPED_KEPT.as_millis()).unwrap_or(i64::MAX);
    let table = |(name, kept): (&String, &KeptTable)| DroppedTable {
        name: name.clone(),
        dropped_ms: kept.dropped_ms,
        kept_until_ms: kept.dropped_ms.saturating_add(kept_ms),
    };
    Ok(document.kept_tables.iter().map(table).collect())
}

/// Deletes the files of tables of a schema that were dropped longer ago than [`DROPPED_KEPT`], and says which. Those that
/// clones read stay.
pub async fn purge_dropped(lake: &Lake, schema: &str) -> Result<Vec<String>, StorageError> {
    let mut purged = Vec::new();
    for table in dropped_tables(lake, schema).await? {
        if table.kept_until_ms > now_ms() {
            continue;
        }
        match finish_drop(lake, schema, &table.name).await {
            Ok(()) => purged.push(table.name),
            Err(StorageError::ClonesExist { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(purged)
}

/// The table's id; `None` for a damaged table, which can be dropped, too. While its name is marked, nothing is readable.
async fn id(lake: &Lake, schema: &str, name: &str) -> Result<Option<String>, StorageError> {
    match lake.table(schema, name).await {
        Ok(snapshot) => Ok(Some(snapshot.id().to_owned())),
        Err(StorageError::ReadTable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn mark(lake: &Lake, schema: &str, name: &str, id: Option<String>) -> Result<(), StorageError> {
    lake.change_document(schema, |document| {
        let ids = document.dropped_tables.entry(name.to_owned()).or_default();
        ids.extend(id.clone().filter(|id| !ids.contains(id)));
        document.kept_tables.remove(name);
    })
    .await
}

async fn check_clones(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    let clones = lake.clones_of(schema, name).await?;
    if clones.is_empty() {
        return Ok(());
    }
    let clones: Vec<String> = clones.iter().map(|clone| format!("{}.{}", clone.schema, clone.name)).collect();
    Err(StorageError::ClonesExist { table: format!("{schema}.{name}"), clones: clones.join(", ") })
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
        check_clones(lake, schema, name).await?;
        if document.kept_tables.contains_key(name) {
            // From here on it cannot be brought back.
            lake.change_document(schema, |document| drop(document.kept_tables.remove(name))).await?;
        }
        delete_files(lake, location).await?;
    }
    lake.change_document(schema, |document| {
        document.dropped_tables.remove(name);
        document.kept_tables.remove(name);
        document.clones.remove(name);
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
