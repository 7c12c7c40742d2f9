//! Upkeep: a server looks after its tables while it has time.
//!
//! ```text
//! every interval: each table, one after the other --many small files--> OPTIMIZE
//!                                                 --once a day, if wanted--> VACUUM
//! ```
//! What it does are ordinary statements of a session of its own, with one thread each, and only while nothing else runs.
//! Checkpoints are written by the commits. `system.upkeep` shows what was done.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{Engine, EngineError, Session};

/// A table with so many files of less than so many bytes on average is compacted.
const SMALL_FILES_MIN: usize = 32;
const SMALL_FILE_BYTES: u64 = 16 << 20;
const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long a step waits for other statements to end before it goes on beside them.
const YIELD_MAX: Duration = Duration::from_secs(30);
const YIELD_STEP: Duration = Duration::from_millis(200);
const RECORDS_MAX: usize = 1_000;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub table: String,
    pub action: &'static str,
    /// Milliseconds since 1970, UTC.
    pub started_ms: i64,
    pub took_ms: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// What was done last, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<VecDeque<Record>>);

impl Records {
    pub fn all(&self) -> Vec<Record> {
        self.0.lock().iter().cloned().collect()
    }

    fn push(&self, record: Record) {
        let mut records = self.0.lock();
        if records.len() >= RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }
}

/// The task; dropping it ends it between two requests of a statement, which is then not committed.
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
                if let Err(error) = pass(&engine, &mut vacuumed).await {
                    tracing::warn!(%error, "upkeep could not look at the tables");
                }
            }
        });
        Some(Upkeep(task))
    }
}

/// Looks at every table once. `vacuumed` tells when each was vacuumed last.
pub(crate) async fn pass(engine: &Arc<Engine>, vacuumed: &mut HashMap<String, Instant>) -> Result<(), EngineError> {
    let session = engine.session();
    session.execute("SET target_partitions = 1").await?;
    let lake = engine.lake();
    for schema in lake.schemas().await? {
        for table in lake.tables(&schema).await? {
            // A table that cannot be read is not upkeep's to tell.
            let Ok(snapshot) = lake.table(&schema, &table).await else { continue };
            let quoted = format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), table.replace('"', "\"\""));
            let (files, bytes) = (snapshot.file_count(), snapshot.size_bytes());
            let name = snapshot.name().to_owned();
            if files >= SMALL_FILES_MIN && bytes / (files as u64) < SMALL_FILE_BYTES {
                run(engine, &session, &name, "OPTIMIZE", &quoted).await;
            }
            let due = vacuumed.get(&name).is_none_or(|last| last.elapsed() >= VACUUM_EVERY);
            if engine.config().upkeep_vacuum && due {
                run(engine, &session, &name, "VACUUM", &quoted).await;
                vacuumed.insert(name, Instant::now());
            }
        }
    }
    Ok(())
}

async fn run(engine: &Arc<Engine>, session: &Session, table: &str, action: &'static str, quoted: &str) {
    let waited = Instant::now();
    while engine.statements_active() > 0 && waited.elapsed() < YIELD_MAX {
        tokio::time::sleep(YIELD_STEP).await;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let error = session.execute(&format!("{action} {quoted}")).await.err();
    if let Some(error) = &error {
        tracing::warn!(table, action, %error, "upkeep failed");
    }
    engine.upkeep().push(Record {
        table: table.to_owned(),
        action,
        started_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        error: error.map(|error| error.message),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineConfig;

    #[tokio::test]
    async fn a_table_of_many_small_files_is_compacted_once() {
        let config = EngineConfig { threads: 1, upkeep_vacuum: true, ..EngineConfig::default() };
        let engine = Engine::open("memory://", config).await.unwrap();
        let session = engine.session();
        session.execute("CREATE TABLE few AS SELECT 1 AS id").await.unwrap();
        session.execute("CREATE TABLE \"Many\" (id BIGINT)").await.unwrap();
        for id in 0..SMALL_FILES_MIN {
            session.execute(&format!("INSERT INTO \"Many\" VALUES ({id})")).await.unwrap();
        }
        let mut vacuumed = HashMap::new();
        for _ in 0..2 {
            pass(&engine, &mut vacuumed).await.unwrap();
            assert_eq!(engine.lake().table("main", "Many").await.unwrap().file_count(), 1);
        }
        let done: Vec<_> =
            engine.upkeep().all().into_iter().map(|record| (record.table, record.action, record.error)).collect();
        let of = |table: &str, action| (table.to_owned(), action, None);
        assert_eq!(done, [of("main.Many", "OPTIMIZE"), of("main.Many", "VACUUM"), of("main.few", "VACUUM")]);
    }
}
