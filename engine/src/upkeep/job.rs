//! What upkeep does to one table, and how it lets queries go first.
//!
//! A job takes none of the statements' permits, so no statement waits for it. It has one thread, and before each batch of
//! rows it waits while statements run, though never long: a server that is never idle is kept up, too, slowly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_storage::{
    Followed, Snapshot,
    maintain::{self, Optimize, Optimized, Pace, Vacuum, Vacuumed},
    write::CommitInfo,
};
use datafusion::execution::SessionState;

use super::record::{Begun, Size};
use crate::{Engine, EngineError, tier};

/// A table with so many files of less than so many bytes on average is compacted.
pub(super) const SMALL_FILES_MIN: usize = 32;
const SMALL_FILE_BYTES: u64 = 16 << 20;
/// How long a job waits for statements to end before it begins, and before each batch.
const BEGIN_WAIT_MAX: Duration = Duration::from_secs(30);
const BATCH_WAIT_MAX: Duration = Duration::from_millis(100);
const WAIT_STEP: Duration = Duration::from_millis(5);

/// Waits while statements run or wait, but not longer than `most`.
pub(crate) async fn give_way(engine: &Engine, most: Duration) {
    let began = Instant::now();
    while engine.statements_active() > 0 && began.elapsed() < most {
        tokio::time::sleep(WAIT_STEP).await;
    }
}

/// Before a job.
pub(crate) async fn wait_for_turn(engine: &Engine) {
    give_way(engine, BEGIN_WAIT_MAX).await;
}

fn pace(engine: &Arc<Engine>) -> Pace {
    let engine = Arc::downgrade(engine);
    Pace::new(move || {
        let engine = engine.clone();
        Box::pin(async move {
            if let Some(engine) = engine.upgrade() {
                give_way(&engine, BATCH_WAIT_MAX).await;
            }
        })
    })
}

/// Many small files become few.
pub(super) async fn compact(engine: &Arc<Engine>, table: &Arc<Snapshot>, state: &Arc<SessionState>) {
    let size = Size::of(table);
    if table.file_count() < SMALL_FILES_MIN || size.bytes / size.files >= SMALL_FILE_BYTES {
        return;
    }
    wait_for_turn(engine).await;
    let begun = Begun::new(engine.upkeep(), table.name(), "OPTIMIZE");
    let request = Optimize { pace: pace(engine), ..Optimize::default() };
    let info = CommitInfo { statement: Some(format!("OPTIMIZE {}", table.name())), ..CommitInfo::default() };
    let (lake, table, state) = (engine.lake().clone(), table.clone(), state.clone());
    let work = async move { maintain::optimize(&lake, &table, &request, state, &info).await };
    let done = on_cpu(engine, work).await;
    begun.ended(
        Some(size),
        done.map(|done: Optimized| {
            let files = (size.files + done.files_added).saturating_sub(done.files_removed);
            let bytes = (size.bytes + done.bytes_added).saturating_sub(done.bytes_removed);
            done.version.map(|_| Size { files, bytes })
        }),
    );
}

/// Partitions of a table that one pass moves: the other tables, and other work, must not wait for all that ever was.
const COOLED_MAX: usize = 16;

/// What is old becomes cold, as the table's policy says.
pub(super) async fn cool(engine: &Arc<Engine>, table: &Arc<Snapshot>, state: &Arc<SessionState>, now_ms: i64) {
    let cooled = tier::cool_table(engine, table, (state, &pace(engine)), (now_ms, COOLED_MAX), &mut drop).await;
    if let Err(error) = cooled {
        Begun::new(engine.upkeep(), table.name(), "TIER").ended(None, Err(error));
    }
}

