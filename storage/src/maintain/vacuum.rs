//! VACUUM: files that no version within the retention needs are deleted.
//!
//! A file stays when the newest version has it, when a commit within the retention names it (so every version that was
//! the newest at some time within it can still be read), or when it is younger than the retention (it may belong to a
//! write that is under way). What else lies in the table's folder goes: files of old versions, files and deletion vectors
//! of writes that failed, and what writers on a file system did not finish, of the log too. Hidden folders, the log
//! otherwise, tables further down and what shallow clones read are left alone.
//!
//! Orphans are the part of these that no version names which can still be read: nobody loses anything with them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use deltalake::table::config::TablePropertiesExt;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore, path::Path};

use crate::{
    Lake, Snapshot, StorageError,
    log::{self, VectorFile},
    store::{Staged, delete_staged, is_not_found, old_staged},
    table::{log_error, table_store},
    write::{Operation, Transaction},
};

/// Less than this is only good for tables that nobody reads or writes meanwhile.
pub const RETENTION_HOURS_MIN: u64 = 7 * 24;
/// Whatever the retention: this process itself may write a checkpoint in the background.
const STAGED_MIN: Duration = Duration::from_secs(3600);
const CHANGE_DATA: &str = "_change_data";
pub(super) const LOG: &str = "_delta_log";

/// What to delete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vacuum {
    /// What the table says (7 days if it says nothing) when `None`.
    pub retain_hours: Option<u64>,
    /// Only lists.
    pub dry_run: bool,
    /// Takes a retention below [`RETENTION_HOURS_MIN`].
    pub any_retention: bool,
    /// Keeps what any version needs that can still be read, however old.
    pub only_orphans: bool,
}

/// Files that were deleted, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Paths in the table's folder with sizes, sorted.
    pub files: Vec<(String, u64)>,
}

impl Vacuumed {
    pub(super) fn of(files: &[ObjectMeta]) -> Self {
        Self { files: files.iter().map(|file| (file.location.to_string(), file.size)).collect() }
    }

    /// Files that were not finished among them.
    pub(super) fn with(mut self, staged: &[Staged]) -> Self {
        self.files.extend(staged.iter().map(|file| (file.name.clone(), file.size)));
        self.files.sort_unstable();
        self
    }
}

/// Deletes what no version within the retention needs. `RetentionTooShort` names the shortest one.
pub async fn vacuum(lake: &Lake, schema: &str, name: &str, request: &Vacuum) -> Result<Vacuumed, StorageError> {
    let table = &lake.table(schema, name).await?;
    // A table whose features are not all known may need files that nothing known here names.
    Transaction::new(lake, table, Operation::default())?;
    let configured = table.log().metadata.parse_table_properties().deleted_file_retention_duration();
    let shortest = Duration::from_secs(RETENTION_HOURS_MIN * 3600);
    // A write that is under way must not lose its files because old versions are short-lived.
    let configured = if request.only_orphans { configured.max(shortest) } else { configured };
    let retention = request.retain_hours.map_or(configured, |hours| Duration::from_secs(hours.saturating_mul(3600)));
    if retention < shortest && !request.any_retention {
        let (table, hours) = (table.name().to_owned(), retention.as_secs() / 3600);
        return Err(StorageError::RetentionTooShort { table, hours, hours_min: RETENTION_HOURS_MIN });
    }
    let cutoff = Utc::now() - retention;
    let store = table_store(lake.store_registry(), table.location())?;
    let found = old_files(&store, table, cutoff).await?;
    let staged = old_staged(table.location(), cutoff.min(Utc::now() - STAGED_MIN)).await?;
    if !request.dry_run {
        delete_staged(table.location(), &staged).await?;
    }
    if found.is_empty() {
        return Ok(Vacuumed::default().with(&staged));
    }
    if request.dry_run {
        return Ok(Vacuumed::of(&unneeded(lake, schema, name, table, request, cutoff, found).await?).with(&staged));
    }
    let held = lake.hold_for_delete(table).await?;
    let vacuumed = async {
        let files = unneeded(lake, schema, name, table, request, cutoff, found).await?;
        tokio::select! {
            biased;
            deleted = delete(&store, table, &files) => deleted?,
            stopped = lake.beat(&held) => match stopped? {},
        }
        Ok(Vacuumed::of(&files).with(&staged))
    }
    .await;
    lake.release(held).await;
    vacuumed
}

