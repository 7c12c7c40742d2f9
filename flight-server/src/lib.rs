//! The network and the command line. The only crate that knows the wire, flags and terminals.
//!
//! [`cli`] has one file per subcommand. `serve` goes to [`server`], which speaks Flight SQL; `sql` to [`shell`], which talks to
//! a lake or a server through the one interface of [`client`]; `demo` loads [`tpch`]. [`config`] checks all settings before
//! any work starts; `export` brings rows of marts to databases and receivers; [`traces`] tell OpenTelemetry what the calls did.
//! [`allocator`] says how long the binary keeps memory. What SQL means is the engine's: a feature exists once, and clients of
//! every kind get the same.

pub mod allocator;
mod auth;
pub mod cli;
pub mod client;
mod clock;
pub mod config;
mod export;
mod http;
pub mod log;
pub mod server;
mod service;
pub mod shell;
mod status;
mod ticket;
pub mod tls;
pub mod tpch;
mod traces;
mod webhook;

pub use auth::{AuthOptions, OidcOptions};
pub use clock::Clock;
pub use export::{BoathouseExports, BoathouseOptions, HttpExports, HttpOptions, PostgresExports, PostgresOptions};
pub use service::PollOptions;
pub use traces::{TraceError, TraceOptions};
pub use webhook::{WebhookOptions, WebhookTotals, Webhooks};
