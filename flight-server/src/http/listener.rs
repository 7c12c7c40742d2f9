//! Connections of the HTTP port, plain or encrypted: few at a time, and none that only waits.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use boathouse_engine::Engine;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::answer::Asked;
use crate::{service::Service, tls::Tls};

const CONNECTIONS_MAX: usize = 64;
/// A client has this long for its handshake, and for the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped. More than [`CONNECTIONS_MAX`] connections wait for one to end.
pub async fn run(listener: TcpListener, tls: Option<Arc<Tls>>, engine: Arc<Engine>, service: Service) {
    let asked = Arc::new(Asked::new(&engine, service));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this future, and their connections with them.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = connections.clone().acquire_owned().await else { return };
        while tasks.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log_accept(&error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (asked, tls) = (asked.clone(), tls.clone());
        tasks.spawn(async move {
            match tls {
                None => serve(stream, asked).await,
                Some(tls) => match timeout(HEAD_WAIT, tls.http_acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, asked).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake on the HTTP port"),
                    Err(_) => tracing::debug!("a TLS handshake on the HTTP port took too long"),
                },
            }
            drop(place);
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, asked: Arc<Asked>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let asked = asked.clone();
        async move { Ok::<_, Infallible>(asked.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    let served = http.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT);
    if let Err(error) = served.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

fn log_accept(error: &io::Error) {
    tracing::warn!(%error, "could not take an HTTP connection");
}
