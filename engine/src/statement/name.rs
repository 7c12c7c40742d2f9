//! Names of things that a statement makes, changes or drops: checked, and looked up as they are now.

use boathouse_storage::{StorageError, write::CommitInfo};
use datafusion::sql::{planner::object_name_to_table_reference, sqlparser::ast::ObjectName};

use super::{Context, once};
use crate::{
    EngineError, ErrorKind,
    catalog::{DEFAULT_CATALOG, TableName, is_reserved},
    error::Place,
    identity::LOCAL_USER,
    parser::{is_versioned, older_version, redact},
};

/// Bytes of a statement that a table's history keeps.
const STATEMENT_MAX: usize = 1000;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    External,
    View,
}

/// The name of something that is to be made, changed or dropped: not one of the system's.
pub(super) fn target(context: &Context, name: &ObjectName) -> Result<TableName, EngineError> {
    if is_versioned(name) {
        return Err(older_version().at(&context.sql, place(name)));
    }
    own(context.table_name(name)?).map_err(|error| error.at(&context.sql, place(name)))
}

/// The same for a name that stands in no statement.
pub(super) fn own(name: TableName) -> Result<TableName, EngineError> {
    if is_reserved(&name.schema) { Err(reserved(&name.schema)) } else { Ok(name) }
}

/// `schema` or `lake.schema`.
pub(super) fn schema(context: &Context, name: &ObjectName) -> Result<String, EngineError> {
    let reference = object_name_to_table_reference(name.clone(), true).map_err(|error| context.error(error))?;
    match (reference.catalog(), reference.schema()) {
        (None, None) => {}
        (None, Some(DEFAULT_CATALOG)) => {}
        _ => {
            let error = EngineError::invalid(format!("\"{name}\" is not the name of a schema"));
            return Err(error.with_hint("A schema's name has one part.").at(&context.sql, place(name)));
        }
    }
    let schema = reference.table().to_string();
    if is_reserved(&schema) {
        return Err(reserved(&schema).at(&context.sql, place(name)));
    }
    Ok(schema)
}

fn reserved(schema: &str) -> EngineError {
    EngineError::new(ErrorKind::Denied, format!("schema \"{schema}\" belongs to the system"))
        .with_hint("Choose another schema.")
}

/// Where a name is in the statement.
pub(crate) fn place(name: &ObjectName) -> Option<Place> {
    let first = name.0.first().and_then(|part| part.as_ident())?;
    let last = name.0.last().and_then(|part| part.as_ident())?;
    Place::of_token_span(first.span.union(&last.span))
}

/// What the name stands for in the lake at this moment, not in the statement's catalog.
pub(super) async fn find(context: &Context, name: &TableName) -> Result<Option<Kind>, EngineError> {
    let lake = context.engine.lake();
    let document = match lake.catalog(&name.schema).await {
        Ok(document) => document,
        Err(StorageError::SchemaNotFound { .. }) => return Err(context.pinned.unknown_schema(&name.schema).await),
        Err(error) => return Err(error.into()),
    };
    if document.views.contains_key(&name.name) {
        return Ok(Some(Kind::View));
    }
    if document.external_tables.contains_key(&name.name) {
        return Ok(Some(Kind::External));
    }
    match lake.table(&name.schema, &name.name).await {
        // A damaged table is there, too.
        Ok(_) | Err(StorageError::ReadTable { .. } | StorageError::UnsupportedFeature { .. }) => Ok(Some(Kind::Table)),
        Err(StorageError::TableNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The error of a CREATE whose name is taken. `hint` is what the statement offers for a thing of its own kind.
pub(super) fn taken(name: &TableName, kind: Kind, hint: &str) -> EngineError {
    let (what, hint) = match kind {
        Kind::Table => ("table", hint),
        Kind::External => ("external table", "DROP TABLE forgets it and leaves its files."),
        Kind::View => ("view", "DROP VIEW drops it."),
    };
    EngineError::new(ErrorKind::AlreadyExists, format!("{what} \"{name}\" already exists")).with_hint(hint)
}

/// What the history of a table keeps of this statement.
pub(super) fn commit_info(context: &Context) -> CommitInfo {
    let statement = redact(&context.sql, STATEMENT_MAX).text;
    // At the lake itself there is nobody to name.
    let user = Some(context.session.identity().name()).filter(|name| *name != LOCAL_USER).map(str::to_owned);
    CommitInfo {
        statement: Some(statement),
        user,
        idempotency_key: context.idempotency_key.clone(),
        key_is_for: context.idempotency_key.as_ref().map(|_| once::of_statement(&context.sql, context.values.as_ref())),
        publication: context.publication.clone(),
        times: context.commit_times(),
    }
}
