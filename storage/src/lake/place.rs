//! From a table's name to its folder, and to the table.
//!
//! The schema's document says where a renamed table lies. It is asked together with the folder that it named when it was
//! last seen, so that a table costs one round trip as long as nothing is renamed.

use std::sync::Arc;

use futures::join;
use uuid::Uuid;

use super::{Lake, check_name, is_unreadable};
use crate::{Snapshot, StorageError, catalog::CatalogDocument};

impl Lake {
    /// The newest version of a table; sees every commit that ended before the call.
    pub async fn table(&self, schema: &str, name: &str) -> Result<Arc<Snapshot>, StorageError> {
        self.find_table(schema, name, None).await
    }

    /// A table at one version. `VersionOutside` or `VersionCleanedUp` when it cannot be had.
    pub async fn table_version(&self, schema: &str, name: &str, version: u64) -> Result<Arc<Snapshot>, StorageError> {
        let document = self.document(schema).await?;
        if document.folder_of(name).is_some_and(|folder| document.dropped_tables.contains_key(folder)) {
            // Older versions may have had other ids: the newest one tells whether the table is there.
            self.table(schema, name).await?;
        }
        self.find_table(schema, name, Some(version)).await
    }

    async fn find_table(&self, schema: &str, name: &str, version: Option<u64>) -> Result<Arc<Snapshot>, StorageError> {
        if check_name("schema", schema).is_err() {
            return Err(StorageError::SchemaNotFound { schema: schema.to_owned() });
        }
        if check_name("table", name).is_err() {
            return Err(missing(schema, name));
        }
        let seen = self.documents.last_seen(schema).await;
        let guess = folder(seen.as_deref(), name);
        let (document, snapshot) =
            join!(self.documents.read(schema), self.in_folder(schema, name, guess.as_deref(), version));
        let document = document?.map(|found| found.document);
        let folder = folder(document.as_deref(), name);
        let snapshot =
            if folder == guess { snapshot } else { self.in_folder(schema, name, folder.as_deref(), version).await };
        self.visible(schema, name, folder.as_deref(), document, snapshot).await
    }

    async fn in_folder(
        &self,
        schema: &str,
        name: &str,
        folder: Option<&str>,
        version: Option<u64>,
    ) -> Result<Arc<Snapshot>, StorageError> {
        let Some(folder) = folder else { return Err(missing(schema, name)) };
        let location = self.table_url(schema, folder);
        self.snapshots.call(&location, format!("{schema}.{name}"));
        match version {
            Some(version) => self.at_version(&location, version).await,
            None => self.snapshots.newest(&location).await,
        }
    }

    /// Hides a table that was dropped, and says which of schema and table is missing.
    async fn visible(
        &self,
        schema: &str,
        name: &str,
        folder: Option<&str>,
        document: Option<Arc<CatalogDocument>>,
        snapshot: Result<Arc<Snapshot>, StorageError>,
    ) -> Result<Arc<Snapshot>, StorageError> {
        let dropped = document.as_ref().zip(folder).and_then(|(document, folder)| document.dropped_tables.get(folder));
        match snapshot {
            Ok(snapshot) if dropped.is_some_and(|ids| ids.iter().any(|id| id == snapshot.id())) => {
                Err(missing(schema, name))
            }
            Ok(snapshot) => {
                // Whoever sees a table may write to it: no rename that is under way may take its name any more.
                if document.is_some_and(|document| document.claims.contains_key(name)) {
                    self.refuse_claim(schema, name).await?;
                }
                Ok(snapshot)
            }
            // What a dropped table leaves while its files are deleted cannot be read and is not there.
            Err(error) if dropped.is_some() && is_unreadable(&error) => Err(missing(schema, name)),
            Err(error @ StorageError::TableNotFound { .. }) => {
                self.require_schema(schema, document.as_deref()).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The folder in which a table of this name lies, or is to be made. When the folder of the name is another table's, a
    /// new one is written down for it.
    pub(crate) async fn folder_to_make(&self, schema: &str, name: &str) -> Result<String, StorageError> {
        let document = self.document(schema).await?;
        let is_anothers = |folder: &str| {
            folder == name && document.kept_tables.get(folder).is_some_and(|kept| kept.name(folder) != name)
        };
        if let Some(folder) = document.folder_of(name).filter(|folder| !is_anothers(folder)) {
            return Ok(folder.to_owned());
        }
        // No one else can mean this one.
        let new = format!("{name}-{}", Uuid::new_v4().simple());
        let changed = self.change_document(schema, |document| {
            document.renamed.entry(name.to_owned()).or_insert_with(|| new.clone());
            Ok(())
        });
        let changed = changed.await?;
        Ok(changed.renamed.get(name).cloned().unwrap_or(new))
    }

    /// Called when a table was just made in `folder`: whether it is the one that its name stands for. A rename that is about
    /// to give the name away does not come about; one that has done it was faster, and this is `TableExists`.
    pub(crate) async fn settle(&self, schema: &str, name: &str, folder: &str) -> Result<(), StorageError> {
        let mut document = Arc::new(self.document(schema).await?);
        if document.claims.contains_key(name) {
            document = self.refuse_claim(schema, name).await?;
        }
        if document.folder_of(name) == Some(folder) && !document.has_entry(name) {
            return Ok(());
        }
        Err(StorageError::TableExists { table: format!("{schema}.{name}") })
    }

    /// A rename that is about to give this name away does not come about.
    async fn refuse_claim(&self, schema: &str, name: &str) -> Result<Arc<CatalogDocument>, StorageError> {
        let release = |document: &mut CatalogDocument| {
            document.claims.remove(name);
            Ok(())
        };
        self.change_document(schema, release).await
    }
}

fn folder(document: Option<&CatalogDocument>, name: &str) -> Option<String> {
    match document {
        Some(document) => document.folder_of(name).map(str::to_owned),
        None => Some(name.to_owned()),
    }
}

fn missing(schema: &str, name: &str) -> StorageError {
    StorageError::TableNotFound { table: format!("{schema}.{name}") }
}
