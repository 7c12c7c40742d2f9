//! Where a data file lies: the store, and the path in it.
//!
//! The log has percent-encoded URLs, relative to the table or, in clones and converted tables, absolute.

use std::sync::Arc;

use datafusion::{
    common::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
};
use object_store::{ObjectStore, path::Path};
use url::{Position, Url};

use crate::{StorageError, store::Stores};

/// A file that a scan can open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileLocation {
    pub(super) store: ObjectStoreUrl,
    pub(super) path: Path,
}

/// Resolves a path of the log of the table at `table` (whose URL ends with a slash).
pub(super) fn resolve(table: &Url, path: &str) -> Result<FileLocation> {
    if let Some(url) = absolute(path) {
        return Ok(FileLocation { store: store_of(&url)?, path: Path::from_url_path(url.path())? });
    }
    // Joined as text: a segment such as `a:b` or `..` of a partition value must not be taken for URL syntax.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{}{path}", table.path()) };
    Ok(FileLocation { store: store_of(table)?, path: Path::from_url_path(path)? })
}

/// The store of a data file, and the file's path in it.
pub(crate) fn file_at(
    stores: &Stores,
    table: &Url,
    path: &str,
) -> std::result::Result<(Arc<dyn ObjectStore>, Path), StorageError> {
    let unknown = |reason: String| StorageError::InvalidUrl { url: path.to_owned(), reason };
    let location = resolve(table, path).map_err(|error| unknown(error.to_string()))?;
    let store = Url::parse(location.store.as_str()).map_err(|error| unknown(error.to_string()))?;
    Ok((stores.get(&store)?, location.path))
}

/// The URL of a data file, for a log in another folder. Percent-encoded as the log has it.
pub(crate) fn absolute_url(table: &Url, path: &str) -> String {
    if absolute(path).is_some() {
        return path.to_owned();
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{}{path}", table.path()) };
    format!("{}{path}", &table[..Position::BeforePath])
}

/// The store of [`FileLocation::store`] that is written so.
pub(super) fn store_url(store: &str) -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(store)
}

/// The store of the data files of a table that lie in its folder, as scans name it.
pub(crate) fn home_store(table: &Url) -> std::result::Result<String, StorageError> {
    let unknown =
        |error: DataFusionError| StorageError::InvalidUrl { url: table.to_string(), reason: error.to_string() };
    Ok(store_of(table).map_err(unknown)?.as_str().to_owned())
}

fn absolute(path: &str) -> Option<Url> {
    let (scheme, rest) = path.split_once(':')?;
    let named = scheme.chars().all(|c| c.is_ascii_alphanumeric()) && rest.starts_with('/');
    let mut url = named.then(|| Url::parse(path).ok())??;
    if matches!(scheme, "s3a" | "s3n") {
        url = Url::parse(&path.replacen(scheme, "s3", 1)).ok()?;
    }
    Some(url)
}

fn store_of(url: &Url) -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse(&url[..Position::BeforePath])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(table: &str, path: &str) -> (String, String) {
        let location = resolve(&Url::parse(table).unwrap(), path).unwrap();
        (location.store.as_str().to_owned(), location.path.to_string())
    }

    #[test]
    fn relative_paths_are_decoded_once() {
        let found = path_of("s3://bucket/a%20lake/t/", "p=x%2520y/part%2B1.parquet");
        assert_eq!(found, ("s3://bucket/".into(), "a lake/t/p=x%20y/part+1.parquet".into()));
    }

    #[test]
    fn a_colon_in_a_partition_value_is_not_a_scheme() {
        let found = path_of("file:///lake/t/", "at=10:30/f.parquet");
        assert_eq!(found, ("file:///".into(), "lake/t/at=10:30/f.parquet".into()));
    }

    #[test]
    fn absolute_paths_choose_their_store() {
        assert_eq!(path_of("file:///lake/t/", "s3a://b/c/f.parquet"), ("s3://b/".into(), "c/f.parquet".into()));
        assert_eq!(path_of("file:///lake/t/", "file:/other/f.parquet"), ("file:///".into(), "other/f.parquet".into()));
        assert_eq!(path_of("memory:///t/", "f.parquet"), ("memory:///".into(), "t/f.parquet".into()));
        assert_eq!(path_of("s3://b/t/", "/other/f.parquet"), ("s3://b/".into(), "other/f.parquet".into()));
    }
}
