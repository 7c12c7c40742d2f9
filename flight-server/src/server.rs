//! The server: takes connections, and ends without cutting anyone off.

mod connection;
mod linger;

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_flight::flight_service_server::FlightServiceServer;
use boathouse_engine::Engine;
use futures::FutureExt;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};
use tonic::transport::server::Server;

use crate::{
    AuthOptions, Clock, PollOptions, TraceOptions, http,
    service::{Service, Watched},
    tls::Tls,
    traces::Traces,
    webhook::Webhooks,
};

pub(crate) use connection::Peer;
use connection::connections;

/// Clients send parameters in messages of this size at most.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bearer tokens and traces make headers large.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// HTTP/2 windows: data that a client may send before it is read.
const WINDOW_BYTES: u32 = 8 << 20;
/// A client that is silent this long is asked whether it lives, so that its queries end with it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the files of certificates are looked at.
const CERTIFICATES_LOOKED_AT: Duration = Duration::from_secs(10);
/// After everything was stopped, connections get this long to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How a server runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOptions {
    /// How long a shutdown waits for running statements before it stops them. Default: 30 seconds.
    pub drain_max: Duration,
    /// How clients are known.
    pub auth: AuthOptions,
    /// How statements are polled.
    pub polls: PollOptions,
    /// Where traces go; nowhere by default.
    pub traces: Option<TraceOptions>,
    /// What `/metrics` tells of messages about marts.
    pub webhooks: Option<Arc<Webhooks>>,
    /// The time by which sessions, their tokens and polled statements expire, the keys of an issuer are fetched anew, and
    /// failed logins are forgotten.
    pub clock: Clock,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            drain_max: Duration::from_secs(30),
            auth: AuthOptions::default(),
            polls: PollOptions::default(),
            traces: None,
            webhooks: None,
            clock: Clock::default(),
        }
    }
}

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    pub flight: TcpListener,
    /// For metrics and health.
    pub http: Option<TcpListener>,
    /// For Flight SQL.
    pub tls: Option<Arc<Tls>>,
    /// For metrics and health: the same, or nothing.
    pub http_tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listeners {
    fn from(flight: TcpListener) -> Self {
        Self { flight, http: None, tls: None, http_tls: None }
    }
}

/// Serves Flight SQL, and metrics when there is a listener for them, until `shutdown` completes. Then takes no more
/// connections, lets running statements finish up to [`ServerOptions::drain_max`], and stops what still runs. At the end the
/// last traces go out, which takes a few seconds at most.
pub async fn run(
    listeners: impl Into<Listeners>,
    engine: Arc<Engine>,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Some(to) = &options.traces else {
        return serve(listeners.into(), engine, &options, None, shutdown).await;
    };
    let (traces, exporter) = Traces::open(to).map_err(io::Error::other)?;
    let exporter = tokio::spawn(exporter.run());
    let served = serve(listeners.into(), engine, &options, Some(traces.clone()), shutdown).await;
    traces.end(exporter).await;
    served
}

async fn serve(
    Listeners { flight: listener, http, tls, http_tls }: Listeners,
    engine: Arc<Engine>,
    options: &ServerOptions,
    traces: Option<Arc<Traces>>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = Service::new(&engine, options, traces).map_err(io::Error::other)?;
    // Ends with this function.
    let mut watchers = JoinSet::new();
    watchers.spawn(service.clone().tidy());
    if let Some(http) = http {
        watchers.spawn(http::listener::run(http, http_tls, engine.clone(), service.clone()));
    }
    let flight = FlightServiceServer::new(service.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    let flight = Watched::new(flight);
    let (stop, stopped) = oneshot::channel::<()>();
    if let Some(tls) = tls.clone() {
        watchers.spawn(tls.keep_fresh(CERTIFICATES_LOOKED_AT));
    }
    let connections = connections(listener, tls);
    let serve = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(flight)
        .serve_with_incoming_shutdown(connections, stopped.map(|_| ()));
    tokio::pin!(serve);
    tokio::select! {
        result = &mut serve => return result.map_err(io::Error::other),
        () = shutdown => {}
    }
    tracing::info!("shutting down");
    service.leave();
    drop(stop);
    let ended = Instant::now();
    if let Ok(result) = timeout(options.drain_max, &mut serve).await {
        let left = || options.drain_max.saturating_sub(ended.elapsed());
        if timeout(left(), service.finish()).await.is_err() {
            tracing::warn!(drain_max = ?options.drain_max, "stopping polled statements that still run");
            service.close();
        }
        // A checkpoint that is being written has the rest of the time.
        let _ = timeout(left(), engine.idle()).await;
        return result.map_err(io::Error::other);
    }
    tracing::warn!(drain_max = ?options.drain_max, "stopping the statements that still run");
    service.close();
    // Clients that do not even say goodbye must not keep the process.
    timeout(GOODBYE_MAX, serve).await.unwrap_or(Ok(())).map_err(io::Error::other)
}

/// Why a server does not listen.
#[derive(Debug)]
pub enum BindError {
    /// Anyone who reaches the address could read and write the lake.
    Exposed {
        address: SocketAddr,
    },
    Address {
        listen: String,
        source: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { address } => write!(
                f,
                "refused to listen on {address}: the lake has no users, so everyone who reaches this address could read and \
                 write it\nHINT: Make the first user: boathouse user create NAME --lake LAKE. Or listen on 127.0.0.1, or pass \
                 --insecure in a network that you trust."
            ),
            Self::Address { listen, source } => write!(f, "could not listen on \"{listen}\": {source}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Listens on `host:port`; port 0 picks a free one. Only loopback addresses, unless it `may_be_exposed`.
pub async fn bind(listen: &str, may_be_exposed: bool) -> Result<TcpListener, BindError> {
    let wrong = |source| BindError::Address { listen: listen.to_owned(), source };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen).await.map_err(wrong)?.collect();
    let exposed = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
    if let (Some(address), false) = (exposed, may_be_exposed) {
        return Err(BindError::Exposed { address: *address });
    }
    TcpListener::bind(&*addresses).await.map_err(wrong)
}
