//! ```text
//! DROP TABLE [IF EXISTS] name [PURGE]
//! ```
//! UNDROP brings a dropped table back for seven days; after that, or when another table is made under its name, its files
//! are deleted. PURGE deletes them at once, also those of a table that was dropped before. An external table is only
//! forgotten: its files stay.

use boathouse_storage::{StorageError, write};
use datafusion::{common::ScalarValue, sql::sqlparser::ast};

use super::{
    Context, Outcome,
    name::{self, Kind},
    near,
    schema::Drop,
};
use crate::{EngineError, catalog::TableName};

#[derive(Debug)]
pub(crate) struct DropTable {
    name: TableName,
    if_exists: bool,
    purge: bool,
}

impl DropTable {
    pub async fn plan(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let drop = Drop::of(context, statement)?.alone()?;
        let table = Self { name: name::target(context, &drop.name)?, if_exists: drop.if_exists, purge: drop.purge };
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
            Some(Kind::Table | Kind::View) => {
                let table = lake.table(schema, name).await.ok();
                let dropped = match self.purge {
                    true => write::drop_table(lake, schema, name).await,
                    false => write::hide_table(lake, schema, name).await,
                };
                match dropped {
                    Ok(()) => near::let_go(context, table.as_slice()).await,
                    Err(StorageError::TableNotFound { .. }) if self.if_exists => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // The place is there for others: what cannot be deleted now is deleted another time.
        if let Err(error) = write::purge_dropped(lake, schema).await {
            tracing::warn!(schema, %error, "could not delete the files of tables that were dropped long ago");
        }
        Ok(Outcome::Done("DROP TABLE"))
    }

    async fn is_kept(&self, context: &Context) -> Result<bool, EngineError> {
        let kept = write::dropped_tables(context.engine.lake(), &self.name.schema).await?;
        Ok(kept.iter().any(|table| table.name == self.name.name))
    }

    /// The table; nothing is an error unless `IF EXISTS`, and a view always is.
    async fn find(&self, context: &Context) -> Result<Option<Kind>, EngineError> {
        match name::find(context, &self.name).await {
            Ok(Some(Kind::View)) => {
                Err(EngineError::invalid(format!("\"{}\" is a view", self.name)).with_hint("Write DROP VIEW."))
            }
            // Dropped before: PURGE deletes what is kept of it.
            Ok(None) if self.purge && self.is_kept(context).await? => Ok(Some(Kind::Table)),
            Ok(None) if !self.if_exists => Err(context.pinned.unknown_table(&self.name).await),
            Err(error) if self.if_exists && error.kind == crate::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }
}
