//! Destinations of marts that are reached over the network: what the engine's exports deliver to.
//!
//! [`postgres`] loads rows by COPY and keeps a ledger beside them; [`boathouse`] brings them into another lake; [`http`] posts
//! them in batches under keys that the receiver knows again. When what is delivered, and what is tried again, the engine
//! decides (`boathouse_engine::mart`).

mod boathouse;
mod http;
mod postgres;

pub use boathouse::{BoathouseExports, BoathouseOptions};
pub use http::{HttpExports, HttpOptions};
pub use postgres::{PostgresExports, PostgresOptions};
