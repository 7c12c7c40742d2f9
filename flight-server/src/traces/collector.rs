//! The collector, as a client of OTLP over gRPC sees it.

use std::time::Duration;

use boathouse_engine::Secret;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataKey, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    TraceError, TraceOptions,
    otlp::{
        EXPORT, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, Resource, ResourceSpans,
        ScopeSpans, Span, pair,
    },
};
use crate::tls::ClientTls;

/// A request that fails for a while is sent again, first after such a wait, then after twice as long.
const TRIES_MAX: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Where spans go. One request at a time.
#[derive(Debug)]
pub struct Collector {
    channel: Channel,
    headers: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    timeout: Duration,
    resource: Resource,
}

impl Collector {
    /// Connects when the first span goes. Within a Tokio runtime.
    pub fn new(options: &TraceOptions) -> Result<Self, TraceError> {
        let wrong = |error: &dyn std::fmt::Display| {
            TraceError(format!("could not set up traces for \"{}\": {error}", options.endpoint))
        };
        let (encrypted, address) = match options.endpoint.split_once("://") {
            Some(("https", rest)) => (true, format!("http://{rest}")),
            _ => (false, options.endpoint.clone()),
        };
        let endpoint = Endpoint::from_shared(address).map_err(|error| wrong(&error))?;
        let endpoint = endpoint.connect_timeout(options.timeout).timeout(options.timeout);
        let channel = match encrypted {
            false => endpoint.connect_lazy(),
            true => endpoint.connect_with_connector_lazy(ClientTls::default().load().map_err(|error| wrong(&error))?),
        };
        let headers = options.headers.iter().map(header).collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
        let version = pair("service.version", env!("CARGO_PKG_VERSION"));
        let attributes =
            options.resource.iter().map(|(key, value)| pair(key, value.as_str())).chain([version]).collect();
        Ok(Self { channel, headers, timeout: options.timeout, resource: Resource { attributes } })
    }

    /// Sends spans in one request; how many of them the collector refused.
    pub async fn send(&self, spans: Vec<Span>) -> Result<u64, Status> {
        let scope =
            InstrumentationScope { name: "boathouse".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans }],
        };
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES_MAX {
            match self.send_once(request.clone()).await {
                Err(status) if may_pass(status.code()) => tokio::time::sleep(wait).await,
                answer => return answer,
            }
            wait *= 2;
        }
        self.send_once(request).await
    }

    async fn send_once(&self, request: ExportTraceServiceRequest) -> Result<u64, Status> {
        let mut request = Request::new(request);
        for (name, value) in &self.headers {
            request.metadata_mut().append(name, value.clone());
        }
        let work = async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
            grpc.unary(request, PathAndQuery::from_static(EXPORT), codec).await
        };
        // A connection that is never made has no time limit of its own.
        let answer = tokio::time::timeout(self.timeout, work).await;
        let answer =
            answer.map_err(|_| Status::deadline_exceeded(format!("no answer within {:?}", self.timeout)))??;
        let partial = answer.into_inner().partial_success.unwrap_or_default();
        if !partial.error_message.is_empty() {
            tracing::debug!(error = partial.error_message, rejected = partial.rejected_spans, "a collector objects");
        }
        Ok(u64::try_from(partial.rejected_spans).unwrap_or_default())
    }
}

fn header((name, value): &(String, Secret)) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), TraceError> {
    let wrong = || TraceError(format!("the header \"{name}\" cannot be sent"));
    let key = name.parse().map_err(|_| wrong())?;
    let mut value: MetadataValue<Ascii> = value.reveal().parse().map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// OTLP, "Failures": what may be sent again. It has cost the collector nothing.
fn may_pass(code: Code) -> bool {
    matches!(code, Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss)
}
