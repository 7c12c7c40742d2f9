//! Which tables a query reads, by their names alone: known before any of them is looked at.

use std::collections::BTreeSet;

use boathouse_storage::StorageError;
use datafusion::sql::{
    parser::Statement as DFStatement,
    sqlparser::ast::{Query, Statement},
};

use super::{DEFAULT_SCHEMA, TableName, is_reserved};
use crate::{EngineError, error::convert, parser, statement::Context};

/// Views that are looked into for one query.
const VIEWS_MAX: usize = 1_000;

impl Context {
    /// The names that a query reads, through views, which are looked into unless `stops` says that a name is known. Names
    /// that stand for nothing are among them.
    pub async fn names_read(
        &self,
        query: &Query,
        stops: impl Fn(&TableName) -> bool,
    ) -> Result<BTreeSet<TableName>, EngineError> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = self.names_in(query.clone(), self.default_schema())?;
        while let Some(name) = waiting.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            match self.view_text(&name).await? {
                Some(sql) if !stops(&name) && seen.len() <= VIEWS_MAX => {
                    waiting.extend(self.names_in(*parser::parse_query(&sql)?, DEFAULT_SCHEMA)?);
                }
                _ => drop(found.insert(name)),
            }
        }
        Ok(found)
    }

    fn names_in(&self, query: Query, default_schema: &str) -> Result<Vec<TableName>, EngineError> {
        let statement = DFStatement::Statement(Box::new(Statement::Query(Box::new(query))));
        let references = self.state.resolve_table_references(&statement);
        let references = references.map_err(|error| convert(error, Some(&self.sql)))?;
        references.iter().map(|reference| TableName::of_reference(reference, default_schema)).collect()
    }

    async fn view_text(&self, name: &TableName) -> Result<Option<String>, EngineError> {
        if is_reserved(&name.schema) {
            return Ok(None);
        }
        match self.engine.lake().catalog(&name.schema).await {
            Ok(document) => Ok(document.views.get(&name.name).map(|view| view.sql.clone())),
            Err(StorageError::SchemaNotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
