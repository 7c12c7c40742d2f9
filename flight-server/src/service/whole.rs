//! Whether all of a request has come.
//!
//! A client that cancels or dies resets its stream, and tonic gives the handler the same end that a client gives who has
//! sent everything. What commits at the end of a stream must tell the two apart: half of the rows is not what was asked.
//! So the body is watched from outside, and the handler finds what was seen among the request's extensions.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tonic::{
    Extensions, Status,
    body::Body as TonicBody,
    codegen::{Body, Service, http},
    server::NamedService,
};

/// Tells whether the client ended its stream itself.
#[derive(Debug, Clone, Default)]
pub struct Whole(Arc<AtomicBool>);

impl Whole {
    /// Of a request that came through [`Watched`]; of any other one nothing is known, so it is never whole.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub fn known(whole: bool) -> Self {
        Self(Arc::new(AtomicBool::new(whole)))
    }

    /// To be asked when the stream has ended.
    pub fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A service whose requests are watched.
#[derive(Debug, Clone)]
pub struct Watched<S> {
    inner: S,
}

impl<S> Watched<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: NamedService> NamedService for Watched<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<http::Request<TonicBody>>> Service<http::Request<TonicBody>> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<TonicBody>) -> S::Future {
        let (mut parts, inner) = request.into_parts();
        let whole = Whole::default();
        // A body that is empty from the start is not asked for its end.
        whole.0.store(inner.is_end_stream(), Ordering::Release);
        parts.extensions.insert(whole.clone());
        self.inner.call(http::Request::from_parts(parts, TonicBody::new(WatchedBody { inner, whole })))
    }
}

struct WatchedBody {
    inner: TonicBody,
    whole: Whole,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none() && self.inner.is_end_stream() {
            self.whole.0.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body without a frame, which ends as a whole or not.
    struct Ended(bool);

    impl Body for Ended {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
            Poll::Ready(None)
        }

        fn is_end_stream(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn only_a_stream_that_the_client_ended_is_whole() {
        for expected in [true, false] {
            let whole = Whole::default();
            // The library's own body would not ask one that has ended already.
            let mut body = WatchedBody { inner: TonicBody::new(Ended(expected)), whole: whole.clone() };
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
            assert_eq!(whole.is_whole(), expected);
        }
        assert!(!Whole::of(&Extensions::default()).is_whole());
    }
}
