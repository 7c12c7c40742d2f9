//! One command, one schema, one answer.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    error::FlightError,
    sql::{
        Command, CommandGetSqlInfo, CommandGetTables, CommandGetXdbcTypeInfo,
        metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfoData},
    },
};
use boathouse_engine::{EngineConfig, Session};
use tonic::Status;

use super::{key, list, server, type_info};
use crate::status;

/// Answers that never change while the server runs.
pub struct Facts {
    server: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Facts {
    pub fn new(session: &Session, config: &EngineConfig) -> Result<Self, FlightError> {
        Ok(Self { server: server::facts(session, config).build()?, types: type_info::facts().build()? })
    }
}

/// The schema of a metadata command's answer; `None` for other commands.
pub fn schema(facts: &Facts, command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(command) => (*command).into_builder().schema(),
        Command::CommandGetDbSchemas(command) => command.clone().into_builder().schema(),
        Command::CommandGetTables(command) => tables_schema(command),
        Command::CommandGetTableTypes(command) => (*command).into_builder().schema(),
        Command::CommandGetSqlInfo(_) => SqlInfoDataBuilder::schema().clone().into(),
        Command::CommandGetXdbcTypeInfo(_) => facts.types.schema(),
        Command::CommandGetPrimaryKeys(_) => key::primary_schema(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => key::foreign_schema(),
        _ => return None,
    })
}

/// The answer to a metadata command; `None` for other commands.
pub async fn answer(facts: &Facts, session: &Session, command: Command) -> Result<Option<RecordBatch>, Status> {
    Ok(Some(match command {
        Command::CommandGetCatalogs(command) => list::catalogs(command)?,
        Command::CommandGetDbSchemas(command) => list::schemas(session, &command).await?,
        Command::CommandGetTables(command) => list::tables(session, &command).await?,
        Command::CommandGetTableTypes(command) => list::table_types(command)?,
        Command::CommandGetSqlInfo(command) => sql_info(facts, command)?,
        Command::CommandGetXdbcTypeInfo(command) => types(facts, command)?,
        Command::CommandGetPrimaryKeys(command) => key::primary(session, &command).await?,
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => RecordBatch::new_empty(key::foreign_schema()),
        _ => return Ok(None),
    }))
}

fn tables_schema(command: &CommandGetTables) -> SchemaRef {
    CommandGetTables { include_schema: command.include_schema, ..Default::default() }.into_builder().schema()
}

fn sql_info(facts: &Facts, command: CommandGetSqlInfo) -> Result<RecordBatch, Status> {
    command.into_builder(&facts.server).build().map_err(|error| status::internal(&error))
}

fn types(facts: &Facts, command: CommandGetXdbcTypeInfo) -> Result<RecordBatch, Status> {
    command.into_builder(&facts.types).build().map_err(|error| status::internal(&error))
}
