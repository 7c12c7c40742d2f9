//! Connections that close without taking back what was sent.
//!
//! A socket that is closed while it holds bytes nobody read answers with a reset, and the reset makes the other side throw
//! away what it has received but not read yet: the last rows of a result, when a server shuts down while its client still
//! reads and sends window updates. So a connection says that it is done, and then reads on until the client is done too.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a client that never closes its side is waited for.
const LINGER_MAX: Duration = Duration::from_secs(30);
const DISCARD_BYTES: usize = 4096;

/// A connection whose shutdown ends when the client has closed its side too.
#[derive(Debug)]
pub(super) struct Lingering {
    inner: TcpStream,
    /// Set once our side is closed.
    until: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(super) fn new(inner: TcpStream) -> Self {
        Self { inner, until: None }
    }
}

impl Connected for Lingering {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
            self.until = Some(Box::pin(sleep(LINGER_MAX)));
        }
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut into = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.inner).poll_read(context, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                // The client is done, or gone.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        match &mut self.until {
            Some(until) => until.as_mut().poll(context).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
