//! Which files a statement may name, and finding those that it names.

use boathouse_storage::{
    Lake,
    file::{self, File, Location},
};
use url::Url;

use crate::{Engine, EngineError, ErrorKind, FileAccess};

/// Resolves a path that is to be read, and lists what is there: at least one file.
pub(crate) async fn find(engine: &Engine, path: &str) -> Result<(Location, Vec<File>), EngineError> {
    let location = locate(engine, path)?;
    let files = file::list(engine.lake().stores().as_ref(), &location).await?;
    if files.is_empty() {
        let message = match location.has_wildcards() {
            true => format!("no file matches \"{path}\""),
            false => format!("file \"{path}\" does not exist"),
        };
        return Err(EngineError::not_found(message));
    }
    // A link inside an allowed folder may lead out of it.
    match files.iter().find(|file| !allowed(engine, &file.url)) {
        Some(file) => Err(denied(&file.name)),
        None => Ok((location, files)),
    }
}

/// Resolves a path and checks that it may be named.
pub(crate) fn locate(engine: &Engine, path: &str) -> Result<Location, EngineError> {
    let location = Location::parse(path)?;
    match allowed(engine, location.url()) {
        true => Ok(location),
        false => Err(denied(path)),
    }
}

/// Resolves a path that is to be written. The lake's own folder is for its tables.
pub(crate) fn locate_target(engine: &Engine, path: &str) -> Result<Location, EngineError> {
    let location = locate(engine, path)?;
    if location.has_wildcards() {
        return Err(EngineError::invalid(format!("a file to be written cannot have wildcards: \"{path}\"")));
    }
    if is_under(location.url(), engine.lake().url()) {
        let message = format!("\"{path}\" lies in the lake, whose folders are its schemas and tables");
        return Err(EngineError::new(ErrorKind::Denied, message).with_hint("Choose a place outside of the lake."));
    }
    Ok(location)
}

fn allowed(engine: &Engine, url: &Url) -> bool {
    // Hashes of passwords are for nobody's eyes.
    if Lake::is_private(url) {
        return false;
    }
    match &engine.config().file_access {
        FileAccess::Anywhere => true,
        FileAccess::Under(roots) => is_under(url, engine.lake().url()) || roots.iter().any(|root| is_under(url, root)),
    }
}

fn denied(path: &str) -> EngineError {
    EngineError::new(ErrorKind::Denied, format!("reading and writing \"{path}\" is not allowed"))
        .with_hint("The setting file_access lists the folders and buckets whose files statements may name.")
}

/// Whether a URL is a folder's or lies below it. Links in the folder's own path are resolved.
fn is_under(url: &Url, folder: &Url) -> bool {
    let folder = match folder.scheme() {
        "file" => {
            Location::parse(folder.as_str()).map(|location| location.folder_url()).unwrap_or_else(|_| folder.clone())
        }
        _ => folder.clone(),
    };
    let same_store =
        url.scheme() == folder.scheme() && url.host_str() == folder.host_str() && url.port() == folder.port();
    let root = folder.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(root);
    same_store && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_what_is_below_it_and_not_its_neighbours() {
        let url = |text: &str| Url::parse(text).unwrap();
        let folder = url("s3://bucket/data");
        assert!(is_under(&url("s3://bucket/data/a.csv"), &folder));
        assert!(is_under(&url("s3://bucket/data/"), &folder));
        assert!(!is_under(&url("s3://bucket/database/a.csv"), &folder));
        assert!(!is_under(&url("s3://other/data/a.csv"), &folder));
        assert!(is_under(&url("s3://bucket/any"), &url("s3://bucket")));
    }
}
