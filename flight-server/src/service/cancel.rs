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
    let user = caller.user();
    let mut found = false;
    for command in statements(info)? {
        let ticket = Ticket::take(&command.statement_handle, "ticket", &user)?;
        found |= match ticket.part {
            None => shared.running.cancel(&user, &ticket.id),
            Some(_) => {
                let job = shared.jobs.find(&user, &ticket.id)?;
                job.cancel(Status::cancelled("statement cancelled on request"))
            }
        };
    }
    if found { Ok(()) } else { Err(Status::not_found("the statement is not running")) }
}

/// Those of the endpoints; while a statement is polled it has none, and its descriptor names it.
fn statements(info: &FlightInfo) -> Result<Vec<TicketStatementQuery>, Status> {
    let read = |bytes: &[u8]| Any::decode(bytes).ok().and_then(|any| any.unpack::<TicketStatementQuery>().ok()?);
    let wrong = || status::malformed("only statements can be cancelled");
    match (info.endpoint.as_slice(), &info.flight_descriptor) {
        ([], Some(descriptor)) => Ok(vec![read(&descriptor.cmd).ok_or_else(wrong)?]),
        (endpoints, _) => {
            let tickets = endpoints.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
            tickets.map(|ticket| read(&ticket.ticket).ok_or_else(wrong)).collect()
        }
    }
}
