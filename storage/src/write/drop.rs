//! DROP TABLE, and what brings a dropped table back.
//!
//! ```text
//! 1. the catalog document names the table's id as dropped   -> gone for every reader, in one write
//! 2. for some days nothing else happens: UNDROP takes the id off the document, and the table is there as it was
//! 3. the log's files are deleted, then all others            -> upkeep after those days, PURGE at once,
//! 4. the name is taken off the document                         CREATE TABLE of that name: a folder holds one table
//! ```
//! Nothing is moved, so it is the same on a folder and on S3; other engines see the whole table until 3. A crash after 3
//! began leaves files that nobody sees; the next DROP or CREATE of the name, or of the schema, does 3 and 4. CREATE deletes
//! the log, commits the new table, and deletes the other files then: who dies between the first and the second leaves
//! neither the dropped table nor the new one. Files that a
//! shallow clone reads are never deleted: 3 is an error then.
//! Only two processes that finish the same crashed DROP in the same moment could get into each other's way: one may
//! delete the log's first files while the other has made a new table already. Inside one process a lock prevents it.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use url::Url;

use super::transaction::now_ms;
use crate::{
    Lake, StorageError,
    catalog::{CatalogDocument, KeptTable},
    lake::is_being_cloned,
    log::log_folder,
    store::is_not_found,
    table::table_store,
};

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
    let error = match mark(lake, schema, name, Marked::Deleted).await {
        Err(error @ StorageError::TableNotFound { .. }) => error,
        folder => return finish_drop(lake, schema, &folder?).await,
    };
    let document = lake.document(schema).await?;
    if let Some(folder) = document.kept_folder(name) {
        return finish_drop(lake, schema, folder).await;
    }
    if let Some(folder) = document.folder_of(name) {
        finish_drop(lake, schema, folder).await?;
    }
    Err(error)
}

/// Drops a table and keeps its files for [`DROPPED_KEPT`]. A damaged table, which nothing could bring back, is deleted.
pub async fn hide_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    match id(lake, schema, name).await? {
        Some(id) => mark(lake, schema, name, Marked::Kept(id)).await.map(drop),
        None => drop_table(lake, schema, name).await,
    }
}

