//! Schemas and tables found by their folders.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::{Lake, MAIN_SCHEMA, check_name, is_unreadable};
use crate::{
    StorageError,
    catalog::CatalogDocument,
    store::object_path,
    table::{has_log, table_store},
};

/// How many folders are looked into at once.
const LISTINGS_AT_ONCE: usize = 16;

impl Lake {
    /// Schemas: folders of the lake whose names do not start with `_` or `.`, those made by `CREATE SCHEMA`, and `main`. Sorted.
    pub async fn schemas(&self) -> Result<Vec<String>, StorageError> {
        let (folders, documented) = futures::try_join!(self.folders(&[]), self.documents.names())?;
        let mut schemas: BTreeSet<String> = folders.into_iter().collect();
        let documented: Vec<(String, bool)> = futures::stream::iter(documented)
            .map(async |schema| {
                let document = self.documents.read(&schema).await?.map(|found| found.document);
                let exists = self.schema_exists(&schema, document.as_deref()).await?;
                Ok::<_, StorageError>((schema, exists))
            })
            .buffer_unordered(LISTINGS_AT_ONCE)
            .try_collect()
            .await?;
        for (schema, exists) in documented {
            if exists {
                schemas.insert(schema);
            } else {
                schemas.remove(&schema);
            }
        }
        schemas.insert(MAIN_SCHEMA.to_owned());
        Ok(schemas.into_iter().collect())
    }

    /// Delta tables whose folders lie in the schema's (views and external tables are in [`Lake::catalog`]). Sorted.
    pub async fn tables(&self, schema: &str) -> Result<Vec<String>, StorageError> {
        if check_name("schema", schema).is_err() {
            return Err(StorageError::SchemaNotFound { schema: schema.to_owned() });
        }
        let document = self.documents.read(schema).await?.map(|found| found.document);
        let tables = self.found_tables(schema, document.as_deref()).await?;
        if tables.is_empty() {
            self.require_schema(schema, document.as_deref()).await?;
        }
        Ok(tables)
    }

    /// Names of the tables of a schema that were not dropped, whether or not the schema was. Sorted.
    pub(super) async fn found_tables(
        &self,
        schema: &str,
        document: Option<&CatalogDocument>,
    ) -> Result<Vec<String>, StorageError> {
        let folders = self.found_folders(schema, document).await?;
        let Some(document) = document else { return Ok(folders) };
        let mut names = Vec::with_capacity(folders.len());
        for folder in &folders {
            match document.name_of(folder) {
                Some(name) => names.push(name.to_owned()),
                None => tracing::warn!(schema, folder, "a table is not seen: another one has the name of its folder"),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Folders of a schema that hold tables which were not dropped. Sorted.
    pub(super) async fn found_folders(
        &self,
        schema: &str,
        document: Option<&CatalogDocument>,
    ) -> Result<Vec<String>, StorageError> {
        let none = BTreeMap::new();
        let dropped = document.map_or(&none, |document| &document.dropped_tables);
        let folders = self.folders(&[schema]).await?;
        let mut found: Vec<String> = futures::stream::iter(folders)
            .map(async |name| {
                let there = has_log(&*table_store(&self.stores, &self.table_url(schema, &name))?, &name).await?
                    && match dropped.get(&name) {
                        Some(ids) => self.is_made_anew(schema, &name, ids).await?,
                        None => true,
                    };
                Ok::<_, StorageError>(there.then_some(name))
            })
            .buffer_unordered(LISTINGS_AT_ONCE)
            .try_filter_map(async |name| Ok(name))
            .try_collect()
            .await?;
        found.sort_unstable();
        Ok(found)
    }

    pub(super) async fn require_schema(
        &self,
        schema: &str,
        document: Option<&CatalogDocument>,
    ) -> Result<(), StorageError> {
        if self.schema_exists(schema, document).await? {
            Ok(())
        } else {
            Err(StorageError::SchemaNotFound { schema: schema.to_owned() })
        }
    }

    /// A schema is there when it was made, or when its folder is. A dropped one is not, unless a table appeared in it since.
    pub(super) async fn schema_exists(
        &self,
        schema: &str,
        document: Option<&CatalogDocument>,
    ) -> Result<bool, StorageError> {
        match document {
            _ if schema == MAIN_SCHEMA => Ok(true),
            _ if check_name("schema", schema).is_err() => Ok(false),
            Some(document) if document.dropped => Ok(!self.found_tables(schema, Some(document)).await?.is_empty()),
            Some(_) => Ok(true),
            None => Ok(self.folders(&[]).await?.iter().any(|folder| folder == schema)),
        }
    }

    /// Names of the folders in a folder of the lake that can be schemas or tables.
    async fn folders(&self, names: &[&str]) -> Result<Vec<String>, StorageError> {
        let url = self.folder(names);
        let listed = self.stores.get(&url)?.list_with_delimiter(Some(&object_path(&url)?)).await;
        let listed = listed.map_err(|source| StorageError::Store { action: "list", path: url.to_string(), source })?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.filter(|name| check_name("table", name).is_ok()).map(str::to_owned).collect())
    }

    /// Whether the table in the folder of a dropped one is another one.
    pub(crate) async fn is_made_anew(
        &self,
        schema: &str,
        folder: &str,
        dropped: &[String],
    ) -> Result<bool, StorageError> {
        match self.snapshots.newest(&self.table_url(schema, folder)).await {
            Ok(snapshot) => Ok(!dropped.iter().any(|id| id == snapshot.id())),
            Err(error) if is_unreadable(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
