//! ```text
//! UNCACHE TABLE [IF EXISTS] name
//! ```
//! Gives back what a table takes in the near tiers: its pin and its copies in the hot tier, the blocks of its files in the
//! warm tier. The answer has a row for each tier: the files that were there and their bytes, and how many of those the disk
//! gets back later only, when others are written over them or nobody reads them any more. Queries that read them go on, and
//! what is read later, or pinned by the table's policy, comes near again as ever.

use datafusion::{arrow::datatypes::SchemaRef, common::ScalarValue};

use super::{Context, Outcome, name, near, restore::table_of_lake};
use crate::{EngineError, ErrorKind, catalog::TableName, parser};

#[derive(Debug)]
pub(crate) struct UncacheTable {
    /// Absent when there is no such table, and need be none.
    name: Option<TableName>,
}

impl UncacheTable {
    pub async fn plan(context: &Context, uncache: parser::Uncache) -> Result<Self, EngineError> {
        let name = name::target(context, &uncache.name)?;
        match table_of_lake(context, &name, "UNCACHE TABLE").await {
            Ok(_) => Ok(Self { name: Some(name) }),
            Err(error) if uncache.if_exists && error.kind == ErrorKind::NotFound => Ok(Self { name: None }),
            Err(error) => Err(error.at(&context.sql, name::place(&uncache.name))),
        }
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        near::check_tiers(context, "UNCACHE TABLE")?;
        let lake = context.engine.lake();
        let Some(name) = &self.name else { return near::released(&[]) };
        let table = lake.table(&name.schema, &name.name).await?;
        near::released(&lake.release_files(&table).await?)
    }

    pub fn schema(&self) -> SchemaRef {
        near::released_schema()
    }
}
