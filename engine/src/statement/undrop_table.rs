//! ```text
//! UNDROP [TABLE] name
//! ```
//! Brings a dropped table back as it was, with its history, within seven days. Not after PURGE, nor after a new table was
//! made under its name: both delete its files.

use boathouse_storage::write;
use datafusion::{common::ScalarValue, sql::sqlparser::ast::ObjectName};

use super::{Context, Outcome, name};
use crate::{EngineError, catalog::TableName};

#[derive(Debug)]
pub(crate) struct UndropTable {
    name: TableName,
}

impl UndropTable {
    pub async fn plan(context: &Context, table: ObjectName) -> Result<Self, EngineError> {
        let name = name::target(context, &table)?;
        match name::find(context, &name).await {
            Ok(None) => Ok(Self { name }),
            Ok(Some(kind)) => {
                let hint = "It is not dropped: RESTORE TABLE t TO VERSION AS OF 3 brings an older version back. Where it was made \
                            anew under the name of a dropped one, that one is gone.";
                let error = name::taken(&name, kind, hint);
                Err(error.at(&context.sql, name::place(&table)))
            }
            Err(error) => Err(error.at(&context.sql, name::place(&table))),
        }
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        write::undrop_table(context.engine.lake(), &self.name.schema, &self.name.name).await?;
        Ok(Outcome::Done("UNDROP TABLE"))
    }
}
