//! Files that are not tables of the lake: Parquet, CSV and JSON, by path.
//!
//! ```text
//! path -> access (may it be named? what is there?) -> options (format) -> table: Parquet by DataFusion, text by reader
//! ```
//! The list of files is fixed when a statement is planned. CSV and JSON are read by our own [`reader`], which knows the
//! line of every row.

pub(crate) mod access;
mod convert;
pub(crate) mod csv;
pub(crate) mod export;
mod infer;
mod json;
pub(crate) mod options;
mod parquet_table;
mod partition;
pub(crate) mod reader;
pub(crate) mod rejects;
mod scan;
mod table;
pub(crate) mod text_table;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::table::{TableSpec, table};
