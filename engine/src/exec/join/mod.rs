//! A hash join that spills when its build side does not fit into memory.
//!
//! DataFusion's hash join holds all rows of its build side and fails when they are too many. [`SpillingJoinExec`] collects
//! those rows itself ([`build`]). When they fit, the hash join runs over them as planned, dynamic filters and all, with the
//! kind of table that suits their keys ([`table`]). When they do not, the rows of both sides are split by their keys' hash
//! into files ([`split`]), equal keys into the same file, and the files are joined pair by pair with the same operator
//! ([`pair`]). A file that is still too large, a single hot key for instance, is joined in rounds, as many rows of it at a
//! time as fit.

mod build;
mod handed;
mod pair;
mod plan;
mod spilled;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use plan::SpillingJoinExec;
