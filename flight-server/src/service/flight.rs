//! The calls of Flight, each guarded and handed to the file of its area.
//!
//! Our own implementation of `FlightService` instead of arrow-flight's `FlightSqlService`: that one cannot answer GetSchema
//! and PollFlightInfo, knows no `is_update`, and turns every decoding error into a debug print.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket as FlightTicket,
    flight_descriptor::DescriptorType,
    flight_service_server::FlightService,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, Command, DoPutUpdateResult,
        ProstMessageExt,
    },
};
use boathouse_engine::Engine;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use tonic::{Extensions, Request, Response, Status, Streaming, metadata::MetadataMap};
use uuid::Uuid;

use super::{
    cancel, encode, ingest,
    jobs::{self, Jobs},
    metadata, option, parameters, path,
    plans::Plans,
    prepared, query,
    running::{Running, SentTotals},
    session::{Caller, Sessions, offer_token, peer},
    stream, update,
    whole::Whole,
};
use crate::{
    auth::Auth,
    server::ServerOptions,
    status,
    ticket::Ticket,
    traces::{Call, Open, TraceTotals, Traces, follow},
    webhook::{WebhookTotals, Webhooks},
};

/// Flight SQL over one engine.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

/// What all calls share.
pub struct Shared {
    pub sessions: Sessions,
    pub running: Arc<Running>,
    pub plans: Plans,
    pub jobs: Jobs,
    traces: Option<Arc<Traces>>,
    webhooks: Option<Arc<Webhooks>>,
    facts: metadata::Facts,
}

/// How often statements that nobody asks for are looked for.
const TIDIED: Duration = Duration::from_secs(1);

type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl Service {
    pub fn new(engine: &Arc<Engine>, options: &ServerOptions, traces: Option<Arc<Traces>>) -> Result<Self, Status> {
        let facts =
            metadata::Facts::new(&engine.session(), engine.config()).map_err(|error| status::internal(&error))?;
        let auth = Auth::new(engine.clone(), &options.auth, options.clock.clone())?;
        let sessions = Sessions::new(engine.clone(), auth, options.clock.clone());
        let jobs = Jobs::new(options.polls.clone(), options.clock.clone(), engine.config().memory_bytes_max);
        let (running, plans) = Default::default();
        let webhooks = options.webhooks.clone();
        Ok(Self { shared: Arc::new(Shared { sessions, running, plans, jobs, traces, webhooks, facts }) })
    }

    /// Ends statements that nobody polls any more, as long as it is awaited.
    pub async fn tidy(self) {
        loop {
            tokio::time::sleep(TIDIED).await;
            self.shared.jobs.expire();
        }
    }

    /// The server is about to end: it is not ready for more.
    pub fn leave(&self) {
        self.shared.running.leave();
    }

    pub fn is_leaving(&self) -> bool {
        self.shared.running.is_leaving()
    }

    pub fn sent(&self) -> SentTotals {
        self.shared.running.sent()
    }

    /// What became of spans, if there are any.
    pub fn traces(&self) -> Option<TraceTotals> {
        self.shared.traces.as_ref().map(|traces| traces.totals())
    }

    /// What became of messages about marts, if any are sent.
    pub fn webhooks(&self) -> Option<WebhookTotals> {
        self.shared.webhooks.as_ref().map(|webhooks| webhooks.totals())
    }

    /// Results that are being fetched.
    pub fn streams(&self) -> usize {
        self.shared.running.count()
    }

    /// Sessions that are kept.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.count()
    }

    /// Waits for what goes on without a connection and must not be cut off: statements with an effect that were polled for.
    pub async fn finish(&self) {
        self.shared.jobs.effects_done().await;
    }

    /// Stops what runs and refuses what comes.
    pub fn close(&self) {
        self.shared.running.close();
    }

    /// Runs one call: with its session, until the server ends, and so that a panic fails this call only.
    async fn call<T>(
        &self,
        method: &'static str,
        from: (&MetadataMap, &Extensions),
        work: impl AsyncFnOnce(&Arc<Shared>, &mut Caller) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let (response, call) = self.begin(method, from, work).await?;
        call.end(Ok(()));
        Ok(response)
    }

    /// The same for a call that goes on while its answer is taken.
    async fn begin<T>(
        &self,
        method: &'static str,
        from: (&MetadataMap, &Extensions),
        work: impl AsyncFnOnce(&Arc<Shared>, &mut Caller) -> Result<T, Status>,
    ) -> Result<(Response<T>, Open), Status> {
        let query_id = Uuid::new_v4();
        let call = match &self.shared.traces {
            Some(traces) => Call::begin(traces, method, from, query_id),
            None => Open::none(),
        };
        let caller = self.shared.running.until_closed(self.shared.sessions.caller(from, query_id, call.call()));
        let mut caller = match status::guarded(caller).await {
            Ok(caller) => caller,
            Err(status) => return Err(ended(call, status, query_id)),
        };
        let work = self.shared.running.until_closed(work(&self.shared, &mut caller));
        let mut response = match status::guarded(work).await {
            Ok(answer) => Response::new(answer),
            Err(status) => return Err(ended(call, status, caller.query_id)),
        };
        caller.sign(response.metadata_mut());
        Ok((response, call))
    }
}

