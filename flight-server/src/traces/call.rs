//! One call as a span of the server, and what the engine does for it as spans within.
//!
//! The span is made when the call has ended, for only then all is known of it: which query it was for (a ticket names one),
//! what that was, and what it did. Attributes follow OpenTelemetry's conventions for RPC and for databases; those without a
//! name there begin with `boathouse.`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use boathouse_engine::{QueryPart, QueryRecord, QuerySpan, QueryState, Trace};
use parking_lot::Mutex;
use tonic::{Code, Extensions, Status, metadata::MetadataMap};
use uuid::Uuid;

use super::{
    Traces,
    otlp::{
        FLAG_PARENT_KNOWN, FLAG_PARENT_REMOTE, FLAG_SAMPLED, KIND_INTERNAL, KIND_SERVER, KeyValue, STATUS_ERROR, Span,
        SpanStatus, pair,
    },
    parent::Parent,
};
use crate::server::Peer;

const SERVICE: &str = "arrow.flight.protocol.FlightService";
/// Spans within one call: a statement may run once for each of very many rows of parameters.
const WITHIN_MAX: usize = 256;

/// A call that is followed. Shared by all that work for it.
#[derive(Debug)]
pub struct Call {
    traces: Arc<Traces>,
    method: &'static str,
    began: SystemTime,
    clock: Instant,
    span: u64,
    /// What the client said.
    parent: Option<Parent>,
    client: Vec<KeyValue>,
    within: AtomicUsize,
    known: Mutex<Known>,
}

/// What is known of a call so far.
#[derive(Debug, Default)]
struct Known {
    query_id: Uuid,
    user: Option<String>,
    /// Of its statement: text, kind.
    statement: Vec<KeyValue>,
    /// Sums of what its runs did.
    runs: u64,
    rows: u64,
    bytes_read: u64,
    error: Option<&'static str>,
}

/// A call under way: its span ends with this, as cancelled unless it was told how.
#[derive(Debug)]
pub struct Open(Option<Arc<Call>>);

/// Where a span belongs.
struct Place {
    trace: u128,
    state: String,
}

impl Open {
    /// Nothing is followed.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn call(&self) -> Option<&Arc<Call>> {
        self.0.as_ref()
    }

    /// The call has ended, well or with a status.
    pub fn end(mut self, status: Result<(), &Status>) {
        if let Some(call) = self.0.take() {
            call.end(status.map_or_else(Status::code, |()| Code::Ok));
        }
    }

    /// The same; nothing, when it has ended before.
    pub(super) fn end_as(&mut self, code: Code) {
        if let Some(call) = self.0.take() {
            call.end(code);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end_as(Code::Cancelled);
    }
}

impl Call {
    /// Begins to follow a call of a method of Flight, under the id that it has for the time being.
    pub fn begin(
        traces: &Arc<Traces>,
        method: &'static str,
        (metadata, extensions): (&MetadataMap, &Extensions),
        query_id: Uuid,
    ) -> Open {
        let mut client = Vec::new();
        if let Some(address) = extensions.get::<Peer>().and_then(|peer| peer.address) {
            client.push(pair("client.address", address.ip().to_string()));
            client.push(pair("client.port", u64::from(address.port())));
        }
        if let Some(agent) = metadata.get("user-agent").and_then(|agent| agent.to_str().ok()) {
            client.push(pair("user_agent.original", agent.chars().take(200).collect::<String>()));
        }
        Open(Some(Arc::new(Self {
            traces: traces.clone(),
            method,
            began: SystemTime::now(),
            clock: Instant::now(),
            span: new_id(),
            parent: Parent::of(metadata),
            client,
            within: AtomicUsize::new(0),
            known: Mutex::new(Known { query_id, ..Known::default() }),
        })))
    }

    /// Whom it is for.
    pub fn is_by(&self, user: String) {
        self.known.lock().user = Some(user);
    }

    /// It is for a query that has begun before it.
    pub fn is_for(&self, query_id: Uuid) {
        self.known.lock().query_id = query_id;
    }

    /// What the engine is given to tell what it does for this call; `None` when nobody wants to know.
    pub fn trace(self: &Arc<Self>) -> Option<Trace> {
        let place = self.place()?;
        let call = self.clone();
        Some(Trace {
            trace_id: place.trace,
            span_id: self.span,
            tell: Arc::new(move |record| call.told(&place, record)),
        })
    }

    /// The client's trace, or the query's own. `None` when it is not to be traced.
    fn place(&self) -> Option<Place> {
        match &self.parent {
            Some(parent) => {
                let place = Place { trace: parent.trace, state: parent.state.clone() };
                parent.is_sampled.then_some(place)
            }
            None => {
                let trace = self.known.lock().query_id.as_u128();
                self.traces.wants(trace).then(|| Place { trace, state: String::new() })
            }
        }
    }

    /// The engine tells of a statement that was planned, or has ended.
    fn told(&self, place: &Place, record: &QueryRecord) {
        let statement = statement(record);
        let error = record.error_kind.map(|kind| kind.as_str());
        // What a statement did, and how it ended, is said of its last phase.
        let last = record.spans.iter().rposition(|span| !matches!(span.part, QueryPart::Commit { .. }));
        for (at, span) in record.spans.iter().enumerate() {
            self.within(place, span.began, span.took, || part(span, record, (Some(at) == last).then_some(&*statement)));
        }
        let mut known = self.known.lock();
        known.statement = statement;
        if record.state != QueryState::Planning {
            known.runs += 1;
            known.rows += record.rows;
            known.bytes_read += record.usage.bytes_read;
            known.error = error.or(known.error);
        }
    }

