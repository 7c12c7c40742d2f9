//! Statements that come as queries: GetFlightInfo plans, DoGet plans again on the same versions and streams.
//!
//! Some clients (ADBC's `execute`) send every statement this way, and for one without rows they may never call DoGet. A
//! statement with an effect therefore runs in GetFlightInfo, once; its ticket holds the count, and DoGet only returns it.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo,
    sql::{ProstMessageExt, TicketStatementQuery},
};
use boathouse_engine::{Effect, Prepared};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::{
    encode,
    flight::Shared,
    jobs,
    note::Parts,
    parameters,
    session::Caller,
    stream::{self, FlightStream},
    update,
};
use crate::{
    status,
    ticket::{EffectResult, Ticket},
};

/// What a statement that changes rows gives to a client that asks for its result: one row with the number of them.
static COUNT: LazyLock<SchemaRef> = LazyLock::new(|| numbers(&["count"]));
/// The same of one that tells what the number is made of.
static COUNTS: LazyLock<SchemaRef> = LazyLock::new(|| numbers(&["count", "inserted", "updated", "deleted"]));

fn numbers(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Int64, false)).collect();
    Arc::new(Schema::new(fields))
}

/// Plans the statement; runs it when it has an effect.
pub async fn info(
    shared: &Shared,
    caller: &mut Caller,
    statement: &Ticket,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let prepared = shared.plans.prepared(caller, statement).await?;
    let batches = statement.parameters().map_err(|error| status::malformed(&error.to_string()))?;
    let schema = encode::schema_bytes(&schema(&prepared))?;
    let (ticket, note) = match prepared.effect() {
        Effect::Rows if parts(caller, &prepared) > 1 => {
            return jobs::spread(shared, caller, prepared, &batches, descriptor);
        }
        Effect::Rows => {
            let mut ticket = planned(caller, &prepared, &statement.sql);
            ticket.set_parameters(&batches).map_err(|error| status::internal(&error))?;
            (ticket, None)
        }
        Effect::Change | Effect::Define => {
            let note = update::run(shared, caller, prepared, &batches).await?;
            (Ticket::done(EffectResult::of(&note)), Some(note))
        }
    };
    let ticket = self::ticket(&ticket, &caller.user());
    let note = note.map(|note| note.write()).unwrap_or_default();
    Ok(flight_info(schema, vec![ticket], descriptor, note))
}

/// A ticket for a query as it was planned: under the same settings, on the same versions.
pub fn planned(caller: &Caller, prepared: &Prepared, sql: &str) -> Ticket {
    let mut ticket = Ticket::new(sql, caller.session.changed_settings());
    ticket.id = caller.query_id.to_string();
    ticket.set_pins(prepared.pins());
    ticket
}

/// Into how many streams the rows of a statement go: rows in an order go into one.
pub fn parts(caller: &Caller, prepared: &Prepared) -> usize {
    if prepared.is_unordered() { caller.session.parallel_endpoints() } else { 1 }
}

/// A ticket as an endpoint has it.
pub fn ticket(ticket: &Ticket, user: &str) -> Bytes {
    TicketStatementQuery { statement_handle: ticket.give_to(user) }.as_any().encode_to_vec().into()
}

/// Streams the rows of a query, or the count of a statement that has run.
pub async fn rows(shared: &Shared, caller: &mut Caller, ticket: &Ticket) -> Result<FlightStream, Status> {
    if let Some(effect) = &ticket.effect {
        return done(effect);
    }
    let session = shared.sessions.with_settings(caller, &ticket.settings()).await?;
    let run = shared.running.enter(&caller.user(), &ticket.id);
    // Under the id that its client knows.
    caller.is_for(run.query_id());
    let prepared =
        session.prepare_as(&caller.origin(), &ticket.sql, &ticket.pins()).await.map_err(status::from_engine)?;
    match prepared.effect() {
        Effect::Rows => {}
        Effect::Change | Effect::Define => return Err(status::malformed("a ticket runs queries only")),
    }
    let batches = ticket.parameters().map_err(|error| status::malformed(&error.to_string()))?;
    stream::rows(session, prepared, parameters::rows(&batches)?, run).await
}

/// The schema that FlightInfo, GetSchema and the stream all announce.
pub fn schema(prepared: &Prepared) -> SchemaRef {
    match prepared.effect() {
        Effect::Rows => prepared.schema(),
        Effect::Change if prepared.counted().tells_parts() => COUNTS.clone(),
        Effect::Change => COUNT.clone(),
        Effect::Define => Arc::new(Schema::empty()),
    }
}

/// An info with an endpoint per ticket, without locations: clients fetch from where they are connected. Many read the first
/// endpoint only, so there is one unless the client asked for more.
pub fn flight_info(
    schema: Bytes,
    tickets: Vec<Bytes>,
    descriptor: FlightDescriptor,
    app_metadata: Bytes,
) -> FlightInfo {
    let endpoint =
        |ticket| FlightEndpoint { ticket: Some(arrow_flight::Ticket { ticket }), ..FlightEndpoint::default() };
    FlightInfo {
        schema,
        flight_descriptor: Some(descriptor),
        endpoint: tickets.into_iter().map(endpoint).collect(),
        total_records: -1,
        total_bytes: -1,
        app_metadata,
        ..FlightInfo::default()
    }
}

fn done(effect: &EffectResult) -> Result<FlightStream, Status> {
    let Some(rows) = effect.rows else {
        return stream::batches(&Schema::empty(), &[]);
    };
    let (schema, numbers) = match effect.parts() {
        Some(Parts { inserted, updated, deleted }) => (&COUNTS, vec![rows, inserted, updated, deleted]),
        None => (&COUNT, vec![rows]),
    };
    let column = |number| Arc::new(Int64Array::from(vec![i64::try_from(number).unwrap_or(i64::MAX)])) as ArrayRef;
    let columns = numbers.into_iter().map(column).collect();
    let batch = RecordBatch::try_new(SchemaRef::clone(schema), columns).map_err(|error| status::internal(&error))?;
    stream::batches(schema, &[batch])
}