/// Brings a dropped table back as it was. `NotDropped` when there is none, or its files were deleted; `TableExists` when
/// the name stands for something else now.
pub async fn undrop_table(lake: &Lake, schema: &str, name: &str) -> Result<(), StorageError> {
    lake.check_schema(schema).await?;
    let table = format!("{schema}.{name}");
    match lake.table(schema, name).await {
        Ok(_) => return Err(StorageError::TableExists { table }),
        Err(StorageError::TableNotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let document = lake.document(schema).await?;
    if document.has_entry(name) {
        return Err(StorageError::TableExists { table });
    }
    let Some(folder) = document.kept_folder(name) else { return Err(StorageError::NotDropped { table }) };
    let Some(kept) = document.kept_tables.get(folder) else { return Err(StorageError::NotDropped { table }) };
    let location = lake.table_url(schema, folder);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
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
        if document.kept_tables.remove(folder).is_some() {
            document.dropped_tables.remove(folder);
            document.renamed.remove(name);
            if folder != name {
                document.renamed.insert(name.to_owned(), folder.to_owned());
            }
        }
        Ok(())
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
    let table = |(folder, kept): (&String, &KeptTable)| DroppedTable {
        name: kept.name(folder).to_owned(),
        dropped_ms: kept.dropped_ms,
        kept_until_ms: kept_until_ms(kept),
    };
    let mut tables: Vec<DroppedTable> = document.kept_tables.iter().map(table).collect();
    tables.sort_by(|a, b| (&a.name, a.dropped_ms).cmp(&(&b.name, b.dropped_ms)));
    Ok(tables)
}

/// Deletes the files of tables of a schema that were dropped longer ago than [`DROPPED_KEPT`], and says which. Those that
/// clones read stay.
pub async fn purge_dropped(lake: &Lake, schema: &str) -> Result<Vec<String>, StorageError> {
    let mut purged = Vec::new();
    for (folder, kept) in lake.document(schema).await?.kept_tables {
        if kept_until_ms(&kept) > now_ms() {
            continue;
        }
        match finish_drop(lake, schema, &folder).await {
            Ok(()) => purged.push(kept.name(&folder).to_owned()),
            Err(StorageError::ClonesExist { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(purged)
}

fn kept_until_ms(kept: &KeptTable) -> i64 {
    kept.dropped_ms.saturating_add(i64::try_from(DROPPED_KEPT.as_millis()).unwrap_or(i64::MAX))
}

/// The table's id; `None` for a damaged table, which can be dropped, too. While its name is marked, nothing is readable.
async fn id(lake: &Lake, schema: &str, name: &str) -> Result<Option<String>, StorageError> {
    match lake.table(schema, name).await {
        Ok(snapshot) => Ok(Some(snapshot.id().to_owned())),
        Err(StorageError::ReadTable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What becomes of the files of a table that is dropped.
enum Marked {
    /// They stay for a while, of the table with this id.
    Kept(String),
    Deleted,
}

/// Writes down that a table is dropped, and gives the folder in which it lies.
async fn mark(lake: &Lake, schema: &str, name: &str, marked: Marked) -> Result<String, StorageError> {
    let missing = || StorageError::TableNotFound { table: format!("{schema}.{name}") };
    let document = lake.document(schema).await?;
    let folder = document.folder_of(name).ok_or_else(missing)?;
    let lock = lake.table_lock(&lake.table_url(schema, folder));
    let _turn = lock.lock().await;
    let found = id(lake, schema, name).await?;
    let kept = match &marked {
        Marked::Kept(id) if found.as_ref() != Some(id) => return Err(missing()),
        Marked::Kept(id) => {
            let name = (folder != name).then(|| name.to_owned());
            Some(KeptTable { id: id.clone(), name, dropped_ms: now_ms() })
        }
        Marked::Deleted => {
            check_clones(lake, schema, folder).await?;
            None
        }
    };
    lake.change_document(schema, |document| {
        // It may have been given another name meanwhile.
        if document.folder_of(name) != Some(folder) {
            return Err(missing());
        }
        if matches!(marked, Marked::Deleted) && is_being_cloned(document, folder) {
            return Err(being_cloned(schema, name));
        }
        let ids = document.dropped_tables.entry(folder.to_owned()).or_default();
        ids.extend(found.clone().filter(|id| !ids.contains(id)));
        match &kept {
            Some(kept) => document.kept_tables.insert(folder.to_owned(), kept.clone()),
            None => document.kept_tables.remove(folder),
        };
        document.renamed.remove(name);
        Ok(())
    })
    .await?;
    Ok(folder.to_owned())
}

async fn check_clones(lake: &Lake, schema: &str, folder: &str) -> Result<(), StorageError> {
    check_clones_outside(lake, schema, folder, &BTreeSet::new()).await
}

/// `ClonesExist` when the files of the table in a folder are read by others than the tables in the folders `going` of the
/// same schema, which go together with it.
pub(crate) async fn check_clones_outside(
    lake: &Lake,
    schema: &str,
    folder: &str,
    going: &BTreeSet<String>,
) -> Result<(), StorageError> {
    let (mut names, document) = (Vec::new(), lake.document(schema).await?);
    let dropped_as = document.kept_tables.get(folder).map(|kept| kept.name(folder));
    let name = dropped_as.or_else(|| document.name_of(folder)).unwrap_or(folder);
    if is_being_cloned(&document, folder) {
        return Err(being_cloned(schema, name));
    }
    for clone in lake.clones_of(schema, folder).await? {
        if clone.schema == schema && going.contains(&clone.name) {
            continue;
        }
        let document = lake.document(&clone.schema).await?;
        names.push(match document.kept_tables.get(&clone.name) {
            Some(kept) => format!("{}.{} (dropped, and can be brought back)", clone.schema, kept.name(&clone.name)),
            None => format!("{}.{}", clone.schema, document.name_of(&clone.name).unwrap_or(&clone.name)),
        });
    }
    if names.is_empty() {
        return Ok(());
    }
    Err(StorageError::ClonesExist { table: format!("{schema}.{name}"), clones: names.join(", ") })
}

fn being_cloned(schema: &str, name: &str) -> StorageError {
    StorageError::ClonesExist { table: format!("{schema}.{name}"), clones: "a clone that is being made".to_owned() }
}

/// Deletes what the dropped table in a folder left, if anything, and frees the folder.
pub(crate) async fn finish_drop(lake: &Lake, schema: &str, folder: &str) -> Result<(), StorageError> {
    let location = lake.table_url(schema, folder);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    finish(lake, schema, folder, &location).await
}

/// The same for several folders of a schema, of which some may hold clones of others.
pub(crate) async fn finish_drops(lake: &Lake, schema: &str, folders: BTreeSet<String>) -> Result<(), StorageError> {
    let mut left = folders;
    while !left.is_empty() {
        let (before, mut waiting, mut refused) = (left.len(), BTreeSet::new(), None);
        for folder in left {
            match finish_drop(lake, schema, &folder).await {
                Ok(()) => {}
                // The clone goes first.
                Err(error @ StorageError::ClonesExist { .. }) => {
                    waiting.insert(folder);
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused.filter(|_| waiting.len() == before) {
            return Err(error);
        }
        left = waiting;
    }
    Ok(())
}

/// Called when the table `id` was just made in `folder`, by who holds the table's lock. When its name was given to something
/// else meanwhile, the new table is dropped: nobody could see it, and once the name is free again it would come from
/// nowhere. That is `TableExists`. Rows that others brought into it before can be had back by UNDROP.
pub(super) async fn keep_name(
    lake: &Lake,
    schema: &str,
    name: &str,
    folder: &str,
    id: &str,
) -> Result<(), StorageError> {
    let lost = match lake.settle(schema, name, folder).await {
        Err(lost @ StorageError::TableExists { .. }) => lost,
        settled => return settled,
    };
    let location = lake.table_url(schema, folder);
    let kept = KeptTable { id: id.to_owned(), name: (folder != name).then(|| name.to_owned()), dropped_ms: now_ms() };
    lake.change_document(schema, |document| {
        let ids = document.dropped_tables.entry(folder.to_owned()).or_default();
        if !ids.iter().any(|dropped| dropped == id) {
            ids.push(id.to_owned());
        }
        document.kept_tables.insert(folder.to_owned(), kept.clone());
        Ok(())
    })
    .await?;
    // Looked at only now, when no one can come any more. A table that cannot be looked at stays.
    if lake.table_at(&location, None).await.is_ok_and(|newest| newest.version() == 0) {
        finish(lake, schema, folder, &location).await?;
    }
    Err(lost)
}

/// What is left of a dropped table when its folder is about to be another's.
pub(super) struct Rest<'a> {
    schema: &'a str,
    folder: &'a str,
    ids: Vec<String>,
    files: Vec<Path>,
}

/// Makes room for a table that is about to be committed in the folder, by who holds the table's lock and has written the
/// files `new` for it. A dropped table in the folder can be brought back until this is called: a folder has room for one log.
/// Only the log goes here, so that hardly anything lies between this and the commit; the rest is for [`Rest::delete`].
pub(super) async fn make_room<'a>(
    lake: &Lake,
    schema: &'a str,
    folder: &'a str,
    new: &[Path],
) -> Result<Option<Rest<'a>>, StorageError> {
    let (location, document) = (lake.table_url(schema, folder), lake.document(schema).await?);
    let Some(ids) = document.dropped_tables.get(folder) else { return Ok(None) };
    if lake.is_made_anew(schema, folder, ids).await? {
        finish(lake, schema, folder, &location).await?;
        return Ok(None);
    }
    check_clones(lake, schema, folder).await?;
    let listed = list(lake, &location, None).await?.into_iter();
    let (log, files): (Vec<_>, Vec<_>) = listed.partition(|found| found.location.prefix_matches(&log_folder()));
    // What is younger than its last commit is of others, who are about to commit a table under this name, too.
    let last = log.iter().map(|found| found.last_modified).max();
    let files = files.into_iter().filter(|found| last.is_some_and(|last| found.last_modified < last));
    let files = files.map(|found| found.location).filter(|path| !new.contains(path)).collect();
    let log = log.into_iter().map(|found| found.location).collect();
    lake.change_document(schema, |document| {
        // Brought back meanwhile, it is a table like any other.
        if document.dropped_tables.get(folder) != Some(ids) {
            return Err(StorageError::TableExists { table: format!("{schema}.{folder}") });
        }
        // A clone that came meanwhile reads files that are about to go.
        if is_being_cloned(document, folder) {
            return Err(being_cloned(schema, folder));
        }
        document.kept_tables.remove(folder);
        document.clones.remove(folder);
        Ok(())
    })
    .await?;
    delete_paths(lake, &location, log).await?;
    Ok(Some(Rest { schema, folder, ids: ids.clone(), files }))
}

impl Rest<'_> {
    /// Deletes it once the new table is committed: before, files may be those of a rival who is faster. Best effort: what
    /// stays belongs to no version of the table that is there now, and VACUUM takes it away.
    pub(super) async fn delete(self, lake: &Lake) {
        let Self { schema, folder, ids, files } = self;
        let location = lake.table_url(schema, folder);
        let deleted = async {
            delete_paths(lake, &location, files).await?;
            let forget = |document: &mut CatalogDocument| {
                // The new one may have been dropped meanwhile.
                if let Some(dropped) = document.dropped_tables.get_mut(folder) {
                    dropped.retain(|id| !ids.contains(id));
                    if dropped.is_empty() {
                        document.dropped_tables.remove(folder);
                    }
                }
                Ok(())
            };
            lake.change_document(schema, forget).await
        };
        if let Err(error) = deleted.await {
            tracing::debug!(%location, %error, "files of a table that was dropped are left");
        }
    }
}

/// The same as [`finish_drop`] for a caller that holds the table's lock.
pub(crate) async fn finish(lake: &Lake, schema: &str, folder: &str, location: &Url) -> Result<(), StorageError> {
    let document = lake.document(schema).await?;
    let Some(dropped) = document.dropped_tables.get(folder) else {
        return Ok(());
    };
    if !lake.is_made_anew(schema, folder, dropped).await? {
        check_clones(lake, schema, folder).await?;
        if document.kept_tables.contains_key(folder) {
            // From here on it cannot be brought back.
            lake.change_document(schema, |document| {
                document.kept_tables.remove(folder);
                Ok(())
            })
            .await?;
        }
        delete_files(lake, location).await?;
    }
    lake.change_document(schema, |document| {
        document.dropped_tables.remove(folder);
        document.kept_tables.remove(folder);
        document.clones.remove(folder);
        Ok(())
    })
    .await?;
    Ok(())
}

/// Deletes everything under a location, the log first: without it the rest is no table for anyone.
async fn delete_files(lake: &Lake, location: &Url) -> Result<(), StorageError> {
    for prefix in [Some(log_folder()), None] {
        let listed = list(lake, location, prefix.as_ref()).await?.into_iter();
        delete_paths(lake, location, listed.map(|found| found.location).collect()).await?;
    }
    remove_empty_folders(location).await;
    Ok(())
}

async fn list(lake: &Lake, location: &Url, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>, StorageError> {
    let store = table_store(lake.store_registry(), location)?;
    let listed = store.list(prefix).try_collect().await;
    listed.map_err(|source| StorageError::Store { action: "delete", path: location.to_string(), source })
}

async fn delete_paths(lake: &Lake, location: &Url, paths: Vec<Path>) -> Result<(), StorageError> {
    let store = table_store(lake.store_registry(), location)?;
    let mut deleted = store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Err(source) if !is_not_found(&source) => {
                return Err(StorageError::Store { action: "delete", path: location.to_string(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// On a file system empty folders stay behind. They do no harm, so failing to remove them is no failure.
pub(crate) async fn remove_empty_folders(location: &Url) {
    let Some(path) = (location.scheme() == "file").then(|| location.to_file_path().ok()).flatten() else {
        return;
    };
    let removed = tokio::task::spawn_blocking(move || remove_empty(&path)).await;
    if let Ok(Err(error)) = removed {
        tracing::debug!(%location, %error, "empty folders of a table that is gone are left");
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
