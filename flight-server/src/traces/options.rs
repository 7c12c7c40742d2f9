//! Where traces go, and how many.

use std::{fmt, time::Duration};

use boathouse_engine::Secret;

/// Sends the traces of statements to a collector.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// `http://host:4317` or, encrypted, `https://`.
    pub endpoint: String,
    /// The share of statements, from 0 to 1, that are traced where the client does not say whether.
    pub sample: f64,
    /// Sent with each request; names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// A request has so long.
    pub timeout: Duration,
    /// What is said of this process besides its version: `service.name`, ...
    pub resource: Vec<(String, String)>,
}

impl TraceOptions {
    /// All traces to this collector.
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            sample: 1.0,
            headers: Vec::new(),
            // As OpenTelemetry has it.
            timeout: Duration::from_secs(10),
            resource: vec![("service.name".to_owned(), "boathouse".to_owned())],
        }
    }
}

/// Why traces cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError(pub(super) String);

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TraceError {}
