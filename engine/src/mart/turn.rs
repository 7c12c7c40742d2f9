//! Whose turn a run is: the lease, and what is looked at again once it is held.
//!
//! ```text
//! what is to be done ─┬─> lease, a second look ────────────────────────> ours, nothing changed: the gate opens
//!                     └─> rows of the query into files, up to the gate ──> tests, commit
//! ```
//! To write a lease takes as long as to write a small file, so the rows are made meanwhile, where nobody can see any of it:
//! the gate is before the first look at the files, and so before any commit. What was begun for nothing is dropped, and
//! its files go.

use std::{pin::pin, sync::Arc};

use boathouse_storage::{Snapshot, catalog::MartRun};
use futures::{
    FutureExt,
    future::{Either, select},
};
use tokio::sync::{Notify, watch};

use super::{
    lease::{Lease, OfRun, Taken, Taking},
    outcome::Outcome,
    plan::published,
    point::Point,
    project::{Mart, Project},
    publish::is_defined_so,
    run::{Mode, Ran, Running, is_there},
    steps::Step,
    stored::is_gone,
    strategy::Strategy,
    test::Test,
};
use crate::{EngineError, ErrorKind};

/// Holds a run's commits back until it is known that the run is ours. Clones are the same gate.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub fn new(is_open: bool) -> Self {
        Self(Arc::new(watch::Sender::new(is_open)))
    }

    fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when it is open: never, when the run turns out not to be ours. Whoever waits is dropped then.
    pub async fn passed(&self) {
        let mut open = self.0.subscribe();
        // The sender is there as long as this.
        let _ = open.wait_for(|open| *open).await;
    }
}

/// A run that is wanted.
pub(super) struct Wish<'a> {
    pub mart: &'a Mart,
    pub mode: Mode,
    /// What stands for definition and inputs.
    pub told: Option<i64>,
    /// What its last commit will say.
    pub run: MartRun,
}

/// What came of a wish.
enum Turn {
    Ours(Ours),
    Not(Outcome),
}

/// A run that is ours, and what it has to do.
struct Ours {
    lease: Lease<OfRun>,
    target: Option<Arc<Snapshot>>,
    steps: Vec<Step>,
}

impl Project {
    /// What the run has to do when the mart's table is `target`.
    pub(super) async fn wanted_steps(
        &self,
        wish: &Wish<'_>,
        target: Option<&Snapshot>,
    ) -> Result<Vec<Step>, EngineError> {
        let Wish { mart, told, run, .. } = wish;
        let mode = self.mode_now(mart, target, *told, wish.mode).await?;
        let is_done_tick =
            told.is_none() && mart.definition.interval.is_none() && is_there(target, run.number).is_some();
        Ok(if is_done_tick { Vec::new() } else { self.steps(mart, target, *told, mode) })
    }

    /// Carries a run out when it is its turn. `running` is what it looked like before, when the table was `target`; `there`
    /// is the version that has its rows, if one has.
    pub(super) async fn in_turn(
        &self,
        wish: &Wish<'_>,
        running: Running<'_>,
        target: Option<&Arc<Snapshot>>,
        there: Option<u64>,
    ) -> Result<Ran, EngineError> {
        let is_early = running.may_begin(target.map(Arc::as_ref));
        let gate = Gate::new(!is_early);
        let running = Running { gate: gate.clone(), ..running };
        let given_up = Notify::new();
        let early = async {
            if !is_early {
                return None;
            }
            tokio::select! {
                // Who may have to wait for long goes on with nothing that was begun before.
                biased;
                () = given_up.notified() => None,
                ended = self.caller.waits(running.make().boxed()) => Some(ended),
            }
        };
        let (ours, ended) = {
            let mut early = pin!(early);
            let (turn, ended) = match select(self.turn(wish, there, &given_up).boxed(), early.as_mut()).await {
                Either::Left((turn, _)) => (turn, None),
                Either::Right((ended, turn)) => (turn.await, Some(ended)),
            };
            let ours = match turn? {
                Turn::Ours(ours) => ours,
                Turn::Not(outcome) => return Ok(Ran::of(outcome)),
            };
            let ended = match ended {
                // What fails before its turn, perhaps beside the run of another, is tried when it has come.
                Some(Some(Err(error))) if error.kind != ErrorKind::Cancelled => None,
                Some(ended) => ended,
                None if ours.is_as(target, &running.steps) => {
                    running.pass(Point::RunBegun);
                    gate.open();
                    self.held(&ours.lease, wish.mart, early).await
                }
                None => None,
            };
            (ours, ended)
        };
        if let Some(ended) = ended.filter(|_| ours.is_as(target, &running.steps)) {
            return Ok(running.end(ours.lease, ended).await);
        }
        let Ours { lease, target, steps } = ours;
        let before = target.as_deref().map(Snapshot::version);
        let running = Running { steps, before, found: Arc::default(), gate: Gate::new(true), ..running };
        let work = async { Some(self.caller.waits(running.carry_out().boxed()).await) };
        let ended = self.held(&lease, wish.mart, work).await;
        let ended = ended.unwrap_or_else(|| Err(EngineError::internal("a run without an end")));
        Ok(running.end(lease, ended).await)
    }

