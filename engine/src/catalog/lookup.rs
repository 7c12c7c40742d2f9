//! One name in the lake: table, view, external table, or nothing.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot, StorageError,
    catalog::{CatalogDocument, ExternalTable, View},
};

use super::{Pinned, TableName, is_reserved};
use crate::{EngineError, error::did_you_mean};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(Arc<Snapshot>),
    View(Arc<View>),
    External(Arc<ExternalTable>),
}

impl Pinned {
    /// What `name` stands for, looked up once per statement; `None` when the schema has no such name. A schema that does
    /// not exist is an error.
    pub async fn relation(&self, name: &TableName) -> Result<Option<Relation>, EngineError> {
        if let Some(known) = self.known_relation(name) {
            return Ok(Some(known));
        }
        if let Some(travel) = self.travel_of(name) {
            let relation = self.travelled(&travel).await?;
            return Ok(Some(self.keep_pinned(name, relation)));
        }
        let document = self.document(&name.schema).await?;
        let relation = if let Some(view) = document.views.get(&name.name) {
            Relation::View(Arc::new(view.clone()))
        } else if let Some(external) = document.external_tables.get(&name.name) {
            Relation::External(Arc::new(external.clone()))
        } else {
            match self.snapshot(name).await {
                Ok(snapshot) => Relation::Table(snapshot),
                Err(StorageError::TableNotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Some(self.keep_pinned(name, relation)))
    }

    fn keep_pinned(&self, name: &TableName, relation: Relation) -> Relation {
        let relation = self.keep_relation(name, relation);
        if let Relation::Table(snapshot) = &relation {
            self.pin(name.to_string(), snapshot.version());
        }
        relation
    }

    /// Like [`Pinned::relation`], with an error that suggests the nearest name when there is none.
    pub async fn require(&self, name: &TableName) -> Result<Relation, EngineError> {
        match self.relation(name).await? {
            Some(relation) => Ok(relation),
            None => Err(self.unknown_table(name).await),
        }
    }

    async fn snapshot(&self, name: &TableName) -> Result<Arc<Snapshot>, StorageError> {
        match self.wanted(&name.to_string()) {
            Some(version) => self.lake.table_version(&name.schema, &name.name, version).await,
            None => self.lake.table(&name.schema, &name.name).await,
        }
    }

    /// A Delta table outside the lake's folders, at one version for the whole statement.
    pub async fn table_at(&self, location: &url::Url) -> Result<Arc<Snapshot>, EngineError> {
        let snapshot = self.lake.table_at(location, self.wanted(location.as_str())).await?;
        self.pin(location.to_string(), snapshot.version());
        Ok(snapshot)
    }

    pub(super) async fn document(&self, schema: &str) -> Result<Arc<CatalogDocument>, EngineError> {
        match self.lake.catalog(schema).await {
            Ok(document) => Ok(document),
            Err(StorageError::SchemaNotFound { .. }) => Err(self.unknown_schema(schema).await),
            Err(error) => Err(error.into()),
        }
    }

    /// `schema "x" does not exist`, with the nearest one.
    pub async fn unknown_schema(&self, schema: &str) -> EngineError {
        let mut error = EngineError::not_found(format!("schema \"{schema}\" does not exist"));
        if let Ok(schemas) = self.lake.schemas().await {
            error.hint =
                did_you_mean(schema, schemas.iter().map(String::as_str).chain(["information_schema", "system"]));
        }
        error
    }

    /// `table "x" does not exist`, with the nearest name: of the same schema, else the same name elsewhere.
    pub async fn unknown_table(&self, name: &TableName) -> EngineError {
        let mut error = EngineError::not_found(format!("table \"{name}\" does not exist"));
        if is_reserved(&name.schema) {
            error.hint = match name.schema.as_str() {
                "system" => did_you_mean(&name.name, super::system::TABLES.iter().copied()),
                _ => did_you_mean(&name.name, super::information_schema::TABLES.iter().copied()),
            };
            return error;
        }
        let names = self.names(&name.schema).await.unwrap_or_default();
        error.hint = did_you_mean(&name.name, names.iter().map(String::as_str));
        if error.hint.is_some() {
            return error;
        }
        // A look at every schema costs a listing each: only as many as a person would look through.
        const SCHEMAS_MAX: usize = 20;
        for schema in self.lake.schemas().await.unwrap_or_default().iter().take(SCHEMAS_MAX) {
            if schema != &name.schema && self.names(schema).await.is_ok_and(|names| names.contains(&name.name)) {
                error.hint = Some(format!("Did you mean \"{schema}.{}\"?", name.name));
                break;
            }
        }
        error
    }

    /// Tables, views and external tables of a schema.
    async fn names(&self, schema: &str) -> Result<Vec<String>, EngineError> {
        let document = self.document(schema).await?;
        let mut names = self.lake.tables(schema).await?;
        names.extend(document.views.keys().chain(document.external_tables.keys()).cloned());
        Ok(names)
    }
}
