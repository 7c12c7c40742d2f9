//! ```text
//! RESTORE [TABLE] name [TO] { VERSION AS OF n | TIMESTAMP AS OF time }
//! ```
//! An older version becomes the newest one: rows, columns and properties. The versions between stay in the history, so a
//! RESTORE can be taken back by another one. The counts are the rows of the files that came back and of those that went.

use boathouse_storage::{
    Snapshot, maintain,
    write::{Changed, Committed},
};
use datafusion::{
    common::ScalarValue,
    sql::sqlparser::ast::{ObjectName, TableVersion},
};

use super::{Context, Outcome, change::outcome, name};
use crate::{
    EngineError,
    catalog::{At, Relation, TableName},
};

#[derive(Debug)]
pub(crate) struct Restore {
    name: TableName,
    to: TableVersion,
}

impl Restore {
    pub async fn plan(context: &Context, table: ObjectName, to: TableVersion) -> Result<Self, EngineError> {
        let restore = Self { name: name::target(context, &table)?, to };
        context.at(&restore.to)?;
        restore.find(context).await.map_err(|error| error.at(&context.sql, name::place(&table)))?;
        Ok(restore)
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let (table, version) = self.find(&context.fresh()).await?;
        let lake = context.engine.lake();
        let restored = maintain::restore(lake, &table, version, &name::commit_info(context)).await?;
        let Committed { version, rows_inserted: inserted, rows_updated: updated, rows_deleted: deleted } = restored;
        Ok(outcome(Changed { version: Some(version), inserted, updated, deleted }))
    }

    /// The table, and the version that it is to have again.
    async fn find(&self, context: &Context) -> Result<(std::sync::Arc<Snapshot>, u64), EngineError> {
        let table = table_of_lake(context, &self.name, "RESTORE").await?;
        let lake = context.engine.lake();
        // A time such as `now()` is that of each look.
        let version = match context.at(&self.to)? {
            At::Version(version) => version,
            At::Time(time_ms) => lake.version_at(&table, time_ms).await?,
        };
        lake.table_version(&self.name.schema, &self.name.name, version).await?;
        Ok((table, version))
    }
}

/// The newest version of a Delta table that lies in the lake.
pub(super) async fn table_of_lake(
    context: &Context,
    name: &TableName,
    statement: &str,
) -> Result<std::sync::Arc<Snapshot>, EngineError> {
    let (what, hint) = match context.pinned.require(name).await? {
        Relation::Table(snapshot) => return Ok(snapshot),
        Relation::View(_) => ("a view", "Name the table that it reads."),
        Relation::External(_) => ("an external table", "CREATE TABLE ... AS SELECT makes a table of the lake from it."),
    };
    let error = EngineError::unsupported(format!("\"{name}\" is {what}: {statement} takes a table of the lake"));
    Err(error.with_hint(hint))
}
