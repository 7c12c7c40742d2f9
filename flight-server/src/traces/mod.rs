//! OpenTelemetry: one trace a statement, sent to a collector with OTLP over gRPC. Without an endpoint nothing of it is there.
//!
//! ```text
//! call --> Call (its span, one of the server) --+
//!          engine tells its phases and commits -+--> bounded queue --> batches --> collector
//!          rows on their way to the client -----+      full: dropped and counted
//! ```
//! A trace that no client began has the id of the query as its own, so that all calls for one statement meet in it, on
//! whichever server, without being told of each other. [`parent`] reads what a client says of its trace, [`call`] follows one
//! call, [`rows`] its answer, [`export`] sends to the [`collector`], in the words of [`otlp`]. Nobody waits for any of it.

mod call;
mod collector;
mod export;
mod options;
mod otlp;
mod parent;
mod rows;

pub use call::{Call, Open};
pub use export::{TraceTotals, Traces};
pub use options::{TraceError, TraceOptions};
pub use rows::follow;
