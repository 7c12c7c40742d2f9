//! SQL functions of our own.

mod changes;
mod decimal;
mod extreme;
mod files;
mod now;
mod user;
mod version;

pub(crate) use changes::{ChangesCall, TABLE_CHANGES};
pub(crate) use decimal::decimal_arithmetic;
pub(crate) use extreme::extremes;
pub(crate) use files::{external_table, file_table, reads_files, table_function};
pub(crate) use now::now;
pub(crate) use user::{SessionUser, users};
pub(crate) use version::version;

/// Functions that stand in FROM.
pub(crate) const TABLE_FUNCTIONS: &[&str] = &["read_csv", "read_json", "read_parquet", TABLE_CHANGES];
