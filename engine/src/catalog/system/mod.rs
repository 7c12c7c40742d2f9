//! `system`: the running process described as tables. One file per table; rows are gathered when they are read.

mod caches;
mod queries;
mod table;
mod upkeep;

pub(crate) use table::{TABLES, table};
