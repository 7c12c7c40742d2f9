//! TPC-H into a lake.

use std::time::{Duration, Instant};

use arrow::array::RecordBatchReader;
use boathouse_engine::{EngineError, Session, parser};
use futures::{StreamExt, stream};

use super::{TABLES, Table, rows};

const SCHEMA: &str = include_str!("../../../sql/tpch/schema.sql");

/// A table that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub table: Table,
    pub rows: u64,
    pub time: Duration,
}

/// Makes the eight tables in the session's schema, or makes them anew when they are there: each in one commit, so a
/// reader sees the old rows or the new ones. `progress` hears, after each batch, the table, its rows so far, and the rows
/// of the tables before it.
pub async fn load(
    session: &Session,
    scale: f64,
    progress: impl Fn(&Table, u64, u64) + Clone + Send + 'static,
) -> Result<Vec<Loaded>, EngineError> {
    let mut loaded: Vec<Loaded> = Vec::with_capacity(TABLES.len());
    for (table, create) in TABLES.into_iter().zip(parser::split(SCHEMA)) {
        let started = Instant::now();
        let before = loaded.iter().map(|table| table.rows).sum();
        let reader = rows(&table, scale, 1, 1);
        let schema = reader.schema();
        let progress = progress.clone();
        let mut count = 0;
        let batches = reader.inspect(move |batch| {
            count += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            progress(&table, count, before);
        });
        let rows = session.load(create, schema, stream::iter(batches).boxed()).await?;
        loaded.push(Loaded { table, rows, time: started.elapsed() });
    }
    Ok(loaded)
}
