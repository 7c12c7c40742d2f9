//! Version 0: the log entry that makes a table.

use bytes::Bytes;
use deltalake::kernel::{Action, Add, Metadata, Protocol};
use url::Url;

use super::{
    CommitInfo, Committed,
    commit_time::{ENABLED, FIELD, is_enabled},
    once,
    protocol::check,
    provenance::{lines_of, provenance},
    put::{Put, put},
    transaction::{Operation, now_ms},
};
use crate::{Lake, StorageError, table::table_store};

/// What a table begins with.
pub(super) struct Beginning<'a> {
    pub(super) table: &'a str,
    pub(super) protocol: Protocol,
    pub(super) metadata: Metadata,
    pub(super) files: &'a [Add],
}

/// Commits version 0. `TableExists` when someone else made it meanwhile, `Undecided` when the store did not tell.
pub(super) async fn found(
    lake: &Lake,
    location: &Url,
    beginning: Beginning<'_>,
    operation: &Operation,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let Beginning { table, protocol, metadata, files } = beginning;
    let columns = metadata.parse_schema();
    let columns =
        columns.map_err(|error| StorageError::Internal { message: format!("columns of a new table: {error}") })?;
    check(table, &protocol, &columns)?;
    let mut provenance = provenance(operation, None, files.is_empty(), info);
    if is_enabled(metadata.configuration().get(ENABLED))
        && let Some(fields) = provenance.as_object_mut()
    {
        fields.insert(FIELD.to_owned(), now_ms().into());
    }
    let definition = [Action::Protocol(protocol), Action::Metadata(metadata)];
    let actions = definition.into_iter().chain(files.iter().cloned().map(Action::Add));
    let mut bytes = lines_of(&provenance, actions)?;
    bytes = Bytes::from([&bytes[..], format!("{}\n", once::action(info, 0)).as_bytes()].concat());
    if let Some(publication) = &info.publication {
        let told: String = publication.actions().map(|action| format!("{action}\n")).collect();
        bytes = Bytes::from([&bytes[..], told.as_bytes()].concat());
        publication.audit_first(lake, table, location, &bytes).await?;
    }
    let store = table_store(lake.store_registry(), location)?;
    match put(store.as_ref(), 0, &bytes, lake.commits()).await {
        Ok(Put::Written(_)) => Ok(Committed { rows_inserted: operation.inserted, ..Committed::default() }),
        Ok(Put::Taken(_)) => Err(StorageError::TableExists { table: table.to_owned() }),
        Err(source) => Err(StorageError::Undecided { table: table.to_owned(), version: 0, source }),
    }
}
