//! Another Boathouse, over Flight SQL.
//!
//! ```text
//! replace:       rows --ingest--> the table, in one commit
//! merge, append: rows --ingest--> a table beside it --one statement, under an idempotency key--> the table
//! ```
//! The server carries a statement out once for a key, which is the delivery's name: whoever tries again gets the first answer.

mod destination;
mod options;

pub use destination::BoathouseExports;
pub use options::BoathouseOptions;
