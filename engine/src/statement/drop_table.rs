//! ```text
//! DROP TABLE [IF EXISTS] name
//! ```
//! Deletes a table with its files. An external table is only forgotten: its files stay.

use boathouse_storage::{StorageError, write};
use datafusion::{common::ScalarValue, sql::sqlparser::ast};

use super::{
    Context, Outcome,
    name::{self, Kind},
    schema::Drop,
};
use crate::{EngineError, catalog::TableName};

#[derive(Debug)]
pub(crate) struct DropTable {
    name: TableName,
    if_exists: bool,
}

impl DropTable {
    pub async fn plan(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let drop = Drop::of(context, statement)?.alone()?;
        let table = Self { name: name::target(context, &drop.name)?, if_exists: drop.if_exists };
        table.find(context).await.map_err(|error| error.at(&context.sql, name::place(&drop.name)))?;
        Ok(table)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let TableName { schema, name } = &self.name;
        match self.find(context).await? {
            None => {}
            Some(Kind::External) => {
                lake.change_catalog(schema, &|document| {
                    document.external_tables.remove(name);
                    Ok(())
                })
                .await?;
            }
            Some(Kind::Table | Kind::View) => match write::drop_table(lake, schema, name).await {
                Ok(()) => {}
                Err(StorageError::TableNotFound { .. }) if self.if_exists => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(Outcome::Done("DROP TABLE"))
    }

    /// The table; nothing is an error unless `IF EXISTS`, and a view always is.
    async fn find(&self, context: &Context) -> Result<Option<Kind>, EngineError> {
        match name::find(context, &self.name).await {
            Ok(Some(Kind::View)) => {
                Err(EngineError::invalid(format!("\"{}\" is a view", self.name)).with_hint("Write DROP VIEW."))
            }
            Ok(None) if !self.if_exists => Err(context.pinned.unknown_table(&self.name).await),
            Err(error) if self.if_exists && error.kind == crate::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }
}
