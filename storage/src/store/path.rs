//! URLs to paths inside a store, and back.

use std::path::Path as FilePath;

use object_store::path::Path;
use url::Url;

use crate::StorageError;

/// The path of a URL inside its store, percent-encoding undone.
pub(crate) fn object_path(url: &Url) -> Result<Path, StorageError> {
    Path::from_url_path(url.path())
        .map_err(|e| StorageError::InvalidUrl { url: url.to_string(), reason: e.to_string() })
}

/// What a person types for a lake or a location (`./lake`, `/lake`, `s3://bucket/prefix`, `memory://`) as a URL with a
/// trailing slash. A text without a scheme is a folder, relative to the working directory.
pub(crate) fn folder_url(text: &str) -> Result<Url, StorageError> {
    let invalid = |reason: String| StorageError::InvalidUrl { url: text.to_owned(), reason };
    if text.trim().is_empty() {
        return Err(invalid("the location is empty".into()));
    }
    let mut url = match Url::parse(text) {
        // One letter is a drive, not a scheme.
        Ok(url) if url.scheme().len() > 1 && text.contains(":/") => url,
        _ => {
            let path = std::path::absolute(FilePath::new(text)).map_err(|e| invalid(e.to_string()))?;
            Url::from_directory_path(&path).map_err(|()| invalid("it is not a folder's path".into()))?
        }
    };
    if url.scheme() == "file" {
        // Resolves links and `..`, so that one folder has one URL and caches see one table.
        let path = url.to_file_path().map_err(|()| invalid("it is not a folder's path".into()))?;
        if let Ok(resolved) = path.canonicalize() {
            url = Url::from_directory_path(resolved).map_err(|()| invalid("it is not a folder's path".into()))?;
        }
    }
    if url.scheme() == "memory" {
        let path = url.path().trim_end_matches('/').to_owned();
        url = Url::parse(&format!("memory://{path}/")).map_err(|e| invalid(e.to_string()))?;
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("a location has no `?` and no `#`".into()));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Whether a request failed because the object is not there. On S3 a missing key reads as "forbidden" for those who may
/// not list the bucket, which is not the same: it stays an error.
pub(crate) fn is_not_found(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_becomes_a_folder_url() {
        assert_eq!(folder_url("s3://bucket/a b").unwrap().as_str(), "s3://bucket/a%20b/");
        assert_eq!(folder_url("s3://bucket").unwrap().as_str(), "s3://bucket/");
        assert_eq!(folder_url("memory://").unwrap().as_str(), "memory:///");
        assert_eq!(folder_url("memory:///x").unwrap().as_str(), "memory:///x/");
        assert!(folder_url("/no/such/folder").unwrap().as_str().starts_with("file:///no/such/folder/"));
        assert!(folder_url("./x").unwrap().as_str().starts_with("file:///"));
        assert!(folder_url("s3://bucket/?x=1").is_err());
        assert!(folder_url("").is_err());
    }

    #[test]
    fn encoded_characters_come_back() {
        let url = folder_url("s3://bucket/a b%25/ü").unwrap();
        assert_eq!(object_path(&url).unwrap().as_ref(), "a b%/ü");
    }
}
