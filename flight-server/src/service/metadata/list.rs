//! Catalogs, schemas, tables and their columns.

use arrow::{array::RecordBatch, datatypes::Schema};
use arrow_flight::{
    error::FlightError,
    sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables},
};
use boathouse_engine::Session;
use futures::{StreamExt, TryStreamExt};
use tonic::Status;

use super::{column, pattern::fits};
use crate::status;

/// The one catalog.
pub const CATALOG: &str = "lake";
/// Tables whose columns are read at once.
const TABLES_AT_ONCE: usize = 8;

pub fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(CATALOG);
    builder.build().map_err(internal)
}

pub fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append("TABLE");
    builder.append("VIEW");
    builder.build().map_err(internal)
}

pub async fn schemas(session: &Session, command: &CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = CommandGetDbSchemas::default().into_builder();
    let filter = command.db_schema_filter_pattern.as_deref();
    for schema in matching_schemas(session, command.catalog.as_deref(), filter).await? {
        builder.append(CATALOG, schema);
    }
    builder.build().map_err(internal)
}

pub async fn tables(session: &Session, command: &CommandGetTables) -> Result<RecordBatch, Status> {
    let filter = command.db_schema_filter_pattern.as_deref();
    let mut found = Vec::new();
    for schema in matching_schemas(session, command.catalog.as_deref(), filter).await? {
        for entry in session.table_names(&schema).await.map_err(status::from_engine)? {
            let name_fits = command.table_name_filter_pattern.as_deref().is_none_or(|filter| fits(&entry.name, filter));
            if name_fits
                && (command.table_types.is_empty() || command.table_types.iter().any(|kind| kind == entry.kind))
            {
                found.push(entry);
            }
        }
    }
    let with_columns = found.into_iter().map(async |entry| {
        let columns = if command.include_schema {
            let columns = session.table_columns(&entry.schema, &entry.name).await;
            // A damaged table must not hide the others; querying it tells what is wrong with it.
            columns.map_or_else(|_| Schema::empty(), |columns| column::described(&columns, &entry))
        } else {
            Schema::empty()
        };
        Ok::<_, Status>((entry, columns))
    });
    let tables: Vec<_> = futures::stream::iter(with_columns).buffered(TABLES_AT_ONCE).try_collect().await?;
    let mut builder = CommandGetTables { include_schema: command.include_schema, ..Default::default() }.into_builder();
    for (entry, columns) in tables {
        builder.append(CATALOG, entry.schema, entry.name, entry.kind, &columns).map_err(internal)?;
    }
    builder.build().map_err(internal)
}

/// Schemas of a catalog, or of the only one there is, whose names fit a pattern.
pub(super) async fn matching_schemas(
    session: &Session,
    catalog: Option<&str>,
    filter: Option<&str>,
) -> Result<Vec<String>, Status> {
    if catalog.is_some_and(|catalog| catalog != CATALOG) {
        return Ok(Vec::new());
    }
    let mut schemas = session.schemas().await.map_err(status::from_engine)?;
    schemas.retain(|schema| filter.is_none_or(|filter| fits(schema, filter)));
    Ok(schemas)
}

fn internal(error: FlightError) -> Status {
    status::internal(&error)
}
