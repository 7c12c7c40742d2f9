//! PollFlightInfo: begins a statement, and tells how far it is.
//!
//! Flight says of it: the first call returns as quickly as possible; the next ones wait until there is something new; each
//! answer has a FlightInfo (ADBC's driver takes one without for a fault of the server), and endpoints may only be added. Ours
//! has no endpoint until the poll that is the last: then all rows are there, or as many as have room. The query makes
//! the rest while they are fetched, as it does for whoever does not poll.

use std::{sync::Arc, time::Duration};

use arrow_flight::{
    FlightDescriptor, FlightInfo, PollInfo,
    sql::{Any, TicketStatementQuery},
};
use boathouse_engine::Effect;
use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;
use tonic::Status;

use super::{
    super::{
        flight::Shared,
        parameters,
        query::{self, ticket},
        session::Caller,
    },
    job::{Job, Terms, Told},
    list::gone,
    run::{self, Work},
};
use crate::{
    status,
    ticket::{EffectResult, Ticket},
};

/// How long the first poll waits: a short statement needs no second one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How often a poll that waits looks how far the statement is.
const LOOK: Duration = Duration::from_millis(50);

/// Begins the statement, or asks again when the descriptor is that of an earlier answer.
pub async fn poll(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    statement: Ticket,
    descriptor: FlightDescriptor,
) -> Result<PollInfo, Status> {
    let prepared = shared.plans.prepared(caller, &statement).await?;
    // It changes the session of this call.
    if prepared.is_instant() {
        let info = query::info(shared, caller, &statement, descriptor).await?;
        return Ok(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() });
    }
    let batches = statement.parameters().map_err(|error| status::malformed(&error.to_string()))?;
    let rows = parameters::rows(&batches)?;
    let prepared = Arc::new(prepared);
    let (work, runs) = match prepared.effect() {
        Effect::Rows => {
            let runs = rows.len();
            (Work::Query { session: caller.session.clone(), parameters: rows }, runs)
        }
        Effect::Change | Effect::Define => {
            let prepared = prepared.called_by(&caller.origin());
            (Work::Effect { caller: caller.apart(), prepared, batches }, 1)
        }
    };
    let terms = Terms::new(caller, prepared, descriptor, runs)?;
    let job = shared.jobs.add(terms, work)?;
    // A client that never hears of it cannot ask for it.
    let unheard = Unheard { shared, job: Some(job.clone()) };
    run::start(shared, &job);
    let _ = tokio::time::timeout(FIRST_WAIT, job.settled()).await;
    let answer = answer(shared, caller, &job);
    unheard.answered();
    answer
}

/// The handle of an earlier answer.
pub async fn poll_again(
    shared: &Shared,
    caller: &mut Caller,
    handle: &TicketStatementQuery,
) -> Result<PollInfo, Status> {
    let ticket = Ticket::take(&handle.statement_handle, "poll descriptor", &caller.user())?;
    if ticket.part.is_none() {
        return Err(status::malformed("this is a ticket, not the descriptor of a poll\nHINT: Give it to DoGet."));
    }
    let job = shared.jobs.find(&caller.user(), &ticket.id)?;
    caller.is_for(job.terms.query_id);
    let engine = shared.sessions.engine();
    let until = Instant::now() + shared.jobs.options.wait;
    while !job.is_news(job.progress(engine)) && Instant::now() < until {
        let look = until.min(Instant::now() + LOOK);
        if tokio::time::timeout_at(look, job.settled()).await.is_ok() {
            break;
        }
    }
    shared.jobs.leave(&job);
    answer(shared, caller, &job)
}

fn answer(shared: &Shared, caller: &Caller, job: &Job) -> Result<PollInfo, Status> {
    let progress = job.progress(shared.sessions.engine());
    job.has_told(progress);
    let user = caller.user();
    let parts = || job.tickets(&user);
    let schema = job.terms.schema_bytes.clone();
    let info = |tickets, note| query::flight_info(schema.clone(), tickets, job.terms.descriptor.clone(), note);
    let expires = shared.jobs.expires();
    let expiration_time = Some(prost_types::Timestamp::from(expires));
    Ok(match job.told() {
        Told::Failed(status) => return Err(status),
        Told::Running => {
            let handle = FlightDescriptor::new_cmd(ticket(&Ticket::part_of(job.id, 0), &user));
            // By which CancelFlightInfo finds it.
            let info = FlightInfo {
                schema,
                flight_descriptor: Some(handle.clone()),
                total_records: -1,
                total_bytes: -1,
                ..FlightInfo::default()
            };
            PollInfo { info: Some(info), flight_descriptor: Some(handle), progress, expiration_time }
        }
        Told::Ready { .. } if job.is_fetched() => return Err(gone()),
        Told::Ready { rows } => {
            let rows = rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1);
            let info = FlightInfo { total_records: rows, ..info(parts(), Bytes::new()) };
            PollInfo { info: Some(info), flight_descriptor: None, progress, expiration_time }
        }
        Told::Effect(note) => {
            job.has_answered();
            let done = ticket(&Ticket::done(EffectResult::of(&note)), &user);
            PollInfo {
                info: Some(info(vec![done], note.write())),
                flight_descriptor: None,
                progress,
                expiration_time: None,
            }
        }
    })
}

/// The handle in a descriptor, if it is one of ours.
pub fn handle(descriptor: &FlightDescriptor) -> Option<TicketStatementQuery> {
    Any::decode(&*descriptor.cmd).ok()?.unpack().ok().flatten()
}

/// Ends a job whose first answer never left.
struct Unheard<'a> {
    shared: &'a Shared,
    job: Option<Arc<Job>>,
}

impl Unheard<'_> {
    fn answered(mut self) {
        self.job = None;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.shared.jobs.remove(job.id);
        }
    }
}
