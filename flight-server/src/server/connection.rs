//! Connections as they come in: plain, or after a TLS handshake.
//!
//! Handshakes go on beside each other and beside the connections that are there, each with an end: a client that says nothing
//! holds up nobody.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpIncoming};

use super::linger::Lingering;
use crate::tls::Tls;

/// A client has this long for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once; more connections wait to be accepted until one has ended.
const HANDSHAKES_MAX: usize = 512;

/// A client's connection.
pub(super) enum Connection {
    Plain(Lingering),
    Tls(Box<TlsStream<Lingering>>, Peer),
}

/// Who is at the other end; among the extensions of each request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub address: Option<SocketAddr>,
    /// The subject of the certificate that the client has shown.
    pub subject: Option<Arc<str>>,
    /// The user whom the configuration knows by that subject.
    pub user: Option<Arc<str>>,
}

/// The connections of a listener.
pub(super) fn connections(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
) -> Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let Some(tls) = tls else {
        return incoming.map(|stream| stream.map(|stream| Connection::Plain(Lingering::new(stream)))).boxed();
    };
    stream::unfold((incoming, JoinSet::new(), tls), next).boxed()
}

type Handshakes = JoinSet<Option<Connection>>;

async fn next(
    (mut incoming, mut handshakes, tls): (TcpIncoming, Handshakes, Arc<Tls>),
) -> Option<(io::Result<Connection>, (TcpIncoming, Handshakes, Arc<Tls>))> {
    loop {
        let room = handshakes.len() < HANDSHAKES_MAX;
        let connection = tokio::select! {
            Some(ended) = handshakes.join_next() => match ended {
                Ok(Some(connection)) => Ok(connection),
                // The client's fault, and told in the log.
                Ok(None) | Err(_) => continue,
            },
            stream = incoming.next(), if room => match stream? {
                Ok(stream) => {
                    handshakes.spawn(handshake(stream, tls.clone()));
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        return Some((connection, (incoming, handshakes, tls)));
    }
}

async fn handshake(stream: TcpStream, tls: Arc<Tls>) -> Option<Connection> {
    let address = stream.peer_addr().ok();
    match timeout(HANDSHAKE_MAX, tls.acceptor().accept(Lingering::new(stream))).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let (user, subject) = certificate.map(|certificate| tls.user(certificate)).unwrap_or_default();
            Some(Connection::Tls(Box::new(stream), Peer { address, subject, user }))
        }
        Ok(Err(error)) => {
            tracing::debug!(?address, %error, "no TLS handshake");
            None
        }
        Err(_) => {
            tracing::debug!(?address, "a TLS handshake took too long");
            None
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(stream) => Peer { address: stream.connect_info().remote_addr(), ..Peer::default() },
            Self::Tls(_, peer) => peer.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
