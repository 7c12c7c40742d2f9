//! Prepared statements. A handle is the statement itself with its settings and, once bound, its parameters: nothing that it
//! needs is kept here, nothing expires, and any replica can run it.

use arrow::array::RecordBatch;
use arrow_flight::sql::{ActionCreatePreparedStatementRequest, Any, DoPutPreparedStatementResult};
use boathouse_engine::Effect;
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::{encode, flight::Shared, session::Caller};
use crate::{status, ticket::Ticket};

/// Handles travel in every later call, so what is bound to one is bounded.
const BOUND_BYTES_MAX: usize = 8 << 20;

/// `ActionCreatePreparedStatementResult` with `is_update`, which arrow-flight lacks.
#[derive(Clone, PartialEq, Message)]
struct Created {
    #[prost(bytes = "bytes", tag = "1")]
    prepared_statement_handle: Bytes,
    /// Empty for a statement without rows: older JDBC drivers tell an update by that.
    #[prost(bytes = "bytes", tag = "2")]
    dataset_schema: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    is_update: Option<bool>,
}

/// The action `CreatePreparedStatement`: the body of its result.
pub async fn create(
    shared: &Shared,
    caller: &Caller,
    request: ActionCreatePreparedStatementRequest,
) -> Result<Bytes, Status> {
    let prepared = caller.prepare(&request.query).await?;
    let (dataset_schema, is_update) = match prepared.effect() {
        Effect::Rows => (encode::schema_bytes(&prepared.schema())?, false),
        Effect::Change | Effect::Define => (Bytes::new(), true),
    };
    let mut statement = Ticket::new(&request.query, caller.session.changed_settings());
    statement.id = caller.query_id.to_string();
    let created = Created {
        prepared_statement_handle: statement.give_to(&caller.user()),
        dataset_schema,
        parameter_schema: encode::schema_bytes(prepared.parameters())?,
        is_update: Some(is_update),
    };
    shared.plans.keep(&statement, prepared, caller.user());
    let any = Any {
        type_url: "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult".to_owned(),
        value: created.encode_to_vec().into(),
    };
    Ok(any.encode_to_vec().into())
}

/// Reads a handle, and gives a caller without a session of its own the settings under which it was prepared.
pub async fn open(shared: &Shared, caller: &mut Caller, handle: &[u8]) -> Result<Ticket, Status> {
    let statement = take(caller, handle)?;
    if !caller.known() {
        caller.session = shared.sessions.with_settings(caller, &statement.settings()).await?;
    }
    Ok(statement)
}

/// Reads the handle of a caller.
pub fn take(caller: &Caller, handle: &[u8]) -> Result<Ticket, Status> {
    Ticket::take(handle, "handle of a prepared statement", &caller.user())
}

/// DoPut of parameters for a query: the handle with them in it.
pub fn bind(
    caller: &Caller,
    mut statement: Ticket,
    parameters: &[RecordBatch],
) -> Result<DoPutPreparedStatementResult, Status> {
    statement.set_parameters(parameters).map_err(|error| status::internal(&error))?;
    let handle = statement.give_to(&caller.user());
    if handle.len() > BOUND_BYTES_MAX {
        return Err(Status::resource_exhausted(format!(
            "statement and parameters take more than {} MiB\nHINT: Bind fewer rows at once, or write them to a table first.",
            BOUND_BYTES_MAX >> 20
        )));
    }
    Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
}
