//! What the server can do and what the lake holds, in the tables that Flight SQL prescribes.
//!
//! Drivers are strict here: each answer has exactly the columns, types and sorting of `FlightSql.proto`.

mod answer;
mod column;
mod key;
mod list;
mod pattern;
mod server;
mod type_info;

pub use answer::{Facts, answer, schema};
pub use list::CATALOG;
pub use pattern::fits;
