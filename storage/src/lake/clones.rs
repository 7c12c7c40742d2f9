//! Shallow clones that read the files of a table of the lake.
//!
//! A clone is written down in the catalog document of every schema whose tables' files it reads, before it is made: so it
//! is never unknown. What is written down and not there, or not any more, counts for nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use object_store::path::Path;
use url::Url;

use super::Lake;
use crate::{
    Snapshot, StorageError,
    catalog::TableClone,
    log::{self, LogError},
    table::{absolute_url, log_error, table_store, vector_url},
};

impl Lake {
    /// The clones of the table in a folder that are there, those included that were dropped and can be brought back.
    pub async fn clones_of(&self, schema: &str, folder: &str) -> Result<Vec<TableClone>, StorageError> {
        let mut found = Vec::new();
        for clone in self.document(schema).await?.clones.get(folder).into_iter().flatten() {
            if self.is_there(clone).await? {
                found.push(clone.clone());
            }
        }
        Ok(found)
    }

    /// The files of a table that its clones read, as paths in the table's folder: VACUUM must keep them.
    pub async fn files_used_by_clones(&self, table: &Snapshot) -> Result<HashSet<Path>, StorageError> {
        let folder = table.location();
        let mut files = HashSet::new();
        let Some((schema, name)) = self.owner(folder.as_str()) else { return Ok(files) };
        for clone in self.clones_of(&schema, &name).await? {
            files.extend(self.files_of_clone(&clone, folder).await?);
        }
        Ok(files)
    }

    /// The files in `folder` that some version of a clone names which can still be read: the clone may come back to it.
    async fn files_of_clone(&self, clone: &TableClone, folder: &Url) -> Result<HashSet<Path>, StorageError> {
        let location = self.table_url(&clone.schema, &clone.name);
        let newest = self.snapshots.newest(&location).await?;
        let failed = |error| log_error(newest.name(), &location, error);
        let named = log::named_at_all(&table_store(&self.stores, &location)?).await.map_err(failed)?;
        let mut urls = file_urls(&newest)?;
        urls.extend(named.paths().map(|path| absolute_url(&location, path)));
        for vector in named.vectors() {
            let url = vector_url(&location, &vector);
            urls.extend(url.map_err(|message| StorageError::Internal { message })?.map(String::from));
        }
        Ok(urls.iter().filter_map(|url| path_in(folder, url)).collect())
    }

    /// Writes down a clone of `source` before it is made, with every table of the lake whose files it will read.
    pub(crate) async fn note_clone(&self, source: &Snapshot, clone: &TableClone) -> Result<(), StorageError> {
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut own = |(schema, name): (String, String)| owners.entry(schema).or_default().insert(name);
        for url in file_urls(source)? {
            self.owner(&url).map(&mut own);
        }
        for (schema, names) in owners {
            self.change_document(&schema, |document| {
                for name in &names {
                    let clones = document.clones.entry(name.clone()).or_default();
                    if !clones.contains(clone) {
                        clones.push(clone.clone());
                    }
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Schema and folder of the table in whose folder a URL lies.
    pub(crate) fn owner(&self, url: &str) -> Option<(String, String)> {
        let path = Path::from_url_path(url.strip_prefix(self.root.as_str())?).ok()?;
        let mut parts = path.parts();
        Some((parts.next()?.as_ref().to_owned(), parts.next()?.as_ref().to_owned()))
    }

    /// In doubt it is there.
    async fn is_there(&self, clone: &TableClone) -> Result<bool, StorageError> {
        let location = self.table_url(&clone.schema, &clone.name);
        match self.snapshots.newest(&location).await {
            Ok(newest) if newest.id() == clone.id => return Ok(true),
            Ok(_) => {}
            Err(StorageError::TableNotFound { .. }) => return Ok(false),
            Err(StorageError::ReadTable { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
        // CREATE OR REPLACE gives a new id, and keeps the versions before.
        match self.snapshots.version(&location, 0).await {
            Ok(first) => Ok(first.id() == clone.id),
            Err(StorageError::TableNotFound { .. }) => Ok(false),
            Err(error) if is_cleaned_up(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn is_cleaned_up(error: &StorageError) -> bool {
    matches!(error, StorageError::ReadTable { source, .. } if matches!(source.downcast_ref(), Some(LogError::Gap { .. })))
}

/// URLs of the data files and deletion vectors of a version.
pub(super) fn file_urls(snapshot: &Snapshot) -> Result<Vec<String>, StorageError> {
    let (files, location) = (&snapshot.log().files, snapshot.location());
    let mut urls = Vec::with_capacity(files.len());
    for file in 0..files.len() {
        urls.push(absolute_url(location, files.path(file)));
        if let Some(vector) = files.deletion_vector(file) {
            let url = vector_url(location, &vector);
            urls.extend(url.map_err(|message| StorageError::Internal { message })?.map(String::from));
        }
    }
    Ok(urls)
}

/// The path of a URL in a folder, if it lies there.
pub(super) fn path_in(folder: &Url, url: &str) -> Option<Path> {
    Path::from_url_path(url.strip_prefix(folder.as_str())?).ok()
}
