//! How long a query takes, all of its rows read and thrown away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_engine::{Engine, EngineError, Outcome};
use futures::StreamExt;

/// A query's best run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    pub best: Duration,
    pub rows: u64,
}

/// Runs a query `runs` times, each in a new session that never takes the rows of an earlier run. A plan may be taken.
pub async fn measure(engine: &Arc<Engine>, sql: &str, runs: usize) -> Result<Measured, EngineError> {
    let mut measured = Measured { best: Duration::MAX, rows: 0 };
    for _ in 0..runs {
        let session = engine.session();
        session.execute("SET result_cache = false").await?;
        let started = Instant::now();
        let mut rows = 0;
        if let Outcome::Rows(mut stream) = session.execute(sql).await? {
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows() as u64;
            }
        }
        measured = Measured { best: measured.best.min(started.elapsed()), rows };
    }
    Ok(measured)
}
