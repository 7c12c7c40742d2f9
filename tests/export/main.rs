//! Exports of marts to a PostgreSQL that the test starts: rows of all types, each mode, a process that is killed at any time, a
//! server that goes away, one that is reached over TLS.
//!
//! Belongs to the package of the binary, as `tests/cli` does. Where there is no PostgreSQL (`initdb` in
//! `/usr/lib/postgresql/*/bin`, or on the PATH), the tests say so and pass.

#![allow(clippy::panic, clippy::unwrap_used)]

// What the servers of other tests show, too.
#[allow(dead_code)]
#[path = "../src/certificates.rs"]
mod certificates;
mod database;
mod killed;
mod modes;
mod place;
mod tls;
mod types;