/// A call ends with an error.
fn ended(call: Open, status: Status, query_id: Uuid) -> Status {
    call.end(Err(&status));
    status::detailed(status, query_id)
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;
    type DoExchangeStream = Messages<FlightData>;

    /// What clients send with it differs, and some send nothing: the credentials are in the headers, as in every other call.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let detailed = |status| status::detailed(status, Uuid::new_v4());
        let from = peer(request.extensions());
        let token = self.shared.sessions.auth().handshake(request.metadata(), &from);
        let token = self.shared.running.until_closed(token).await.map_err(detailed)?;
        let payload = Bytes::from(token.reveal().to_owned());
        let mut response = Response::new(one(HandshakeResponse { protocol_version: 0, payload }));
        offer_token(response.metadata_mut(), &token);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let (metadata, extensions, criteria) = request.into_parts();
        self.call("ListFlights", (&metadata, &extensions), async |shared, caller| {
            path::list(shared, caller, &criteria).await
        })
        .await
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (metadata, extensions, descriptor) = request.into_parts();
        self.call("GetFlightInfo", (&metadata, &extensions), async |shared, caller| {
            info(shared, caller, descriptor).await
        })
        .await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (metadata, extensions, descriptor) = request.into_parts();
        let work = async |shared: &Arc<Shared>, caller: &mut Caller| {
            if let Some(handle) = jobs::handle(&descriptor) {
                return jobs::poll_again(shared, caller, &handle).await;
            }
            match asked(shared, caller, &descriptor).await? {
                Asked::Statement(statement) => jobs::poll(shared, caller, statement, descriptor).await,
                Asked::Metadata(schema) => {
                    let info = Some(metadata_info(&schema, descriptor)?);
                    Ok(PollInfo { info, progress: Some(1.0), ..PollInfo::default() })
                }
            }
        };
        self.call("PollFlightInfo", (&metadata, &extensions), work).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (metadata, extensions, descriptor) = request.into_parts();
        self.call("GetSchema", (&metadata, &extensions), async |shared, caller| {
            schema(shared, caller, &descriptor).await
        })
        .await
    }

    async fn do_get(&self, request: Request<FlightTicket>) -> Result<Response<Self::DoGetStream>, Status> {
        let (metadata, extensions, ticket) = request.into_parts();
        let work = async |shared: &Arc<Shared>, caller: &mut Caller| rows(shared, caller, &ticket).await;
        let (response, call) = self.begin("DoGet", (&metadata, &extensions), work).await?;
        Ok(response.map(|rows| follow(rows, call)))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (metadata, extensions, mut data) = request.into_parts();
        let whole = Whole::of(&extensions);
        let work = async |shared: &Arc<Shared>, caller: &mut Caller| {
            let first = data.message().await?.ok_or_else(|| status::malformed("DoPut without a message"))?;
            let app_metadata = put(shared, caller, first, data, whole).await?;
            Ok(one(PutResult { app_metadata }))
        };
        self.call("DoPut", (&metadata, &extensions), work).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let (metadata, extensions, action) = request.into_parts();
        self.call("DoAction", (&metadata, &extensions), async |shared, caller| act(shared, caller, &action).await).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = async |_: &Arc<Shared>, _: &mut Caller| {
            let actions = ACTIONS.map(|(name, description)| {
                Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
            });
            Ok(futures::stream::iter(actions).boxed())
        };
        self.call("ListActions", (request.metadata(), request.extensions()), actions).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let refuse =
            async |_: &Arc<Shared>, _: &mut Caller| Err(status::unsupported("DoExchange is", "Use DoGet and DoPut."));
        self.call("DoExchange", (request.metadata(), request.extensions()), refuse).await
    }
}

