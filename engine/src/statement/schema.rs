//! ```text
//! CREATE SCHEMA [IF NOT EXISTS] name [COMMENT 'text']
//! DROP SCHEMA [IF EXISTS] name [CASCADE | RESTRICT]
//! ```
//! RESTRICT, the default, refuses to drop a schema that holds something; CASCADE drops all in it.

use std::sync::Arc;

use boathouse_storage::{Snapshot, StorageError, catalog::MartDocument};
use datafusion::{common::ScalarValue, sql::sqlparser::ast};

use super::{Context, Outcome, name, near};
use crate::{EngineError, parser::create};

#[derive(Debug)]
pub(crate) struct CreateSchema {
    schema: String,
    if_not_exists: bool,
    comment: Option<String>,
}

impl CreateSchema {
    pub async fn plan(context: &Context, ast: create::CreateSchema) -> Result<Self, EngineError> {
        let schema = name::schema(context, &ast.name)?;
        if !ast.if_not_exists && context.engine.lake().schemas().await?.contains(&schema) {
            return Err(
                EngineError::from(StorageError::SchemaExists { schema }).at(&context.sql, name::place(&ast.name))
            );
        }
        Ok(Self { schema, if_not_exists: ast.if_not_exists, comment: ast.comment })
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        match context.engine.lake().create_schema(&self.schema, self.comment.as_deref()).await {
            Ok(()) => {}
            Err(StorageError::SchemaExists { .. }) if self.if_not_exists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Done("CREATE SCHEMA"))
    }
}

#[derive(Debug)]
pub(crate) struct DropSchema {
    schema: String,
    if_exists: bool,
    cascade: bool,
}

impl DropSchema {
    pub async fn plan(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let drop = Drop::of(context, statement)?.without_purge()?;
        let schema = name::schema(context, &drop.name)?;
        if !drop.if_exists && !context.engine.lake().schemas().await?.contains(&schema) {
            return Err(context.pinned.unknown_schema(&schema).await.at(&context.sql, name::place(&drop.name)));
        }
        Ok(Self { schema, if_exists: drop.if_exists, cascade: drop.cascade })
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let marts = match lake.catalog(&self.schema).await {
            Ok(document) => document.marts.keys().map(|name| format!("{}.{name}", self.schema)).collect(),
            Err(_) => Vec::new(),
        };
        let tables = if self.cascade { self.near_tables(context).await } else { Vec::new() };
        match lake.drop_schema(&self.schema, self.cascade).await {
            // How the runs of what is gone went, nobody asks.
            Ok(()) => {
                near::let_go(context, &tables).await;
                for mart in marts {
                    lake.change_mart(&mart, |document| *document = MartDocument::default()).await?;
                }
            }
            Err(StorageError::SchemaNotFound { .. }) if self.if_exists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Done("DROP SCHEMA"))
    }

    /// The tables of which something may be near by.
    async fn near_tables(&self, context: &Context) -> Vec<Arc<Snapshot>> {
        let lake = context.engine.lake();
        let names = if lake.near_tiers().is_empty() { Ok(Vec::new()) } else { lake.tables(&self.schema).await };
        let mut tables = Vec::new();
        for name in names.unwrap_or_default() {
            // What cannot be read has nothing near by.
            tables.extend(lake.table(&self.schema, &name).await.ok());
        }
        tables
    }
}

/// The parts of any DROP. Clauses that no DROP of ours has are refused.
pub(super) struct Drop {
    pub(super) name: ast::ObjectName,
    pub(super) if_exists: bool,
    pub(super) cascade: bool,
    pub(super) restrict: bool,
    pub(super) purge: bool,
}

impl Drop {
    pub(super) fn of(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let ast::Statement::Drop { names, if_exists, cascade, restrict, purge, temporary, .. } = statement else {
            return Err(EngineError::internal("a statement other than DROP was taken for one"));
        };
        if temporary {
            return Err(EngineError::unsupported("DROP TEMPORARY is not supported").with_hint("Leave TEMPORARY out."));
        }
        let second = names.get(1).and_then(name::place);
        let [name] = <[ast::ObjectName; 1]>::try_from(names).map_err(|_| {
            EngineError::unsupported("dropping several things at once is not supported")
                .with_hint("Write one DROP for each.")
                .at(&context.sql, second)
        })?;
        Ok(Self { name, if_exists, cascade, restrict, purge })
    }

    /// For things that have no files of their own.
    pub(super) fn without_purge(self) -> Result<Self, EngineError> {
        match self.purge {
            true => Err(EngineError::unsupported("PURGE is not supported here").with_hint("Leave it out.")),
            false => Ok(self),
        }
    }

    /// For tables and views, which nothing is dropped together with.
    pub(super) fn alone(self) -> Result<Self, EngineError> {
        if self.cascade || self.restrict {
            let clause = if self.cascade { "CASCADE" } else { "RESTRICT" };
            return Err(EngineError::unsupported(format!("{clause} is not supported here"))
                .with_hint("Leave it out: views that read what is dropped stay, and fail when they are read."));
        }
        Ok(self)
    }
}
