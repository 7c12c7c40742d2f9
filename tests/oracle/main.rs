//! Random tables and random predicates against an oracle.
//!
//! `scan.rs` holds our scan to the rows that were written and to deltalake's own scan; `split.rs` and `count.rs` need no
//! second engine: a predicate splits a table into three parts that make up the whole, and filtering must count what a
//! `CASE` over unfiltered rows counts. Tables (`table.rs`) have all types, NULL, NaN, infinities, -0.0, texts that are
//! longer than statistics keep, partitions, mapped columns (`log.rs`) and deletion vectors (`vector.rs`).
//!
//! `change.rs` holds DELETE, UPDATE and MERGE to what SELECT says that they leave; `shape.rs` does so for every shape of WHERE;
//! `feed.rs` holds the change feed to the versions between which it leads; `mart.rs` holds marts to their queries.
//!
//! Every failure names the seed of its table. `BOATHOUSE_TEST_TABLES=500` tries that many tables, and
//! `BOATHOUSE_TEST_SEED=17` begins with another one.

mod chance;
mod change;
mod count;
mod feed;
mod kind;
mod lake;
mod log;
mod mart;
mod predicate;
mod scan;
mod shape;
mod split;
mod table;
mod vector;
