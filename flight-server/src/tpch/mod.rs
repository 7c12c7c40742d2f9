//! TPC-H: the benchmark's data as streams of batches, and its way into a lake.
//!
//! [`rows`] makes the rows of one table (nothing is read, nothing is downloaded); [`load`] puts all eight tables into a
//! lake as `sql/tpch/schema.sql` defines them, one commit a table; [`QUERIES`] are the 22 queries. The demo, the tests and
//! the benches use the same three.

mod load;
mod query;
mod rows;

pub use load::{Loaded, load};
pub use query::QUERIES;
pub use rows::{TABLES, Table, rows};