    /// Goes on with work as long as the lease is held and there is time.
    async fn held(
        &self,
        lease: &Lease<OfRun>,
        mart: &Mart,
        work: impl Future<Output = Option<Result<(), EngineError>>>,
    ) -> Option<Result<(), EngineError>> {
        tokio::select! {
            ended = work => ended,
            lost = lease.beat() => Some(Err(lost)),
            late = mart.too_long() => Some(Err(late)),
        }
    }

    /// Takes the lease and looks once more. `waits` is told when another process may be at it.
    async fn turn(&self, wish: &Wish<'_>, there: Option<u64>, waits: &Notify) -> Result<Turn, EngineError> {
        let (mart, lake, run) = (wish.mart, self.engine.lake(), &wish.run);
        let field = OfRun { lake: lake.clone(), mart: mart.definition.name(), run: run.clone() };
        let mut taking = Taking::new(field, self.options.lease);
        let taken = match taking.look().await? {
            Some(taken) => taken,
            None => {
                waits.notify_one();
                taking.taken().await?
            }
        };
        let (lease, left) = match taken {
            Taken::Ours(lease, left) => (lease, left),
            Taken::Busy { holder } => {
                let skipped = there.map(|version| Outcome::Skipped { version });
                return Ok(Turn::Not(skipped.unwrap_or(Outcome::Busy { holder })));
            }
        };
        self.options.points.pass(Point::RunTaken);
        let (target, steps) = match self.looked_again(wish, left).await {
            Ok(looked) => looked,
            Err(error) => {
                // Nobody waits for it to be found dead.
                lease.end(None, &mart.told()).await?;
                return Ok(Turn::Not(Outcome::Failed(error)));
            }
        };
        let over = match (steps.is_empty(), lease.is_late(run)) {
            (true, _) => {
                let version = target.as_deref().map(Snapshot::version).unwrap_or_default();
                Some(Outcome::Skipped { version })
            }
            (false, true) => Some(Outcome::Busy { holder: "one that has done with it".to_owned() }),
            (false, false) => None,
        };
        match over {
            Some(outcome) => {
                lease.end(None, &mart.told()).await?;
                Ok(Turn::Not(outcome))
            }
            None => Ok(Turn::Ours(Ours { lease, target, steps })),
        }
    }

    /// What is to be done now that the lease is held. `left` is the run of a process that ended in its midst.
    async fn looked_again(
        &self,
        wish: &Wish<'_>,
        left: Option<MartRun>,
    ) -> Result<(Option<Arc<Snapshot>>, Vec<Step>), EngineError> {
        let mart = wish.mart;
        let name = mart.definition.name();
        // DROP MART takes the definition away and then the lease: who takes one behind that finds it out here.
        if is_gone(self.engine.lake(), &mart.definition).await? {
            return Err(EngineError::not_found(format!("mart \"{name}\" was dropped meanwhile")));
        }
        // Another process may have published it between the look and the lease.
        let target = published(&self.engine, &mart.definition.name).await?;
        self.tell_what_was_left(mart, left, target.as_deref()).await?;
        let steps = self.wanted_steps(wish, target.as_deref()).await?;
        Ok((target, steps))
    }
}

impl Ours {
    /// Whether table and work are still these.
    fn is_as(&self, target: Option<&Arc<Snapshot>>, steps: &[Step]) -> bool {
        let which = |table: &Arc<Snapshot>| (table.id().to_owned(), table.version());
        self.steps == steps && self.target.as_ref().map(which) == target.map(which)
    }
}

impl Running<'_> {
    /// Whether its rows can be made before it is known to be ours: nothing of it is to be seen before its first commit.
    fn may_begin(&self, target: Option<&Snapshot>) -> bool {
        let (definition, columns) = (&self.mart.definition, &self.mart.columns);
        let Some(target) = target else { return false };
        let is_made_anew = definition.strategy == Strategy::Full && target.file_count() == 0;
        let puts_aside = definition.tests.iter().any(|test| test.on_violation.takes_rows());
        // What the last run found is known only behind it.
        let looks_back = definition.tests.iter().any(Test::is_of_history);
        let stays = !is_made_anew && !looks_back && !self.steps.iter().any(|step| step.anew);
        !self.steps.is_empty() && stays && !puts_aside && is_defined_so(definition, columns, target)
    }
}
