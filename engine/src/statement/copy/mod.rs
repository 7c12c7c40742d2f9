//! COPY: rows from files into a table, rows of a query into files.

mod from;
mod to;

pub(crate) use self::{from::CopyFrom, to::CopyTo};
