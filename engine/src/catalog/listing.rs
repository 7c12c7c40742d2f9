//! What there is: schemas, tables, functions.

use std::{collections::BTreeSet, sync::Arc};

use boathouse_storage::{Lake, StorageError};
use datafusion::{arrow::datatypes::Schema, execution::session_state::SessionState};
use futures::{StreamExt, stream};

use super::{Relation, TableName, information_schema, is_reserved, system};
use crate::{
    EngineError,
    exec::plain_field,
    session::{TableColumns, TableEntry},
    statement::{Context, primary_key},
};

/// Tables looked at together.
const LOOKUPS_AT_ONCE: usize = 16;

/// What a name is, before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    External,
    View,
    /// One of the tables of `system`.
    System,
}

impl Kind {
    /// The word of `information_schema`, as in Postgres.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Table => "BASE TABLE",
            Kind::External => "FOREIGN",
            Kind::View => "VIEW",
            Kind::System => "SYSTEM VIEW",
        }
    }
}

/// One name of a schema.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: TableName,
    pub kind: Kind,
    /// A view's query.
    pub definition: Option<String>,
    /// What the catalog knows; a table's own comment lies in the table.
    comment: Option<String>,
}

/// Names of all schemas, sorted, the reserved ones among them.
pub(crate) async fn schemas(lake: &Lake) -> Result<Vec<String>, EngineError> {
    let mut schemas = lake.schemas().await?;
    schemas.extend(["information_schema", "system"].map(str::to_owned));
    schemas.sort();
    schemas.dedup();
    Ok(schemas)
}

/// Tables, views and external tables of all schemas, and those of `system`, sorted. Nothing but listings is read.
pub(crate) async fn relations(context: &Context) -> Result<Vec<Entry>, EngineError> {
    let schemas = context.engine.lake().schemas().await?;
    let found = stream::iter(schemas).map(|schema| async move {
        match entries(context, &schema).await {
            Ok(entries) => Ok(entries),
            // Dropped a moment ago.
            Err(error) if error.kind == crate::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    });
    let found: Vec<Result<Vec<Entry>, EngineError>> = found.buffered(LOOKUPS_AT_ONCE).collect().await;
    let mut found: Vec<Entry> = found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    found.extend(system::TABLES.iter().map(|name| Entry {
        name: TableName::new("system", *name),
        kind: Kind::System,
        definition: None,
        comment: None,
    }));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Tables and views of a schema, sorted by name, with the comments that the catalog has: nothing but listings is read.
pub(crate) async fn names(context: &Context, schema: &str) -> Result<Vec<TableEntry>, EngineError> {
    if is_reserved(schema) {
        let entry =
            |name: &&str| TableEntry { schema: schema.to_owned(), name: name.to_string(), kind: "VIEW", comment: None };
        return Ok(match schema {
            "information_schema" => information_schema::TABLES.iter().map(entry).collect(),
            _ => system::TABLES.iter().map(entry).collect(),
        });
    }
    let entry = |entry: Entry| {
        let kind = if entry.kind == Kind::View { "VIEW" } else { "TABLE" };
        TableEntry { schema: entry.name.schema, name: entry.name.name, kind, comment: entry.comment }
    };
    Ok(entries(context, schema).await?.into_iter().map(entry).collect())
}

/// The same with the comments that lie in the tables.
pub(crate) async fn tables(context: &Context, schema: &str) -> Result<Vec<TableEntry>, EngineError> {
    let found = stream::iter(names(context, schema).await?).map(|entry| async move {
        // A reserved schema has no tables, and views and external tables have theirs in the catalog.
        if entry.kind == "VIEW" || entry.comment.is_some() {
            return entry;
        }
        let comment = table_comment(context, &TableName::new(&entry.schema, &entry.name)).await;
        TableEntry { comment, ..entry }
    });
    Ok(found.buffered(LOOKUPS_AT_ONCE).collect().await)
}

async fn entries(context: &Context, schema: &str) -> Result<Vec<Entry>, EngineError> {
    let lake = context.engine.lake();
    let document = match lake.catalog(schema).await {
        Ok(document) => document,
        Err(StorageError::SchemaNotFound { .. }) => return Err(context.pinned.unknown_schema(schema).await),
        Err(error) => return Err(error.into()),
    };
    let entry =
        |name: &str, kind, definition, comment| Entry { name: TableName::new(schema, name), kind, definition, comment };
    let views =
        document.views.iter().map(|(name, view)| entry(name, Kind::View, Some(view.sql.clone()), view.comment.clone()));
    let external =
        document.external_tables.iter().map(|(name, table)| entry(name, Kind::External, None, table.comment.clone()));
    let mut found: Vec<Entry> = views.chain(external).collect();
    let taken: BTreeSet<String> = found.iter().map(|entry| entry.name.name.clone()).collect();
    let tables = lake.tables(schema).await?;
    found.extend(tables.iter().filter(|name| !taken.contains(*name)).map(|name| entry(name, Kind::Table, None, None)));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A damaged table is listed too, without its comment.
async fn table_comment(context: &Context, name: &TableName) -> Option<String> {
    match context.pinned.relation(name).await {
        Ok(Some(Relation::Table(snapshot))) => snapshot.comment().map(str::to_owned),
        _ => None,
    }
}

/// The columns of a table or view.
pub(crate) async fn columns(context: &Context, name: &TableName) -> Result<TableColumns, EngineError> {
    let schema = context.table_provider(name).await?.schema();
    let fields: Vec<_> = schema.fields().iter().map(|field| plain_field(field)).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let (identities, key) = match context.pinned.known_relation(name) {
        Some(Relation::Table(table)) => (table.rule_texts().identities, primary_key(&table)),
        // Nobody writes to these here.
        _ => Default::default(),
    };
    let numbered = identities.into_iter().map(|identity| identity.column).collect();
    Ok(TableColumns { schema, numbered, key })
}

/// Names of all functions, sorted.
pub(crate) fn functions(state: &SessionState) -> Vec<String> {
    let names: BTreeSet<String> = state
        .scalar_functions()
        .keys()
        .chain(state.aggregate_functions().keys())
        .chain(state.window_functions().keys())
        .chain(state.higher_order_functions().keys())
        .cloned()
        .chain(table_functions(state))
        .collect();
    names.into_iter().collect()
}

/// Names of functions that stand in FROM: the library's and ours, sorted.
pub(crate) fn table_functions(state: &SessionState) -> Vec<String> {
    let ours = crate::function::TABLE_FUNCTIONS.iter().map(|name| (*name).to_owned());
    let names: BTreeSet<String> = state.table_functions().keys().cloned().chain(ours).collect();
    names.into_iter().collect()
}
