//! A real OTLP receiver, as an OpenTelemetry collector is one: what it was sent can be looked at.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use prost::{Message, Oneof};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

/// Receives spans on a free port until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Received,
    held: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A span as tests look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct SentSpan {
    /// In hexadecimal digits.
    pub trace: String,
    pub id: String,
    /// Empty for the first one of a trace.
    pub parent: String,
    pub name: String,
    pub is_server: bool,
    /// What is wrong, if something is.
    pub error: Option<String>,
    pub began_ns: u64,
    pub ended_ns: u64,
    pub attributes: BTreeMap<String, String>,
    /// Of the process.
    pub resource: BTreeMap<String, String>,
    /// Headers of the request that brought it.
    pub headers: MetadataMapText,
}

type MetadataMapText = BTreeMap<String, String>;

#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<SentSpan>>>);

#[derive(Clone)]
struct Receiver {
    received: Received,
    held: watch::Receiver<bool>,
}

impl Collector {
    pub async fn spawn() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let received = Received::default();
        let (held, looked_at) = watch::channel(false);
        let service = Receiver { received: received.clone(), held: looked_at };
        let serve = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serve.await.expect("a collector serves") });
        Self { address, received, held, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether requests are left without an answer from now on.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// All spans that came, by when they began.
    pub fn spans(&self) -> Vec<SentSpan> {
        let mut spans = self.received.0.lock().clone();
        spans.sort_by_key(|span| span.began_ns);
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NamedService for Receiver {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<Body>> for Receiver {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let export = self.clone();
        Box::pin(async move {
            if request.uri().path() != format!("/{}/Export", Self::NAME) {
                return Ok(Status::unimplemented("spans only").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(export, request).await)
        })
    }
}

impl UnaryService<ExportRequest> for Receiver {
    type Response = ExportResponse;
    type Future = BoxFuture<'static, Result<Response<ExportResponse>, Status>>;

    fn call(&mut self, request: Request<ExportRequest>) -> Self::Future {
        let mut receiver = self.clone();
        Box::pin(async move {
            let _ = receiver.held.wait_for(|held| !held).await;
            let headers = headers(request.metadata());
            let mut received = receiver.received.0.lock();
            for resource in request.into_inner().resource_spans {
                let process = attributes(resource.resource.unwrap_or_default().attributes);
                for scope in resource.scope_spans {
                    received.extend(scope.spans.into_iter().map(|span| SentSpan::of(span, &process, &headers)));
                }
            }
            Ok(Response::new(ExportResponse {}))
        })
    }
}

impl SentSpan {
    fn of(span: Span, resource: &BTreeMap<String, String>, headers: &MetadataMapText) -> Self {
        let status = span.status.as_ref().filter(|status| status.code == 2);
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            is_server: span.kind == 2,
            error: status.map(|status| status.message.clone()),
            began_ns: span.start_time_unix_nano,
            ended_ns: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            name: span.name,
            resource: resource.clone(),
            headers: headers.clone(),
        }
    }

    /// An attribute, as text.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

fn headers(metadata: &MetadataMap) -> MetadataMapText {
    let text = |name: &str| Some((name.to_owned(), metadata.get(name)?.to_str().ok()?.to_owned()));
    metadata.as_ref().keys().filter_map(|name| text(name.as_str())).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::Text(text)) => text,
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Int(value)) => value.to_string(),
        None => String::new(),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// The messages as the protocol's files define them, as far as they are looked at; not those of the sender, which may be wrong.

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<SpanStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}