    /// Rows went to the client for so long.
    pub(super) fn fetched(&self, began: SystemTime, took: Duration, messages: u64, bytes: u64) {
        let Some(place) = self.place() else { return };
        self.within(&place, began, took, || {
            let attributes = vec![
                query_id(self.known.lock().query_id),
                pair("boathouse.sent_messages", messages),
                pair("boathouse.sent_bytes", bytes),
            ];
            Said { name: "fetching", attributes, error: None }
        });
    }

    fn within(&self, place: &Place, began: SystemTime, took: Duration, span: impl FnOnce() -> Said) {
        if self.within.fetch_add(1, Ordering::Relaxed) >= WITHIN_MAX {
            return;
        }
        let Said { name, attributes, error } = span();
        self.traces.send(Span {
            trace_id: place.trace.to_be_bytes().to_vec(),
            span_id: new_id().to_be_bytes().to_vec(),
            trace_state: place.state.clone(),
            parent_span_id: self.span.to_be_bytes().to_vec(),
            name: name.to_owned(),
            kind: KIND_INTERNAL,
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(began + took),
            attributes,
            status: error.map(|message| SpanStatus { message, code: STATUS_ERROR }),
            flags: FLAG_SAMPLED | FLAG_PARENT_KNOWN,
        });
    }

    fn end(&self, code: Code) {
        let Some(place) = self.place() else { return };
        let method = format!("{SERVICE}/{}", self.method);
        let known = std::mem::take(&mut *self.known.lock());
        let mut attributes = vec![
            pair("rpc.system.name", "grpc"),
            pair("rpc.method", method.as_str()),
            pair("rpc.response.status_code", code_name(code)),
            query_id(known.query_id),
        ];
        attributes.extend(self.client.iter().cloned());
        attributes.extend(known.user.map(|user| pair("user.name", user)));
        attributes.extend(known.statement);
        if known.runs > 0 {
            attributes.extend([pair("boathouse.rows", known.rows), pair("boathouse.bytes_read", known.bytes_read)]);
        }
        if code != Code::Ok {
            attributes.push(pair("error.type", known.error.unwrap_or_else(|| code_name(code))));
        }
        let left_out = self.within.load(Ordering::Relaxed).saturating_sub(WITHIN_MAX);
        attributes.extend((left_out > 0).then(|| pair("boathouse.spans_left_out", left_out as u64)));
        let remote = if self.parent.is_some() { FLAG_PARENT_REMOTE } else { 0 };
        self.traces.send(Span {
            trace_id: place.trace.to_be_bytes().to_vec(),
            span_id: self.span.to_be_bytes().to_vec(),
            trace_state: place.state,
            parent_span_id: self.parent.as_ref().map(|parent| parent.span.to_be_bytes().to_vec()).unwrap_or_default(),
            name: method,
            kind: KIND_SERVER,
            start_time_unix_nano: nanos(self.began),
            end_time_unix_nano: nanos(self.began + self.clock.elapsed()),
            attributes,
            // The text may hold a part of the statement: the spans within say what may be said.
            status: is_fault(code).then(|| SpanStatus { message: String::new(), code: STATUS_ERROR }),
            flags: FLAG_SAMPLED | FLAG_PARENT_KNOWN | remote,
        });
    }
}

/// A span within a call.
struct Said {
    name: &'static str,
    attributes: Vec<KeyValue>,
    /// What is wrong, if something is.
    error: Option<String>,
}

/// A part of a statement's time; the last phase has `statement`, and all that is known in the end.
fn part(span: &QuerySpan, record: &QueryRecord, statement: Option<&[KeyValue]>) -> Said {
    let mut attributes = vec![query_id(record.origin.query_id)];
    let name = match span.part {
        QueryPart::Queued => "queued",
        QueryPart::Planning => "planning",
        QueryPart::Executing => "executing",
        QueryPart::Commit { version } => {
            attributes.extend(version.map(|version| pair("boathouse.version", version)));
            "commit"
        }
    };
    let Some(statement) = statement else { return Said { name, attributes, error: None } };
    attributes.extend(statement.iter().cloned());
    attributes.extend([
        pair("boathouse.rows", record.rows),
        pair("boathouse.bytes_read", record.usage.bytes_read),
        pair("boathouse.files_read", record.usage.files_read),
        pair("boathouse.files_skipped", record.usage.files_skipped),
        pair("boathouse.bytes_hot", record.usage.bytes_hot),
        pair("boathouse.bytes_warm", record.usage.bytes_warm),
        pair("boathouse.bytes_fetched", record.usage.bytes_fetched),
        pair("boathouse.requests", record.usage.requests),
        pair("boathouse.memory_bytes_peak", record.usage.memory_bytes_peak),
        pair("boathouse.replays", record.replays),
        pair("boathouse.result_cache_hit", record.result_cache_hit),
    ]);
    let Some(kind) = record.error_kind else { return Said { name, attributes, error: None } };
    attributes.push(pair("error.type", kind.as_str()));
    Said { name, attributes, error: Some(record.error.clone().unwrap_or_default()) }
}

/// A statement as the conventions for databases describe one.
fn statement(record: &QueryRecord) -> Vec<KeyValue> {
    let mut attributes = vec![
        pair("db.system.name", "boathouse"),
        pair("db.namespace", "lake"),
        pair("db.query.text", record.sql.to_string()),
    ];
    attributes.extend(record.statement.map(|statement| pair("db.operation.name", statement)));
    attributes
}

fn query_id(id: Uuid) -> KeyValue {
    pair("boathouse.query_id", id.to_string())
}

/// No id is 0.
fn new_id() -> u64 {
    // The lower half of a UUID begins with two bits that are not random, and so not all 0.
    Uuid::new_v4().as_u64_pair().1
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// OpenTelemetry, "gRPC": what is the client's fault is no error of a server.
fn is_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

/// As gRPC writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
