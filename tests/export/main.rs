//! Exports of marts to a PostgreSQL that the test starts: rows of all types, each mode, a process that is killed at any time, a
//! server that goes away.
//!
//! Belongs to the package of the binary, as `tests/cli` does. Where there is no PostgreSQL (`initdb` in
//! `/usr/lib/postgresql/*/bin`, or on the PATH), the tests say so and pass.

#![allow(clippy::panic, clippy::unwrap_used)]

mod database;
mod killed;
mod modes;
mod place;
mod types;