async fn info(shared: &Shared, caller: &mut Caller, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    match asked(shared, caller, &descriptor).await? {
        Asked::Statement(statement) => query::info(shared, caller, &statement, descriptor).await,
        Asked::Metadata(schema) => metadata_info(&schema, descriptor),
    }
}

/// What a descriptor is about.
enum Asked {
    Statement(Ticket),
    /// A command about the catalog or the server, whose answer has this schema.
    Metadata(SchemaRef),
}

async fn asked(shared: &Shared, caller: &mut Caller, descriptor: &FlightDescriptor) -> Result<Asked, Status> {
    if let Some(sql) = path::sql(descriptor)? {
        return Ok(Asked::Statement(Ticket::new(&sql, Vec::new())));
    }
    Ok(Asked::Statement(match decode(&descriptor.cmd)? {
        Command::CommandStatementQuery(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            Ticket::new(&command.query, Vec::new())
        }
        Command::CommandPreparedStatementQuery(command) => {
            prepared::open(shared, caller, &command.prepared_statement_handle).await?
        }
        other => {
            let schema = metadata::schema(&shared.facts, &other);
            return Ok(Asked::Metadata(schema.ok_or_else(|| not_offered("GetFlightInfo", &other))?));
        }
    }))
}

/// The command is its own ticket.
fn metadata_info(schema: &Schema, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let ticket = descriptor.cmd.clone();
    Ok(query::flight_info(encode::schema_bytes(schema)?, vec![ticket], descriptor, Bytes::new()))
}

/// Never runs anything, whatever the statement is.
async fn schema(shared: &Shared, caller: &mut Caller, descriptor: &FlightDescriptor) -> Result<SchemaResult, Status> {
    let sql = match path::sql(descriptor)? {
        Some(sql) => sql,
        None => match decode(&descriptor.cmd)? {
            Command::CommandStatementQuery(command) => {
                no_transaction(command.transaction_id.as_ref())?;
                command.query
            }
            Command::CommandPreparedStatementQuery(command) => {
                prepared::open(shared, caller, &command.prepared_statement_handle).await?.sql
            }
            other => {
                let schema = metadata::schema(&shared.facts, &other).ok_or_else(|| not_offered("GetSchema", &other))?;
                return Ok(SchemaResult { schema: encode::schema_bytes(&schema)? });
            }
        },
    };
    let prepared = caller.prepare(&sql).await?;
    Ok(SchemaResult { schema: encode::schema_bytes(&query::schema(&prepared))? })
}

async fn rows(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    ticket: &FlightTicket,
) -> Result<stream::FlightStream, Status> {
    match decode(&ticket.ticket)? {
        Command::TicketStatementQuery(ticket) => {
            let ticket = Ticket::take(&ticket.statement_handle, "ticket", &caller.user())?;
            match ticket.part {
                Some(part) => jobs::rows(shared, caller, &ticket.id, part),
                None => query::rows(shared, caller, &ticket).await,
            }
        }
        other => {
            let missing = not_offered("DoGet", &other);
            let batch = metadata::answer(&shared.facts, &caller.session, other).await?.ok_or(missing)?;
            stream::batches(batch.schema_ref(), std::slice::from_ref(&batch))
        }
    }
}

