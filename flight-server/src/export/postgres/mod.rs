//! PostgreSQL, and what speaks its protocol.
//!
//! ```text
//! rows -> encode (binary COPY) -> a temporary table of the connection
//! one transaction: lock -> ledger: is it still what it was? -> replace | merge | append -> ledger -> COMMIT
//! ```
//! The ledger lies in the schema of the target, and its row is written with the rows that it tells of: whoever tries again
//! finds there what was committed, whether or not anybody heard of it.

mod connect;
mod destination;
mod encode;
mod fit;
mod ledger;
mod load;
mod numeric;
mod options;
#[cfg(test)]
mod tests;
mod tls;
mod types;

pub use destination::PostgresExports;
pub use options::PostgresOptions;
