//! ```text
//! ALTER TABLE [IF EXISTS] name RENAME TO name
//! ```
//! Another name in the same schema, for a table or an external one. No file moves: the catalog says in which folder the
//! table of the new name lies. Views name tables by their text: one that reads the old name goes on looking for it.

use boathouse_storage::write;
use datafusion::{common::ScalarValue, sql::sqlparser::ast::ObjectName};

use super::{
    Context, Outcome,
    name::{self, Kind},
};
use crate::{EngineError, catalog::TableName, parser::alter};

#[derive(Debug)]
pub(crate) struct RenameTable {
    from: TableName,
    to: TableName,
    ast: alter::RenameTable,
}

impl RenameTable {
    pub async fn plan(context: &Context, ast: alter::RenameTable) -> Result<Self, EngineError> {
        let from = name::target(context, &ast.name)?;
        let to = new_name(context, &from, &ast.to)?;
        let table = Self { from, to, ast };
        table.find(context).await?;
        Ok(table)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if self.find(context).await? {
            let TableName { schema, name } = &self.from;
            write::rename_table(context.engine.lake(), schema, name, &self.to.name).await?;
        }
        Ok(Outcome::Done("ALTER TABLE"))
    }

    /// Whether the table is there; nothing may have the new name.
    async fn find(&self, context: &Context) -> Result<bool, EngineError> {
        let at = |error: EngineError, name: &ObjectName| error.at(&context.sql, name::place(name));
        match name::find(context, &self.from).await {
            Ok(Some(Kind::Table | Kind::External)) => {}
            Ok(Some(Kind::View)) => {
                let error = EngineError::invalid(format!("\"{}\" is a view", self.from));
                let hint = "CREATE VIEW makes it under another name; then DROP VIEW.";
                return Err(at(error.with_hint(hint), &self.ast.name));
            }
            Ok(None) if self.ast.if_exists => return Ok(false),
            Ok(None) => return Err(at(context.pinned.unknown_table(&self.from).await, &self.ast.name)),
            Err(error) if self.ast.if_exists && error.kind == crate::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(at(error, &self.ast.name)),
        }
        match name::find(context, &self.to).await? {
            None => Ok(true),
            Some(kind) => {
                Err(at(name::taken(&self.to, kind, "Choose another name, or rename that one first."), &self.ast.to))
            }
        }
    }
}

/// A name without a schema stays in the table's.
fn new_name(context: &Context, from: &TableName, to: &ObjectName) -> Result<TableName, EngineError> {
    let given = name::target(context, to)?;
    if to.0.len() == 1 {
        return Ok(TableName::new(&from.schema, given.name));
    }
    if given.schema == from.schema {
        return Ok(given);
    }
    let message = format!("table \"{from}\" cannot be renamed into schema \"{}\"", given.schema);
    let hint = format!(
        "A table stays in its schema. CREATE TABLE {given} AS SELECT * FROM {from} makes it there; then DROP TABLE {from}."
    );
    Err(EngineError::unsupported(message).with_hint(hint).at(&context.sql, name::place(to)))
}
