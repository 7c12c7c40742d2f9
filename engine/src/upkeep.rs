//! Upkeep: a server looks after its tables while it has time.
//!
//! ```text
//! every interval: each table, one after the other --many small files------> OPTIMIZE
//!                                                 --a long log------------> CHECKPOINT
//!                                                 --what its policy calls old--> TIER, a partition at a time
//!                                                 --what is pinned near---> PIN: new copies come, those too old go
//!                                                 --once a day------------> ORPHANS, and VACUUM if it is wanted
//!                 each schema --dropped tables past their retention-------> PURGE
//!                 the lake    --tables that were begun and never made-----> ORPHANS
//!                             --once a day, files that were not finished--> ORPHANS
//! ```
//! One job at a time, which lets statements go first. `system.upkeep` shows what was done.

mod job;
mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_storage::write;
use tokio::task::JoinHandle;

pub(crate) use job::{give_way, on_cpu, wait_for_turn};
pub(crate) use record::{Begun, Record, Records, Size};

use crate::{Engine, EngineError, session::Pins, statement::Context, tier};

const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Among the names of tables, which have a dot.
const LAKE: &str = "lake";

/// The task; dropping it ends it between two requests of a job, which is then not committed.
#[derive(Debug)]
pub struct Upkeep(JoinHandle<()>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Engine {
    /// Starts the upkeep of the lake's tables, if the configuration wants it. Must be called inside a runtime.
    pub fn keep_up(self: &Arc<Self>) -> Option<Upkeep> {
        let interval = self.config().upkeep_interval?;
        // Not an owner: an engine that nobody uses any more ends.
        let engine = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            let mut vacuumed = HashMap::new();
            loop {
                tokio::time::sleep(interval).await;
                let Some(engine) = engine.upgrade() else { return };
                if let Err(error) = pass(&engine, &mut vacuumed, tier::now_ms()).await {
                    tracing::warn!(%error, "upkeep could not look at the tables");
                }
            }
        });
        Some(Upkeep(task))
    }
}

/// Looks at every table once. `vacuumed` tells when each was rid of files that nobody needs; `now_ms`, in milliseconds since
/// 1970, UTC, from when on rows are old.
pub(crate) async fn pass(
    engine: &Arc<Engine>,
    vacuumed: &mut HashMap<String, Instant>,
    now_ms: i64,
) -> Result<(), EngineError> {
    let session = engine.session();
    session.execute("SET target_partitions = 1").await?;
    let state = Context::new(engine, &session, "OPTIMIZE", &Pins::new()).state;
    let lake = engine.lake();
    for schema in lake.schemas().await? {
        for name in lake.tables(&schema).await? {
            // A table that cannot be read is not upkeep's to tell.
            let Ok(table) = lake.table(&schema, &name).await else { continue };
            job::compact(engine, &table, &state).await;
            job::cool(engine, &table, &state, now_ms).await;
            job::pin(engine, (schema.as_str(), name.as_str()), table.name(), now_ms).await;
            job::checkpoint(engine, &table).await;
            if vacuumed.get(table.name()).is_none_or(|last| last.elapsed() >= VACUUM_EVERY) {
                job::vacuum(engine, &schema, &name, &table, !engine.config().upkeep_vacuum).await;
                vacuumed.insert(table.name().to_owned(), Instant::now());
            }
        }
        purge(engine, &schema).await;
    }
    job::clear_begun(engine).await;
    if vacuumed.get(LAKE).is_none_or(|last| last.elapsed() >= VACUUM_EVERY) {
        job::clear_staged(engine).await;
        vacuumed.insert(LAKE.to_owned(), Instant::now());
    }
    Ok(())
}

/// Dropped tables that nobody can bring back any more lose their files.
async fn purge(engine: &Arc<Engine>, schema: &str) {
    let begun = Begun::new(engine.upkeep(), schema, "PURGE");
    let purged = write::purge_dropped(engine.lake(), schema).await;
    begun.ended(
        None,
        purged.map(|tables| (!tables.is_empty()).then_some(Size { files: 0, bytes: 0 })).map_err(EngineError::from),
    );
}