async fn put(
    shared: &Shared,
    caller: &mut Caller,
    first: FlightData,
    rest: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    whole: Whole,
) -> Result<Bytes, Status> {
    let descriptor = first.flight_descriptor.as_ref();
    let descriptor = descriptor.ok_or_else(|| status::malformed("DoPut without a descriptor"))?;
    if descriptor.r#type == DescriptorType::Path as i32 {
        return Err(status::unsupported("DoPut to a path is", "Ingest with the Flight SQL command StatementIngest."));
    }
    let record_count = match decode(&descriptor.cmd)? {
        Command::CommandStatementUpdate(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            update::put(shared, caller, &Ticket::new(&command.query, Vec::new()), &[]).await?
        }
        Command::CommandPreparedStatementUpdate(command) => {
            let mut statement = prepared::open(shared, caller, &command.prepared_statement_handle).await?;
            // Rows that come with the call replace those bound before.
            let mut batches = parameters::read(first, rest).await?;
            if batches.is_empty() {
                batches = statement.parameters().map_err(|error| status::malformed(&error.to_string()))?;
            }
            statement.set_parameters(&[]).map_err(|error| status::internal(&error))?;
            update::put(shared, caller, &statement, &batches).await?
        }
        Command::CommandPreparedStatementQuery(command) => {
            let statement = prepared::open(shared, caller, &command.prepared_statement_handle).await?;
            let result = prepared::bind(caller, statement, &parameters::read(first, rest).await?)?;
            return Ok(result.encode_to_vec().into());
        }
        Command::CommandStatementIngest(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            ingest::put(caller, command, first, rest, whole).await?
        }
        other => return Err(not_offered("DoPut", &other)),
    };
    Ok(DoPutUpdateResult { record_count }.encode_to_vec().into())
}

const ACTIONS: [(&str, &str); 7] = [
    ("CreatePreparedStatement", "Plans a statement; the handle holds all that is needed to run it."),
    ("ClosePreparedStatement", "Forgets the plan that the server may have kept; the handle itself holds all it needs."),
    ("CancelFlightInfo", "Stops the statement of a FlightInfo while its rows are fetched or polled for."),
    ("CancelQuery", "The same, as older clients ask for it."),
    ("SetSessionOptions", "Changes settings of the session, as SET does; a value that is not there resets one."),
    ("GetSessionOptions", "The settings of the session."),
    ("CloseSession", "Forgets the settings and prepared statements of the session that the cookie names."),
];

async fn act(shared: &Shared, caller: &mut Caller, action: &Action) -> Result<Messages<arrow_flight::Result>, Status> {
    let body = match action.r#type.as_str() {
        "CreatePreparedStatement" => {
            let request: ActionCreatePreparedStatementRequest = unpack(action)?;
            no_transaction(request.transaction_id.as_ref())?;
            prepared::create(shared, caller, request).await?
        }
        "ClosePreparedStatement" => {
            let request: ActionClosePreparedStatementRequest = unpack(action)?;
            shared.plans.forget(&prepared::take(caller, &request.prepared_statement_handle)?);
            return Ok(futures::stream::empty().boxed());
        }
        "CancelFlightInfo" => cancel::flight_info(shared, caller, &action.body)?,
        "CancelQuery" => cancel::query(shared, caller, &unpack(action)?)?,
        "CloseSession" => {
            shared.sessions.close(caller);
            if let Some(session) = caller.kept_id() {
                shared.jobs.end_session(session);
            }
            option::CloseSessionResult::CLOSED.encode_to_vec().into()
        }
        "SetSessionOptions" => option::set(shared, caller, &action.body).await?,
        "GetSessionOptions" => option::get(&caller.session, &action.body)?,
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => return Err(transactions()),
        other => {
            let hint = "ListActions tells what this server offers.";
            return Err(status::unsupported(&format!("the action \"{other}\" is"), hint));
        }
    };
    Ok(one(arrow_flight::Result { body }))
}

fn decode(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(|_| status::malformed("not a Flight SQL command"))?;
    Command::try_from(any).map_err(|error| status::malformed(&error.to_string()))
}

fn unpack<T: ProstMessageExt>(action: &Action) -> Result<T, Status> {
    let request = Any::decode(&*action.body).ok().and_then(|any| any.unpack().ok().flatten());
    request.ok_or_else(|| status::malformed(&format!("the body of the action \"{}\"", action.r#type)))
}

fn no_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    if id.is_none_or(Bytes::is_empty) { Ok(()) } else { Err(transactions()) }
}

fn transactions() -> Status {
    status::unsupported("transactions are", "Every statement commits by itself; use autocommit.")
}

fn not_offered(call: &str, command: &Command) -> Status {
    let url = command.type_url();
    let name = url.rsplit(['.', '/']).next().unwrap_or(url);
    status::unsupported(&format!("{call} of \"{name}\" is"), "Send SQL text, or prepare a statement.")
}

fn one<T: Send + 'static>(message: T) -> Messages<T> {
    futures::stream::iter([Ok(message)]).boxed()
}
