//! Cancelling on request. Mostly not needed: a client that drops its stream cancels the query.

use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    sql::{ActionCancelQueryRequest, ActionCancelQueryResult, Any, ProstMessageExt, TicketStatementQuery},
};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::{flight::Shared, session::Caller};
use crate::{status, ticket::Ticket};

/// The action `CancelFlightInfo`: the body of its result.
pub fn flight_info(shared: &Shared, caller: &Caller, body: &[u8]) -> Result<Bytes, Status> {
    let request = CancelFlightInfoRequest::decode(body).map_err(|error| status::malformed(&error.to_string()))?;
    let info = request.info.ok_or_else(|| status::malformed("no FlightInfo to cancel"))?;
    cancel(shared, caller, &info)?;
    let result = CancelFlightInfoResult { status: CancelStatus::Cancelled as i32 };
    Ok(result.encode_to_vec().into())
}

/// The action `CancelQuery`, which `CancelFlightInfo` replaced: the body of its result.
pub fn query(shared: &Shared, caller: &Caller, request: &ActionCancelQueryRequest) -> Result<Bytes, Status> {
    let info = FlightInfo::decode(&*request.info).map_err(|error| status::malformed(&error.to_string()))?;
    cancel(shared, caller, &info)?;
    // CancelResult and CancelStatus have the same numbers.
    let result = ActionCancelQueryResult { result: CancelStatus::Cancelled as i32 };
    Ok(result.as_any().encode_to_vec().into())
}

/// The protocol wants NOT_FOUND for a statement that does not run: it has ended, or its stream was never opened.
fn cancel(shared: &Shared, caller: &Caller, info: &FlightInfo) -> Result<(), Status> {
    let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
    let mut found = false;
    for ticket in tickets {
        let command = Any::decode(&*ticket.ticket).ok().and_then(|any| any.unpack::<TicketStatementQuery>().ok()?);
        let command = command.ok_or_else(|| status::malformed("only statements can be cancelled"))?;
        let user = caller.user();
        found |= shared.running.cancel(&user, &Ticket::take(&command.statement_handle, "ticket", &user)?.id);
    }
    if found { Ok(()) } else { Err(Status::not_found("the statement is not running")) }
}
