//! SQL functions of our own.

mod extreme;
mod files;

pub(crate) use extreme::extremes;
pub(crate) use files::{external_table, file_table, table_function};

/// Functions that stand in FROM.
pub(crate) const TABLE_FUNCTIONS: &[&str] = &["read_csv", "read_json", "read_parquet"];
