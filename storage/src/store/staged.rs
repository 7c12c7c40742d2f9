//! What those leave in a folder who die while they write a file: the file under its name, `#` and digits.
//!
//! A file gets its own name when it is whole. Until then `durable.rs` gives it a random number, and the library one that
//! counts from 1. No listing of a store shows such a name and no reader of a log takes it for a commit, so nobody finds
//! these files, and no store deletes them: here it is done by the file system's own means. A death between the link and
//! the removal of the staged name leaves both, and taking away the one leaves the other.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use crate::StorageError;

const LOG: &str = "_delta_log";
/// Folders in which all that is staged is a writer's.
const WRITERS_FOLDERS: [&str; 2] = [LOG, "_boathouse"];
/// Names that data files, those of the change feed and deletion vectors begin with, here and with other writers.
const DATA_FILES: [&str; 3] = ["part-", "cdc-", "deletion_vector_"];

/// A file that was never finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    path: PathBuf,
    /// In the folder that was looked through.
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// Those in a folder, and in folders in it, that were last written to before `cutoff`; none where the store is no folder.
/// Tables further down are left to those who look after them.
pub(crate) async fn old_staged(folder: &Url, cutoff: DateTime<Utc>) -> Result<Vec<Staged>, StorageError> {
    let Some(path) = (folder.scheme() == "file").then(|| folder.to_file_path().ok()).flatten() else {
        return Ok(Vec::new());
    };
    blocking(folder, "look for unfinished files in", move || {
        let mut found = Vec::new();
        walk(&path, "", cutoff, &mut found)?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    })
    .await
}

/// Deletes them.
pub(crate) async fn delete_staged(folder: &Url, staged: &[Staged]) -> Result<(), StorageError> {
    if staged.is_empty() {
        return Ok(());
    }
    let paths: Vec<PathBuf> = staged.iter().map(|staged| staged.path.clone()).collect();
    let remove = |path: PathBuf| there(fs::remove_file(path)).map(drop);
    blocking(folder, "delete an unfinished file of", move || paths.into_iter().try_for_each(remove)).await
}

fn walk(folder: &Path, name: &str, cutoff: DateTime<Utc>, found: &mut Vec<Staged>) -> io::Result<()> {
    let Some(entries) = there(fs::read_dir(folder))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let name = if name.is_empty() { file } else { format!("{name}/{file}") };
        // Links are not followed: what they lead to is somebody's own.
        let Some(kind) = there(entry.file_type())? else { continue };
        if kind.is_dir() && !is_table(&entry.path())? {
            walk(&entry.path(), &name, cutoff, found)?;
        }
        if !kind.is_file() || !is_staged(&name) {
            continue;
        }
        let Some(about) = there(entry.metadata())? else { continue };
        if DateTime::<Utc>::from(about.modified()?) < cutoff {
            found.push(Staged { path: entry.path(), name, size: about.len() });
        }
    }
    Ok(())
}

/// Whether a folder has a log in which more lies than a commit that nobody finished.
fn is_table(folder: &Path) -> io::Result<bool> {
    let log = folder.join(LOG);
    let Some(entries) = (if log.is_dir() { there(fs::read_dir(log))? } else { None }) else { return Ok(false) };
    for entry in entries {
        if !entry?.file_name().to_str().is_some_and(|file| is_staged(&format!("{LOG}/{file}"))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a file is one that a writer did not finish, and not somebody's own whose name ends alike.
fn is_staged(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let Some((name, digits)) = file.rsplit_once('#') else { return false };
    if name.is_empty() || digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let is_random = digits.parse().is_ok_and(|number| Uuid::from_u128(number).get_version_num() == 4);
    is_random
        || DATA_FILES.iter().any(|begin| name.starts_with(begin))
        || folders.split('/').any(|folder| WRITERS_FOLDERS.contains(&folder))
}

/// Others remove files meanwhile.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn blocking<T: Send + 'static>(
    folder: &Url,
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    let failed = |source| StorageError::Store {
        action,
        path: folder.to_string(),
        source: object_store::Error::Generic { store: "folder", source },
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| failed(error.into())),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_writer_left_is_staged() {
        let random = Uuid::new_v4().as_u128();
        for path in [
            "_delta_log/00000000000000000007.json#1218",
            "main/t/_delta_log/_last_checkpoint#1",
            "_boathouse/marts/x.json#3",
            "p=1/part-00000-x-c000.snappy.parquet#1",
            "part-0.parquet#12",
            "_change_data/cdc-0.parquet#1",
            &format!("deletion_vector_x.bin#{random}"),
            &format!("main/rows.csv#{random}"),
        ] {
            assert!(is_staged(path), "{path}");
        }
        for path in [
            "_delta_log/00000000000000000007.json",
            "_delta_log/00000000000000000007.json#x",
            "_delta_log/00000000000000000007.json#",
            "_delta_log/#7",
            "notes#1",
            "main/issue#1218",
            "part#1/x.parquet",
            "rows.csv#2",
        ] {
            assert!(!is_staged(path), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_old_goes_and_tables_further_down_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "half").unwrap();
        };
        let log = "_delta_log/00000000000000000007.json";
        let (inner, never) = (format!("inner/{log}"), format!("never/{log}#1218"));
        let others = format!("{inner}#1218");
        for name in [log, &format!("{log}#1218"), "x/part-0.parquet#1", "x/mine#1", &inner, &others, &never] {
            write(name);
        }
        let url = Url::from_directory_path(folder.path()).unwrap();
        let now = Utc::now();
        let (before, after) = (now - chrono::Duration::hours(1), now + chrono::Duration::hours(1));
        assert_eq!(old_staged(&url, before).await.unwrap(), []);
        let found = old_staged(&url, after).await.unwrap();
        let names: Vec<_> = found.iter().map(|staged| (staged.name.as_str(), staged.size)).collect();
        let own = format!("{log}#1218");
        assert_eq!(names, [(own.as_str(), 4), (&never, 4), ("x/part-0.parquet#1", 4)]);
        for _ in 0..2 {
            delete_staged(&url, &found).await.unwrap();
        }
        assert_eq!(old_staged(&url, after).await.unwrap(), []);
        assert!([log, "x/mine#1", &inner, &others].iter().all(|name| folder.path().join(name).is_file()));
    }
}
