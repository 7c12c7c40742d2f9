//! Finding files and reading them.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use url::Url;

use super::{Location, location};
use crate::StorageError;

/// One file that was there when it was listed.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is; the target when it is a local link.
    pub url: Url,
    /// For error texts: the local path, or the URL.
    pub name: String,
    pub meta: ObjectMeta,
}

/// The files at a location, sorted by path. Nothing there is an empty list. In a folder, and under a wildcard, files and
/// folders whose names begin with `_` or `.` are left out, unless the pattern itself names them so.
pub async fn list(stores: &dyn ObjectStoreRegistry, location: &Location) -> Result<Vec<File>, StorageError> {
    let (store, path) = open(stores, location.url(), location.text())?;
    if !location.has_wildcards() && !location.url().path().ends_with('/') {
        match store.head(&path).await {
            Ok(meta) => return Ok(vec![file(location.url(), meta)]),
            Err(object_store::Error::NotFound { .. }) => {}
            // A folder on the disk answers in its own way.
            Err(_) if location.is_folder() => {}
            Err(source) => return Err(failed("read", location.text(), source)),
        }
    }
    let named_hidden = location.file_name().starts_with(['_', '.']);
    // Looking no deeper than the pattern is cheaper, and does not stumble over links that lead in circles below.
    let found = match location.is_shallow() {
        true => store.list_with_delimiter(Some(&path)).await.map(|list| list.objects),
        false => store.list(Some(&path)).try_collect().await,
    };
    let mut metas: Vec<ObjectMeta> = match found {
        Ok(metas) => metas,
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        Err(source) => return Err(failed("list", location.text(), source)),
    };
    metas.retain(|meta| {
        let Some(parts) = meta.location.prefix_match(&path) else { return false };
        let parts: Vec<String> = parts.map(|part| decoded(part.as_ref())).collect();
        let hidden = |name: &String| name.starts_with(['_', '.']) && !name.contains('=');
        !parts.is_empty() && (named_hidden || !parts.iter().any(hidden)) && location.matches(&parts.join("/"))
    });
    metas.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(metas.into_iter().map(|meta| file(location.url(), meta)).collect())
}

/// The bytes of a file as it was when it was listed: one that changed since is an error, not a mixture.
pub async fn read(
    stores: &dyn ObjectStoreRegistry,
    file: &File,
) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
    let (store, _) = open(stores, &file.url, &file.name)?;
    let options = object_store::GetOptions { if_match: file.meta.e_tag.clone(), ..Default::default() };
    let result = match store.get_opts(&file.meta.location, options).await {
        Ok(result) => result,
        Err(source) => return Err(failed("read", &file.name, source)),
    };
    let name = file.name.clone();
    Ok(result.into_stream().map_err(move |source| failed("read", &name, source)).boxed())
}

/// The store of a URL and the path in it.
pub(super) fn open(
    stores: &dyn ObjectStoreRegistry,
    url: &Url,
    text: &str,
) -> Result<(Arc<dyn ObjectStore>, Path), StorageError> {
    let invalid = |reason: String| StorageError::InvalidUrl { url: text.into(), reason };
    let store = stores.get_store(url).map_err(|error| match error {
        datafusion::error::DataFusionError::External(cause) => match cause.downcast::<StorageError>() {
            Ok(error) => *error,
            Err(cause) => invalid(cause.to_string()),
        },
        other => invalid(other.message().to_string()),
    })?;
    let path = Path::from_url_path(url.path()).map_err(|error| invalid(error.to_string()))?;
    Ok((store, path))
}

pub(super) fn failed(action: &'static str, path: &str, source: object_store::Error) -> StorageError {
    StorageError::Store { action, path: path.into(), source }
}

fn file(base: &Url, meta: ObjectMeta) -> File {
    let mut url = base.clone();
    url.set_path(&format!("/{}", meta.location));
    let local = location::local_path(&url);
    if let Some(target) = local.as_ref().and_then(|path| path.canonicalize().ok())
        && let Ok(target) = Url::from_file_path(target)
    {
        url = target;
    }
    let name = match local {
        Some(path) => path.display().to_string(),
        None => format!("{}{}", &base[..url::Position::BeforePath], format_args!("/{}", meta.location)),
    };
    File { url, name, meta }
}

/// A path part without the escapes that a store needs.
fn decoded(part: &str) -> String {
    Url::parse(&format!("file:///{part}"))
        .ok()
        .and_then(|url| location::local_path(&url))
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| part.into())
}