/// What is pinned near by has its copies, and what became too old to be gives them up. The table is read anew: it may have
/// been dropped while other jobs were done to it.
pub(super) async fn pin(engine: &Arc<Engine>, (schema, name): (&str, &str), shown: &str, now_ms: i64) {
    let begun = Begun::new(engine.upkeep(), shown, "PIN");
    let (lake, schema, name) = (engine.lake().clone(), schema.to_owned(), name.to_owned());
    let looked = on_cpu(engine, async move { lake.look_after_pins(&schema, &name, now_ms).await }).await;
    match looked {
        Ok(Some(done)) if done.made + done.gone > 0 => {
            let Followed { pinned, bytes_pinned, made, bytes_made, gone, bytes_gone } = done;
            let before = Size { files: pinned - made + gone, bytes: bytes_pinned - bytes_made + bytes_gone };
            begun.ended(Some(before), Ok(Some(Size { files: pinned, bytes: bytes_pinned })));
        }
        Ok(_) => {}
        Err(error) => begun.ended(None, Err(error)),
    }
}

/// A log that grew long since its last checkpoint, by other writers perhaps, gets one.
pub(super) async fn checkpoint(engine: &Arc<Engine>, table: &Arc<Snapshot>) {
    match maintain::checkpoint_due(engine.lake(), table).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return tracing::warn!(table = table.name(), %error, "upkeep could not look at a log"),
    }
    wait_for_turn(engine).await;
    let begun = Begun::new(engine.upkeep(), table.name(), "CHECKPOINT");
    let (lake, of) = (engine.lake().clone(), table.clone());
    let done = on_cpu(engine, async move { maintain::write_checkpoint(&lake, &of).await }).await;
    begun.ended(None, done.map(|()| Some(Size::of(table))));
}

/// Deletes files that no version needs: within the retention, or, of orphans alone, at all.
pub(super) async fn vacuum(engine: &Arc<Engine>, schema: &str, name: &str, table: &Snapshot, only_orphans: bool) {
    wait_for_turn(engine).await;
    let begun = Begun::new(engine.upkeep(), table.name(), if only_orphans { "ORPHANS" } else { "VACUUM" });
    let request = Vacuum { only_orphans, ..Vacuum::default() };
    let (lake, schema, name) = (engine.lake().clone(), schema.to_owned(), name.to_owned());
    deleted(begun, on_cpu(engine, async move { maintain::vacuum(&lake, &schema, &name, &request).await }).await);
}

/// Deletes what those left who died while they made tables with their rows.
pub(super) async fn clear_begun(engine: &Arc<Engine>) {
    let begun = match maintain::begun(engine.lake()).await {
        Ok(begun) => begun,
        Err(error) => return tracing::warn!(%error, "upkeep could not look for tables that were begun"),
    };
    for table in begun {
        let job = Begun::new(engine.upkeep(), &table.to_string(), "ORPHANS");
        let lake = engine.lake().clone();
        deleted(job, on_cpu(engine, async move { maintain::clear_begun(&lake, &table, None).await }).await);
    }
}

/// Deletes what writers on a folder did not finish, outside of tables.
pub(super) async fn clear_staged(engine: &Arc<Engine>) {
    let job = Begun::new(engine.upkeep(), "lake", "ORPHANS");
    let lake = engine.lake().clone();
    deleted(job, on_cpu(engine, async move { maintain::clear_staged(&lake, None).await }).await);
}

/// Writes down which files are gone.
fn deleted(job: Begun<'_>, done: Result<Vacuumed, EngineError>) {
    let gone = |done: &Vacuumed| {
        let files = done.files.len() as u64;
        (files > 0).then(|| Size { files, bytes: done.files.iter().map(|(_, bytes)| bytes).sum() })
    };
    let before = done.as_ref().ok().and_then(gone);
    job.ended(before, done.map(|_| before.map(|_| Size { files: 0, bytes: 0 })));
}

/// Runs on the engine's threads, where plans have the stack that they need.
pub(crate) async fn on_cpu<T: Send + 'static>(
    engine: &Engine,
    work: impl Future<Output = Result<T, boathouse_storage::StorageError>> + Send + 'static,
) -> Result<T, EngineError> {
    Ok(engine.runtime().spawn(work).await??)
}
