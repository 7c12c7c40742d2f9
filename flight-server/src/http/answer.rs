//! What each path answers.

use std::sync::Arc;

use boathouse_engine::Engine;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use super::{exposition, metrics, ready::Ready};
use crate::service::Service;

const TEXT: &str = "text/plain; charset=utf-8";

/// What is asked about. Safe to ask many times at once.
pub struct Asked {
    engine: Arc<Engine>,
    service: Service,
    ready: Ready,
}

impl Asked {
    pub fn new(engine: &Arc<Engine>, service: Service) -> Self {
        Self { engine: engine.clone(), service, ready: Ready::new(engine) }
    }

    /// Answers a request; its body is not read.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = text(StatusCode::OK, &metrics::gather(&self.engine, &self.service).await);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
                response
            }
            // The process answers, so it lives.
            "/health" => text(StatusCode::OK, "ok\n"),
            "/ready" if self.service.is_leaving() => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
            "/ready" => match self.ready.check().await {
                Ok(()) => text(StatusCode::OK, "ok\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n")),
            },
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /health and /ready\n"),
        }
    }
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
