//! SHOW MARTS, SHOW CREATE MART: marts of the lake, also those that a folder defines, as far as they ever ran.

use std::collections::{BTreeMap, BTreeSet};

use boathouse_storage::catalog::MartDocument;
use datafusion::sql::sqlparser::ast::ObjectName;

use super::{create::quoted, time};
use crate::{
    EngineError,
    catalog::{TableName, system::all_marts},
    mart::{Written, stored, stored_of},
    statement::{Context, mart::unknown, name, rows::Row},
};

/// Of SHOW MARTS.
pub(super) const COLUMNS: &[&str] =
    &["mart_name", "defined_by", "strategy", "refresh", "state", "published_at", "owner", "description"];

/// A row per mart.
pub(super) async fn rows(context: &Context) -> Result<Vec<Row>, EngineError> {
    let lake = context.engine.lake();
    let by_statement: BTreeSet<String> = stored(lake).await?.into_iter().map(|(name, _)| name.to_string()).collect();
    let mut marts: BTreeMap<String, MartDocument> =
        by_statement.iter().map(|name| (name.clone(), MartDocument::default())).collect();
    marts.extend(all_marts(lake).await?.into_iter().map(|(name, document)| (name, (*document).clone())));
    let row = |(name, mart): (String, MartDocument)| {
        let by = if by_statement.contains(&name) { "statement" } else { "file" };
        let state = match mart.lease {
            Some(_) => Some("running"),
            None => mart.runs.last().map(|run| run.state.word()),
        };
        let published = mart.published().and_then(|run| time(run.ended_ms));
        let (state, by) = (state.map(str::to_owned), Some(by.to_owned()));
        let told = mart.definition;
        vec![Some(name), by, Some(told.strategy), told.refresh, state, published, told.owner, told.description]
    };
    Ok(marts.into_iter().map(row).collect())
}

/// A mart that is there, whatever defines it.
pub(super) async fn known(context: &Context, name: &ObjectName) -> Result<TableName, EngineError> {
    let mart = name::target(context, name)?;
    match text(context, &mart).await? {
        Some(_) => Ok(mart),
        None => Err(unknown(context, &mart).await?.at(&context.sql, name::place(name))),
    }
}

/// The statement that makes it.
pub(super) async fn statement(context: &Context, mart: &TableName) -> Result<String, EngineError> {
    let Some(text) = text(context, mart).await? else { return Err(unknown(context, mart).await?) };
    let written = Written::of_text(mart, &text).map_err(|fault| fault.error.without_excerpt())?;
    Ok(written.statement(&format!("{}.{}", quoted(&mart.schema), quoted(&mart.name))))
}

/// Its definition as it is, or as it last ran.
async fn text(context: &Context, mart: &TableName) -> Result<Option<String>, EngineError> {
    let lake = context.engine.lake();
    if let Some(stored) = stored_of(lake, mart).await? {
        return Ok(Some(stored.text));
    }
    let document = lake.mart(&mart.to_string()).await?;
    Ok(Some(document.definition.text.clone()).filter(|text| !text.is_empty()))
}