/// The files among `found` that nobody needs, sorted.
async fn unneeded(
    lake: &Lake,
    schema: &str,
    name: &str,
    table: &Snapshot,
    request: &Vacuum,
    cutoff: DateTime<Utc>,
    found: Vec<ObjectMeta>,
) -> Result<Vec<ObjectMeta>, StorageError> {
    // Looked at after the folder: what came back meanwhile, by a RESTORE for one, stays too. And who is about to bring
    // something back first: it has either done so, and the newest version shows it, or still says so.
    let Some(about_to_be_used) = lake.files_about_to_be_used(table).await? else {
        tracing::warn!(
            table = table.name(),
            "VACUUM keeps all: a RESTORE or SHALLOW CLONE of an unreadable version runs"
        );
        return Ok(Vec::new());
    };
    let newest = lake.table(schema, name).await?;
    if newest.id() != table.id() {
        return Err(StorageError::TableNotFound { table: table.name().to_owned() });
    }
    let store = table_store(lake.store_registry(), table.location())?;
    let mut needed = needed(&store, &newest, (!request.only_orphans).then_some(cutoff)).await?;
    needed.extend(lake.files_used_by_clones(&newest).await?);
    needed.extend(about_to_be_used);
    let mut files: Vec<ObjectMeta> = found.into_iter().filter(|file| !needed.contains(&file.location)).collect();
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// Files in the folder that could go by their age and place.
async fn old_files(
    store: &Arc<dyn ObjectStore>,
    table: &Snapshot,
    cutoff: DateTime<Utc>,
) -> Result<Vec<ObjectMeta>, StorageError> {
    let failed = |source| StorageError::Store { action: "list the files of", path: table.name().to_owned(), source };
    let (mut old, mut nested) = (Vec::new(), HashSet::new());
    let mut listed = store.list(None);
    while let Some(file) = listed.try_next().await.map_err(failed)? {
        if let Some(inner) = inner_table(&file.location) {
            nested.insert(inner);
        } else if file.last_modified < cutoff && !is_hidden(&file.location) {
            old.push(file);
        }
    }
    old.retain(|file| !nested.iter().any(|inner: &Path| file.location.prefix_matches(inner)));
    Ok(old)
}

/// The folder of another table further down to which a file of a log belongs.
fn inner_table(path: &Path) -> Option<Path> {
    let parts: Vec<_> = path.parts().collect();
    let at = parts.iter().position(|part| part.as_ref() == LOG).filter(|at| *at > 0)?;
    Some(parts.into_iter().take(at).collect())
}

/// Delta protocol: what begins with `_` or `.` is no data file, except change data and folders of partitions.
fn is_hidden(path: &Path) -> bool {
    path.parts().any(|part| {
        let part = part.as_ref();
        part.starts_with(['_', '.']) && part != CHANGE_DATA && !part.contains('=')
    })
}

/// What the newest version and the commits since `cutoff` name; without one, what all versions name.
async fn needed(
    store: &Arc<dyn ObjectStore>,
    newest: &Snapshot,
    cutoff: Option<DateTime<Utc>>,
) -> Result<HashSet<Path>, StorageError> {
    let named = match cutoff {
        Some(cutoff) => log::named_since(store, cutoff).await,
        None => log::named_at_all(store).await.map(Some),
    };
    let named = named.map_err(|error| log_error(newest.name(), newest.location(), error))?;
    let Some(named) = named else {
        return Err(StorageError::LogTooShort { table: newest.name().to_owned() });
    };
    let index = newest.files()?;
    let mut needed = HashSet::with_capacity(index.len() + named.len());
    let mut keep = |path: &str| {
        needed.extend(in_folder(newest, path));
    };
    let vectors = (0..index.len()).filter_map(|file| index.deletion_vector(file));
    for vector in vectors.chain(named.vectors()) {
        match vector.file() {
            Ok(VectorFile::InLog) => {}
            Ok(VectorFile::Relative(path) | VectorFile::Absolute(path)) => keep(&path),
            Err(reason) => {
                let (table, location) = (newest.name().to_owned(), newest.location().to_string());
                return Err(StorageError::ReadTable { table, location, source: reason.into() });
            }
        }
    }
    (0..index.len()).for_each(|file| keep(index.path(file)));
    named.paths().for_each(keep);
    Ok(needed)
}

/// The place of a file in the table's folder, of a path as the log has it; none for a file elsewhere.
fn in_folder(table: &Snapshot, path: &str) -> Option<Path> {
    let inside = match path.contains("://") {
        true => path.strip_prefix(table.location().as_str())?,
        false => match path.strip_prefix('/') {
            Some(absolute) => absolute.strip_prefix(table.location().path().trim_start_matches('/'))?,
            None => path,
        },
    };
    Path::from_url_path(inside).ok()
}

async fn delete(store: &Arc<dyn ObjectStore>, table: &Snapshot, files: &[ObjectMeta]) -> Result<(), StorageError> {
    let paths: Vec<_> = files.iter().map(|file| Ok(file.location.clone())).collect();
    let mut deleted = store.delete_stream(futures::stream::iter(paths).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Err(source) if !is_not_found(&source) => {
                return Err(StorageError::Store { action: "delete a file of", path: table.name().to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hidden_files_and_tables_further_down_are_left_alone() {
        for (path, hidden) in [
            ("part-0.parquet", false),
            ("_p=1/part-0.parquet", false),
            ("deletion_vector_x.bin", false),
            ("_change_data/cdc-0.parquet", false),
            ("_delta_log/00000000000000000000.json", true),
            (".part.crc", true),
            ("_delta_index/x", true),
            ("a/_tmp/x.parquet", true),
        ] {
            assert_eq!(is_hidden(&Path::from(path)), hidden, "{path}");
        }
        assert_eq!(inner_table(&Path::from("a/b/_delta_log/0.json")), Some(Path::from("a/b")));
        assert_eq!(inner_table(&Path::from("_delta_log/0.json")), None);
    }
}
