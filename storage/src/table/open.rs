//! From a location to a table's log, and what can be wrong with it.
//!
//! The Delta library gets our stores and never makes its own. A log that breaks it, panics included, is an error that names
//! the table; the process goes on.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::Arc};

use deltalake::{
    DeltaTableError,
    logstore::{LogStoreRef, StorageConfig, default_logstore},
};
use futures::{FutureExt, StreamExt};
use object_store::{ObjectStore, path::Path, prefix::PrefixStore};
use url::Url;

use crate::{
    StorageError,
    log::LogError,
    store::{Stores, is_not_found, object_path},
};

/// The store of a location, rooted at the table's folder.
pub(crate) fn table_store(stores: &Stores, location: &Url) -> Result<Arc<dyn ObjectStore>, StorageError> {
    Ok(Arc::new(PrefixStore::new(stores.get(location)?, object_path(location)?)))
}

/// The log of a location, on our stores.
pub(crate) fn log_store(stores: &Stores, location: &Url) -> Result<LogStoreRef, StorageError> {
    let root = stores.get(location)?;
    let prefixed = table_store(stores, location)?;
    Ok(default_logstore(prefixed, root, location, &StorageConfig::default()))
}

/// Whether a table's folder holds a commit or a checkpoint: what makes it a table.
pub(crate) async fn has_log(table_store: &dyn ObjectStore, name: &str) -> Result<bool, StorageError> {
    let folder = Path::from("_delta_log");
    let is_log = |path: &Path| {
        let name = path.filename().unwrap_or_default();
        path.prefix_match(&folder).is_some_and(|parts| parts.count() == 1)
            && name.len() > 20
            && name.bytes().take(20).all(|byte| byte.is_ascii_digit())
    };
    let mut objects = table_store.list(Some(&folder));
    while let Some(object) = objects.next().await {
        let found = object.map_err(|source| StorageError::Store {
            action: "list the log of",
            path: name.to_owned(),
            source,
        })?;
        if is_log(&found.location) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs library code on a log that may be damaged: a panic becomes an error.
pub(crate) async fn guarded<T>(work: impl Future<Output = Result<T, DeltaTableError>>) -> Result<T, DeltaTableError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(DeltaTableError::generic(format!("the log cannot be read: {}", panic_text(&*panic)))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

/// Sorts a log that could not be read: not there, that version not there, or damaged.
pub(crate) fn log_error(name: &str, location: &Url, error: LogError) -> StorageError {
    let table = name.to_owned();
    match error {
        LogError::NoTable => StorageError::TableNotFound { table },
        LogError::NoVersion { version } => StorageError::VersionNotFound { table, version },
        error => {
            let (location, unreachable, source) = (location.to_string(), error.is_store_failure(), Box::new(error));
            match unreachable {
                true => StorageError::TableUnreachable { table, location, source },
                false => StorageError::ReadTable { table, location, source },
            }
        }
    }
}

/// Sorts a load of the library that failed: not there, that version not there, or damaged.
pub(crate) fn read_error(name: &str, location: &Url, version: Option<u64>, error: DeltaTableError) -> StorageError {
    let table = name.to_owned();
    let text = error.to_string();
    match (&error, version) {
        (DeltaTableError::ObjectStore { source }, _) if is_not_found(source) => StorageError::TableNotFound { table },
        (DeltaTableError::NotATable(_) | DeltaTableError::InvalidTableLocation(_), _) => {
            StorageError::TableNotFound { table }
        }
        // The kernel's words for a folder that is not there.
        _ if text.contains("Path does not exist") => StorageError::TableNotFound { table },
        // The kernel tells a version past the end in words only.
        (_, Some(version)) if text.contains("not the same as the specified end version") => {
            StorageError::VersionNotFound { table, version }
        }
        _ if let Some(features) = unknown_features(&text) => StorageError::UnsupportedFeature { table, features },
        _ => {
            let (location, unreachable) = (location.to_string(), is_store_failure(&error, &text));
            let source = Box::new(error);
            if unreachable {
                StorageError::TableUnreachable { table, location, source }
            } else {
                StorageError::ReadTable { table, location, source }
            }
        }
    }
}

/// What the kernel, in words only, refuses to read: `Feature 'x' is not supported`, `Unsupported minimum reader version 4`.
fn unknown_features(text: &str) -> Option<String> {
    if let Some((_, version)) = text.split_once("Unsupported minimum reader version ") {
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        return Some(format!("reader version {digits} of the protocol"));
    }
    let (_, rest) = text.split_once("Unsupported: Feature '")?;
    let (feature, rest) = rest.split_once('\'')?;
    // Only a table of this version lists its features.
    rest.starts_with(" is not supported").then(|| format!("{feature}, reader version 3 of the protocol"))
}

/// Whether the store failed rather than the log. The kernel keeps the store's error in its text only.
fn is_store_failure(error: &DeltaTableError, text: &str) -> bool {
    matches!(error, DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. })
        || text.contains("Error interacting with object store")
        || text.contains("Reqwest Error")
}
