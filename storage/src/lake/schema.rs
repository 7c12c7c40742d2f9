//! CREATE SCHEMA and DROP SCHEMA.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Lake, MAIN_SCHEMA, check_name, is_unreadable};
use crate::{StorageError, catalog::CatalogDocument, write};

impl Lake {
    /// Makes a schema. `SchemaExists` when it is there.
    pub async fn create_schema(&self, schema: &str, comment: Option<&str>) -> Result<(), StorageError> {
        check_name("schema", schema)?;
        self.documents
            .change(schema, |before| async move {
                if self.schema_exists(schema, before.as_deref()).await? {
                    return Err(StorageError::SchemaExists { schema: schema.to_owned() });
                }
                let mut document = before.as_deref().cloned().unwrap_or_default();
                document.dropped = false;
                document.comment = comment.map(str::to_owned);
                Ok(document)
            })
            .await?;
        Ok(())
    }

    /// Drops a schema and, with `cascade`, all in it: gone with one write of its document, files deleted after that.
    /// `SchemaNotEmpty` when it holds something and `cascade` is false; `SchemaRequired` for `main`; `ClonesExist` when a
    /// table of another schema, or one that can be brought back, reads files of one in it. Nothing happens then.
    pub async fn drop_schema(&self, schema: &str, cascade: bool) -> Result<(), StorageError> {
        if schema == MAIN_SCHEMA {
            return Err(StorageError::SchemaRequired { schema: schema.to_owned() });
        }
        let changed = self
            .documents
            .change(schema, |before| async move {
                self.require_schema(schema, before.as_deref()).await?;
                let mut document = before.as_deref().cloned().unwrap_or_default();
                let folders = self.found_folders(schema, Some(&document)).await?;
                let objects = objects(&document, folders.len());
                if !cascade && !objects.is_empty() {
                    return Err(StorageError::SchemaNotEmpty { schema: schema.to_owned(), objects });
                }
                for folder in folders {
                    let id = match self.snapshots.newest(&self.table_url(schema, &folder)).await {
                        Ok(snapshot) => Some(snapshot.id().to_owned()),
                        // A table that cannot be read has no id that could be told from another's.
                        Err(error) if is_unreadable(&error) => None,
                        Err(error) => return Err(error),
                    };
                    document.dropped_tables.entry(folder).or_default().extend(id);
                }
                let going = going(&document);
                for folder in &going {
                    write::check_clones_outside(self, schema, folder, &going).await?;
                }
                Ok(CatalogDocument {
                    dropped: true,
                    dropped_tables: document.dropped_tables,
                    comment: None,
                    views: BTreeMap::new(),
                    external_tables: BTreeMap::new(),
                    marts: BTreeMap::new(),
                    renamed: BTreeMap::new(),
                    claims: BTreeMap::new(),
                    // Dropped before, and not together with the schema.
                    kept_tables: document.kept_tables,
                    clones: document.clones,
                    holds: document.holds,
                })
            })
            .await?;
        write::finish_drops(self, schema, going(&changed)).await
    }

    /// Changes a document without asking whether its schema is there: for what a drop leaves.
    pub(crate) async fn change_document(
        &self,
        schema: &str,
        change: impl Fn(&mut CatalogDocument) -> Result<(), StorageError>,
    ) -> Result<Arc<CatalogDocument>, StorageError> {
        let change = &change;
        self.documents
            .change(schema, |before| async move {
                let mut document = before.as_deref().cloned().unwrap_or_default();
                change(&mut document)?;
                Ok(document)
            })
            .await
    }

    /// The document as it is, whether or not the schema is there.
    pub(crate) async fn document(&self, schema: &str) -> Result<CatalogDocument, StorageError> {
        let found = self.documents.read(schema).await?;
        Ok(found.map(|found| (*found.document).clone()).unwrap_or_default())
    }

    /// `SchemaNotFound` unless the schema is there.
    pub(crate) async fn check_schema(&self, schema: &str) -> Result<(), StorageError> {
        let found = self.documents.read(schema).await?.map(|found| found.document);
        self.require_schema(schema, found.as_deref()).await
    }
}

/// The folders whose files go with the schema: not those of tables that were dropped before and are kept.
fn going(document: &CatalogDocument) -> BTreeSet<String> {
    let dropped = document.dropped_tables.keys();
    dropped.filter(|folder| !document.kept_tables.contains_key(*folder)).cloned().collect()
}

fn objects(document: &CatalogDocument, tables: usize) -> String {
    let counts = [
        (tables, "table"),
        (document.views.len(), "view"),
        (document.external_tables.len(), "external table"),
        (document.marts.len(), "mart"),
    ];
    let texts = counts.iter().filter(|(count, _)| *count > 0);
    let texts = texts.map(|(count, kind)| if *count == 1 { format!("1 {kind}") } else { format!("{count} {kind}s") });
    texts.collect::<Vec<_>>().join(", ")
}
