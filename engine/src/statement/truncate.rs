//! ```text
//! TRUNCATE [TABLE] table
//! ```
//! Takes away all rows without reading one. Older versions keep them.

use datafusion::{
    common::ScalarValue,
    sql::sqlparser::ast::{self, TableAlias, TableFactor},
};

use super::{Context, Outcome, change::Target};
use crate::EngineError;

const NAME: &str = "TRUNCATE";

#[derive(Debug)]
pub(crate) struct Truncate {
    table: TableFactor,
}

impl Truncate {
    pub async fn plan(context: &Context, truncate: ast::Truncate) -> Result<Self, EngineError> {
        let refused = [
            (truncate.table_names.len() != 1, "TRUNCATE of several tables", "Write one TRUNCATE for each."),
            (truncate.if_exists, "IF EXISTS in TRUNCATE", "Leave it out."),
            (truncate.partitions.is_some(), "PARTITION in TRUNCATE", "Write DELETE FROM t WHERE on the column."),
            (truncate.identity.is_some(), "RESTART or CONTINUE IDENTITY", "Leave it out."),
            (truncate.cascade.is_some(), "CASCADE or RESTRICT in TRUNCATE", "Leave it out."),
            (truncate.on_cluster.is_some(), "ON CLUSTER", "Leave it out."),
            (truncate.table_names.iter().any(|name| name.only || name.has_asterisk), "ONLY or *", "Leave it out."),
        ];
        if let Some((_, what, hint)) = refused.into_iter().find(|(is, ..)| *is) {
            return Err(EngineError::unsupported(format!("{what} is not supported")).with_hint(hint));
        }
        let Some(name) = truncate.table_names.into_iter().next() else {
            return Err(EngineError::invalid("TRUNCATE names no table"));
        };
        let table = TableFactor::Table {
            name: name.name,
            alias: None::<TableAlias>,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        Target::open(context, &table, NAME).await?;
        Ok(Self { table })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let context = context.again();
        Target::open(&context, &self.table, NAME).await?.remove_files(&context, NAME, &[]).await
    }
}
