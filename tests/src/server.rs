//! A real Flight server of one test: gone when it is dropped.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arrow_flight::sql::client::FlightSqlServiceClient;
use boathouse_engine::{Engine, EngineConfig, Secret};
use boathouse_flight_server::{
    client::{Client, ClientError, Login, connect},
    server::{Listeners, ServerOptions, run},
    tls::Tls,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

/// A server on a free port of this machine, over an engine that is open.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    http: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    pub async fn spawn(engine: Arc<Engine>) -> Self {
        Self::spawn_with(engine, ServerOptions { drain_max: Duration::from_secs(5), ..ServerOptions::default() }).await
    }

    pub async fn spawn_with(engine: Arc<Engine>, options: ServerOptions) -> Self {
        let (flight, _) = free_port().await;
        Self::listening(flight, engine, options)
    }

    /// With an HTTP port.
    pub async fn watched(engine: Arc<Engine>) -> Self {
        let options = ServerOptions { drain_max: Duration::from_secs(5), ..ServerOptions::default() };
        Self::watched_with(engine, options).await
    }

    pub async fn watched_with(engine: Arc<Engine>, options: ServerOptions) -> Self {
        let ((flight, _), (http, address)) = (free_port().await, free_port().await);
        let mut server = Self::listening(Listeners { http: Some(http), ..flight.into() }, engine, options);
        server.http = Some(address);
        server
    }

    /// With an HTTP port that is encrypted, too.
    pub async fn encrypted_and_watched(engine: Arc<Engine>, tls: Arc<Tls>) -> Self {
        let ((flight, _), (http, address)) = (free_port().await, free_port().await);
        let options = ServerOptions { drain_max: Duration::from_secs(5), ..ServerOptions::default() };
        let listeners = Listeners { http: Some(http), tls: Some(tls.clone()), http_tls: Some(tls), ..flight.into() };
        let mut server = Self::listening(listeners, engine, options);
        server.http = Some(address);
        server
    }

    /// With TLS.
    pub async fn encrypted(engine: Arc<Engine>, tls: Arc<Tls>) -> Self {
        let (flight, _) = free_port().await;
        let options = ServerOptions { drain_max: Duration::from_secs(5), ..ServerOptions::default() };
        Self::listening(Listeners { tls: Some(tls), ..flight.into() }, engine, options)
    }

    fn listening(listeners: impl Into<Listeners>, engine: Arc<Engine>, options: ServerOptions) -> Self {
        let listeners = listeners.into();
        let address = listeners.flight.local_addr().expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            run(listeners, engine, options, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { address, http: None, stop: Some(stop), task }
    }

    /// Where it tells of itself.
    pub fn http(&self) -> SocketAddr {
        self.http.expect("a server that is watched")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `grpc://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("grpc://{}", self.address)
    }

    /// A new session, through the client that the shell uses.
    pub async fn client(&self) -> Result<Box<dyn Client>, ClientError> {
        connect(&self.url(), EngineConfig::default(), Login::None).await
    }

    /// The same, logged in.
    pub async fn client_as(&self, user: &str, password: &str) -> Result<Box<dyn Client>, ClientError> {
        let login = Login::Password { user: user.to_owned(), password: Secret::new(password) };
        connect(&self.url(), EngineConfig::default(), login).await
    }

    /// A client of another make, which keeps no cookies.
    pub async fn flight(&self) -> FlightSqlServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address is an endpoint");
        FlightSqlServiceClient::new(endpoint.connect().await.expect("the server takes connections"))
    }

    /// Shuts down as a signal does, and waits for the end.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let result = (&mut self.task).await.expect("the server does not panic");
        result.expect("the server ends well");
    }
}

async fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    (listener, address)
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // A test that ends has no use for a graceful end.
        self.task.abort();
    }
}
