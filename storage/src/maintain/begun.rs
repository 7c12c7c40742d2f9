//! What those leave who die in the middle of CREATE TABLE AS, when nobody makes a table of that name again.
//!
//! A file goes only where all of this holds: a mark says that a table was being made in its folder (`lake/begun.rs`); the
//! folder has no log, nor has one further down; all in it came after the mark, and has the names of our data files; and the
//! file is older than the retention, so that it belongs to no write that is under way. Where the table was made after all,
//! its files are VACUUM's to look at; where anything else lies, a person uses the folder, and all stays.

use std::time::Duration;

use chrono::Utc;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, path::Path};
use uuid::Uuid;

use super::vacuum::{LOG, RETENTION_HOURS_MIN, Vacuumed};
use crate::{Lake, StorageError, lake::Begun, store::is_not_found, table::table_store, write::remove_empty_folders};

/// Files of column-mapped tables lie in folders with names of this length.
const PREFIX_CHARS: usize = 2;
const UUID_CHARS: usize = 36;

/// Tables that were begun with rows, and not known to be made.
pub async fn begun(lake: &Lake) -> Result<Vec<Begun>, StorageError> {
    lake.all_begun().await
}

/// Deletes the files of a table that was never made, and says which. What is younger than `retention` stays; `None` is the
/// shortest one that VACUUM takes.
pub async fn clear_begun(lake: &Lake, begun: &Begun, retention: Option<Duration>) -> Result<Vacuumed, StorageError> {
    let cutoff = Utc::now() - retention.unwrap_or(Duration::from_secs(RETENTION_HOURS_MIN * 3600));
    let location = lake.table_url(&begun.schema, &begun.folder);
    let store = table_store(lake.store_registry(), &location)?;
    let failed = |action, source| StorageError::Store { action, path: location.to_string(), source };
    let (mut files, mut is_table, mut is_used) = (Vec::new(), false, false);
    let mut listed = store.list(None);
    while let Some(file) = listed.try_next().await.map_err(|error| failed("list", error))? {
        is_table |= file.location.parts().any(|part| part.as_ref() == LOG);
        is_used |= file.last_modified < begun.since || !is_data_file(&file.location);
        files.push(file);
    }
    if begun.since >= cutoff && !is_table {
        return Ok(Vacuumed::default());
    }
    if is_table || is_used {
        tracing::debug!(%location, is_table, "the files of a table that was begun here are left");
        lake.forget_begun(&begun.mark).await;
        return Ok(Vacuumed::default());
    }
    let (mut old, young): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.last_modified < cutoff);
    old.sort_by(|a, b| a.location.cmp(&b.location));
    let paths: Vec<_> = old.iter().map(|file| Ok(file.location.clone())).collect();
    let mut deleted = store.delete_stream(futures::stream::iter(paths).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Err(error) if !is_not_found(&error) => return Err(failed("delete a file of", error)),
            _ => {}
        }
    }
    // Those may be of a write that is under way, which may die, too.
    if young.is_empty() {
        lake.forget_begun(&begun.mark).await;
        remove_empty_folders(&location).await;
    }
    Ok(Vacuumed::of(&old))
}

/// `part-00000-<uuid>-c000.snappy.parquet`, in folders of partitions or under the short names of column mapping.
fn is_data_file(path: &Path) -> bool {
    let parts: Vec<_> = path.parts().collect();
    let Some((name, folders)) = parts.split_last() else { return false };
    let fits = |folder: &str| folder.contains('=') || folder.len() == PREFIX_CHARS;
    folders.iter().all(|folder| fits(folder.as_ref())) && is_data_file_name(name.as_ref()).is_some()
}

fn is_data_file_name(name: &str) -> Option<()> {
    let (number, rest) = name.strip_prefix("part-")?.split_once('-')?;
    let (id, rest) = rest.split_at_checked(UUID_CHARS)?;
    let fits = number.bytes().all(|digit| digit.is_ascii_digit())
        && Uuid::try_parse(id).is_ok()
        && rest == "-c000.snappy.parquet";
    fits.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_our_writer_gives_are_data_files() {
        let name = "part-00003-8a6e7dbb-5d5f-4a8e-9d47-0e6ff9a5b8f1-c000.snappy.parquet";
        for path in [name.to_owned(), format!("p=1/q=a/{name}"), format!("xY/{name}"), format!("p=x%2520y/{name}")] {
            assert!(is_data_file(&Path::from(path.as_str())), "{path}");
        }
        for path in [
            format!("copies/{name}"),
            format!("_p/x/{name}"),
            "part-0.parquet".to_owned(),
            "people.parquet".to_owned(),
            name.replace("part-00003", "part-x"),
            name.replace("8a6e7dbb", "8a6e7dbx"),
            name.replace(".snappy.parquet", ".snappy.parquet.crc"),
            name.replace(".snappy", ""),
        ] {
            assert!(!is_data_file(&Path::from(path.as_str())), "{path}");
        }
    }
}
