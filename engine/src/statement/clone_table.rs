//! ```text
//! CREATE TABLE [IF NOT EXISTS] name SHALLOW CLONE table [{ VERSION AS OF n | TIMESTAMP AS OF time }]    or table@vn
//! ```
//! A table of its own on the files of another one: nothing is copied, and nothing that is done to it touches the original.

use std::sync::Arc;

use boathouse_storage::{Snapshot, StorageError, write};
use datafusion::{common::ScalarValue, sql::sqlparser::ast::TableVersion};

use super::{
    Context, Outcome,
    name::{self, Kind},
    restore::table_of_lake,
};
use crate::{
    EngineError,
    catalog::{At, TableName},
    parser::CloneTable as Ast,
};

#[derive(Debug)]
pub(crate) struct CloneTable {
    name: TableName,
    if_not_exists: bool,
    source: TableName,
    version: Option<TableVersion>,
}

impl CloneTable {
    pub async fn plan(context: &Context, ast: Ast) -> Result<Self, EngineError> {
        let clone = Self {
            name: name::target(context, &ast.name)?,
            if_not_exists: ast.if_not_exists,
            source: name::target(context, &ast.source.name)?,
            version: ast.source.version.clone(),
        };
        clone.version.as_ref().map(|version| context.at(version)).transpose()?;
        clone.source(context).await.map_err(|error| error.at(&context.sql, name::place(&ast.source.name)))?;
        clone.exists(context).await.map_err(|error| error.at(&context.sql, name::place(&ast.name)))?;
        Ok(clone)
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if self.exists(context).await? {
            return Ok(Outcome::Done("CREATE TABLE"));
        }
        let source = self.source(&context.fresh()).await?;
        let (lake, TableName { schema, name }) = (context.engine.lake(), &self.name);
        match write::shallow_clone(lake, &source, schema, name, &name::commit_info(context)).await {
            Ok(_) => Ok(Outcome::Done("CREATE TABLE")),
            Err(StorageError::TableExists { .. }) if self.if_not_exists => Ok(Outcome::Done("CREATE TABLE")),
            Err(error) => Err(error.into()),
        }
    }

    async fn source(&self, context: &Context) -> Result<Arc<Snapshot>, EngineError> {
        let newest = table_of_lake(context, &self.source, "SHALLOW CLONE").await?;
        let lake = context.engine.lake();
        // A time such as `now()` is that of each look.
        let version = match self.version.as_ref().map(|version| context.at(version)).transpose()? {
            None => return Ok(newest),
            Some(At::Version(version)) => version,
            Some(At::Time(time_ms)) => lake.version_at(&newest, time_ms).await?,
        };
        Ok(lake.table_version(&self.source.schema, &self.source.name, version).await?)
    }

    /// Whether the table is there and may stay; a name that is taken otherwise is an error.
    async fn exists(&self, context: &Context) -> Result<bool, EngineError> {
        match name::find(context, &self.name).await? {
            Some(Kind::Table | Kind::External) if self.if_not_exists => Ok(true),
            Some(kind) => Err(name::taken(&self.name, kind, "IF NOT EXISTS leaves it.")),
            None => Ok(false),
        }
    }
}
