//! ```text
//! CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(column, ...)] [COMMENT 'text'] AS query
//! DROP VIEW [IF EXISTS] name
//! ```
//! A view is a stored query, planned anew each time it is read. It is planned once when it is made, so that a broken query
//! is refused then. Names in it that say no schema live in `main`, whoever reads it.

use boathouse_storage::{
    StorageError,
    catalog::{CatalogDocument, View},
};
use datafusion::{common::ScalarValue, sql::sqlparser::ast};

use super::{
    Context, Outcome,
    name::{self, Kind},
    schema::Drop,
};
use crate::{
    EngineError,
    catalog::{DEFAULT_SCHEMA, TableName},
    parser::create,
};

#[derive(Debug)]
pub(crate) struct CreateView {
    name: TableName,
    or_replace: bool,
    if_not_exists: bool,
    view: View,
}

impl CreateView {
    pub async fn plan(context: &Context, ast: create::CreateView) -> Result<Self, EngineError> {
        let place = name::place(&ast.name);
        let name = name::target(context, &ast.name)?;
        if ast.or_replace && ast.if_not_exists {
            return Err(
                EngineError::invalid("OR REPLACE and IF NOT EXISTS contradict each other").at(&context.sql, place)
            );
        }
        let columns: Vec<String> = ast.columns.iter().map(folded).collect();
        let view = View { sql: ast.sql, columns, comment: ast.comment };
        let create = Self { name, or_replace: ast.or_replace, if_not_exists: ast.if_not_exists, view };
        create.find(context).await.map_err(|error| error.at(&context.sql, place))?;
        create.check(context, *ast.query).await?;
        Ok(create)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if self.find(context).await?.is_some() && self.if_not_exists {
            return Ok(Outcome::Done("CREATE VIEW"));
        }
        let TableName { schema, name } = &self.name;
        let insert = |document: &mut CatalogDocument| {
            let view_stays = document.views.contains_key(name) && !self.or_replace;
            let is_table = document.external_tables.contains_key(name) || document.renamed.contains_key(name);
            if view_stays || is_table {
                return Err(StorageError::TableExists { table: self.name.to_string() });
            }
            document.views.insert(name.clone(), self.view.clone());
            Ok(())
        };
        match context.engine.lake().change_catalog(schema, &insert).await {
            Ok(_) => {}
            // Somebody else was quicker.
            Err(StorageError::TableExists { .. }) if self.if_not_exists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Done("CREATE VIEW"))
    }

    /// What has the name, when that is no reason to refuse.
    async fn find(&self, context: &Context) -> Result<Option<Kind>, EngineError> {
        let found = name::find(context, &self.name).await?;
        match found {
            Some(Kind::View) if self.or_replace || self.if_not_exists => Ok(found),
            Some(Kind::View) => Err(name::taken(&self.name, Kind::View, "")
                .with_hint("CREATE OR REPLACE VIEW replaces it; IF NOT EXISTS leaves it.")),
            Some(kind) => Err(name::taken(&self.name, kind, "DROP TABLE deletes it.")),
            None => Ok(None),
        }
    }

    /// Plans the query and looks at its columns.
    async fn check(&self, context: &Context, query: ast::Query) -> Result<(), EngineError> {
        let inside = context.with_default_schema(DEFAULT_SCHEMA);
        let plan = inside.plan_view_query(query, &context.sql, std::slice::from_ref(&self.name)).await?;
        let plan = inside.analyze(plan)?;
        if !plan.get_parameter_names()?.is_empty() {
            return Err(EngineError::invalid("a view cannot have parameters").with_hint("Write values instead of $1."));
        }
        let given: Vec<&String> = plan.schema().fields().iter().map(|field| field.name()).collect();
        let names: Vec<&String> = if self.view.columns.is_empty() { given } else { self.view.columns.iter().collect() };
        if names.len() != plan.schema().fields().len() {
            let (named, given) = (names.len(), plan.schema().fields().len());
            return Err(EngineError::invalid(format!(
                "view \"{}\" names {named} columns, its query has {given}",
                self.name
            )));
        }
        match names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
            Some((_, name)) => Err(EngineError::invalid(format!("two columns of the view have the name \"{name}\""))
                .with_hint("Give one of them another name with AS.")),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct DropView {
    name: TableName,
    if_exists: bool,
}

impl DropView {
    pub async fn plan(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let drop = Drop::of(context, statement)?.without_purge()?.alone()?;
        let view = Self { name: name::target(context, &drop.name)?, if_exists: drop.if_exists };
        view.find(context).await.map_err(|error| error.at(&context.sql, name::place(&drop.name)))?;
        Ok(view)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if self.find(context).await? {
            let TableName { schema, name } = &self.name;
            let forget = |document: &mut CatalogDocument| {
                document.views.remove(name);
                Ok(())
            };
            context.engine.lake().change_catalog(schema, &forget).await?;
        }
        Ok(Outcome::Done("DROP VIEW"))
    }

    /// Whether the view is there.
    async fn find(&self, context: &Context) -> Result<bool, EngineError> {
        match name::find(context, &self.name).await {
            Ok(Some(Kind::View)) => Ok(true),
            Ok(Some(Kind::Table | Kind::External)) => {
                Err(EngineError::invalid(format!("\"{}\" is a table", self.name)).with_hint("Write DROP TABLE."))
            }
            Ok(None) if self.if_exists => Ok(false),
            Ok(None) => {
                let error = context.pinned.unknown_table(&self.name).await;
                Err(EngineError { message: format!("view \"{}\" does not exist", self.name), ..error })
            }
            Err(error) if self.if_exists && error.kind == crate::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A name as SQL sees it: lower case unless it is quoted.
pub(super) fn folded(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
