//! The move of what is old into the cold tier, one partition after the other.
//!
//! Writers win: a partition whose files changed meanwhile is tried again on the newest version, a few times, and then left to
//! the next run. Each partition that was old when a run began has its turn once, whatever becomes of it, so a run ends. Those
//! that failed when they were tried last come last: what fails for ever keeps no others from their turn.

use std::{sync::Arc, time::Duration};

use boathouse_storage::{
    Snapshot,
    maintain::{self, Optimized, Pace, Partition, TierPolicy, TierSize},
    write::CommitInfo,
};
use datafusion::execution::SessionState;

use crate::{
    Engine, EngineError,
    session::Pins,
    statement::Context,
    upkeep::{Begun, Size, on_cpu, wait_for_turn},
};

/// In `system.upkeep`.
const ACTION: &str = "TIER";
/// How often the move of a partition is tried in a run.
const TRIES_MAX: u32 = 3;
/// After so many partitions that failed, not because writers won, the rest of the table is left to the next run: it would
/// most likely fail the same way, each time after all its files were written.
const FAULTS_MAX: usize = 3;
/// Between two tries, as many times as there were.
const WAIT: Duration = Duration::from_millis(200);

/// What became of one partition.
#[derive(Debug)]
pub struct Cooled {
    /// `schema.table`
    pub table: String,
    pub partition: Partition,
    /// What was old when the run began.
    pub old: TierSize,
    /// What was moved; an error leaves what was moved until then, and the rest to the next run.
    pub moved: Result<Optimized, EngineError>,
}

/// A run over the tables of a lake.
#[derive(Debug, Clone, Copy)]
pub struct TierRun<'a> {
    /// `schema.table`, or a name in `main`; all tables that have a policy when it is `None`.
    pub table: Option<&'a str>,
    /// Milliseconds since 1970, UTC: how old rows are is told from here.
    pub now_ms: i64,
}

impl Engine {
    /// Moves what is old into the cold tier and tells `each` of every partition as it ends, also of those that failed, and of
    /// tables whose policy cannot be carried out. An error when the tables cannot be found, or the one that was named has no
    /// policy. Queries, statements and other runs may go on meanwhile.
    pub async fn cool(
        self: &Arc<Self>,
        run: TierRun<'_>,
        each: &mut (dyn FnMut(Cooled) + Send),
    ) -> Result<(), EngineError> {
        let session = self.session();
        // In the order in which the rows lie.
        session.execute("SET target_partitions = 1").await?;
        let state = Context::new(self, &session, "TIER", &Pins::new()).state;
        for table in self.tables_for_tiers(run.table).await? {
            let cooled = self.cool_one(&table, run, &state, each).await;
            match cooled {
                // The other tables have their turn.
                Err(error) if run.table.is_none() => each(Cooled {
                    table: table.name().to_owned(),
                    partition: Partition::default(),
                    old: TierSize::default(),
                    moved: Err(error),
                }),
                cooled => cooled?,
            }
        }
        Ok(())
    }

    async fn cool_one(
        self: &Arc<Self>,
        table: &Arc<Snapshot>,
        run: TierRun<'_>,
        state: &Arc<SessionState>,
        each: &mut (dyn FnMut(Cooled) + Send),
    ) -> Result<(), EngineError> {
        let policy = TierPolicy::of(table).map_err(|reason| {
            let error = EngineError::invalid(format!("table \"{}\" has no policy to go by: {reason}", table.name()));
            error.with_hint("ALTER TABLE t SET TIER (...) makes one, UNSET TIER takes it away.")
        })?;
        if policy.is_none() && run.table.is_some() {
            let error = EngineError::invalid(format!("table \"{}\" has no tier policy", table.name()));
            return Err(error.with_hint("ALTER TABLE t SET TIER (cold_after = '90 days', on = column) makes one."));
        }
        cool_table(self, table, (state, &Pace::default()), (run.now_ms, usize::MAX), each).await
    }
}

/// Moves what is old of one table, of as many partitions as `most`; a table without a policy stays as it is.
pub(crate) async fn cool_table(
    engine: &Arc<Engine>,
    table: &Arc<Snapshot>,
    (state, pace): (&Arc<SessionState>, &Pace),
    (now_ms, most): (i64, usize),
    each: &mut (dyn FnMut(Cooled) + Send),
) -> Result<(), EngineError> {
    let (mut moves, mut faults) = (0, 0);
    let policy = TierPolicy::of(table).map_err(EngineError::invalid)?;
    let Some(policy) = policy else { return Ok(()) };
    let mut found = maintain::tiers_of(engine.lake(), table, Some(&policy), now_ms)?;
    found.retain(|tiers| tiers.old.files > 0);
    let failed = engine.upkeep().failed_last(table.name(), ACTION);
    found.sort_by_cached_key(|tiers| failed.contains(&tiers.partition.to_string()));
    for tiers in found {
        if moves == most || faults == FAULTS_MAX {
            break;
        }
        wait_for_turn(engine).await;
        let begun = Begun::new(engine.upkeep(), table.name(), ACTION).of(&tiers.partition.to_string());
        let moved = cool_partition(engine, table, &tiers.partition, (state, pace), now_ms).await;
        match &moved {
            Ok(_) => moves += 1,
            Err(error) if error.kind == crate::ErrorKind::Conflict => {}
            Err(_) => faults += 1,
        }
        let told = match &moved {
            Ok(moved) => Ok(moved.version.map(|_| Size { files: moved.files_added, bytes: moved.bytes_added })),
            Err(error) => Err(EngineError::new(error.kind, error.message.as_str())),
        };
        begun.ended(Some(Size { files: tiers.old.files, bytes: tiers.old.bytes }), told);
        each(Cooled { table: table.name().to_owned(), partition: tiers.partition, old: tiers.old, moved });
    }
    Ok(())
}

async fn cool_partition(
    engine: &Arc<Engine>,
    table: &Arc<Snapshot>,
    partition: &Partition,
    (state, pace): (&Arc<SessionState>, &Pace),
    now_ms: i64,
) -> Result<Optimized, EngineError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let newest = engine.lake().table_at(table.location(), None).await?;
        // A table of that name that came since has files, and perhaps a policy, of its own.
        let policy = if newest.id() == table.id() { TierPolicy::of(&newest) } else { Ok(None) };
        let Some(policy) = policy.map_err(EngineError::invalid)? else { return Ok(Optimized::default()) };
        let info = CommitInfo { statement: Some(format!("TIER {}", newest.name())), ..CommitInfo::default() };
        let (lake, partition, state, pace) = (engine.lake().clone(), partition.clone(), state.clone(), pace.clone());
        let work =
            async move { maintain::cool(&lake, &newest, &partition, (&policy, now_ms), (state, &pace), &info).await };
        match on_cpu(engine, work).await {
            Err(error) if error.kind == crate::ErrorKind::Conflict && tried < TRIES_MAX => {
                tokio::time::sleep(WAIT * tried).await;
            }
            ended => return ended,
        }
    }
}
