//! The commits of a run: one, or one an interval.
//!
//! ```text
//! done: ├────────────────┤ lookback │    new, oldest first   │ not over yet
//!       first            └──again, when inputs changed──┘
//! ```
//! What is done stands in the commits themselves (`ledger`). A run that ends between two of them is gone on with by the next.

use std::sync::Arc;

use boathouse_storage::{Snapshot, StorageError, catalog::MartTest, write::Publication};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::{
    PROGRAM, fingerprint,
    interval::Interval,
    ledger::{DONE, Ledger, NOTHING, SEEN},
    outcome::Report,
    plan::published,
    project::{Mart, Project},
    run::{Mode, Running, is_there},
    strategy::Strategy,
    test::{Check, OnViolation, Test},
    test_sql::{SAMPLES, quoted},
};
use crate::{EngineError, statement::Context};

/// One commit of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Of a mart with intervals.
    pub interval: Option<Interval>,
    /// It is the run's first.
    pub first: bool,
    /// With it the run is done.
    pub last: bool,
    /// It makes the table, or makes it anew.
    pub anew: bool,
    /// Rows of the run before may stay, where they are what this run would make.
    pub keeps: bool,
    /// With it the intervals of the lookback are done for the inputs of this number.
    pub seen: Option<i64>,
}

impl Project {
    /// What a run has to do; nothing when the table says that it is done. `inputs` stands for definition and inputs.
    pub(super) fn steps(&self, mart: &Mart, target: Option<&Snapshot>, inputs: Option<i64>, mode: Mode) -> Vec<Step> {
        let anew = target.is_none() || mode == Mode::Anew;
        let keeps = mode == Mode::Stale && !anew;
        let step = Step { interval: None, first: false, last: false, anew: false, keeps, seen: None };
        let mut steps = match &mart.definition.interval {
            None => {
                let is_done = mode == Mode::Stale && inputs.is_some_and(|number| is_there(target, number).is_some());
                if is_done { Vec::new() } else { vec![step] }
            }
            Some(intervals) => {
                let known = target.filter(|_| !anew);
                let done = Ledger::of(known.and_then(|table| table.transaction(DONE)), intervals);
                let seen = known.and_then(|table| table.transaction(SEEN));
                let again = match mode {
                    Mode::Backfill { from_ms, to_ms } => done.done_within(intervals, from_ms, to_ms),
                    Mode::Stale if seen.is_some() && seen == inputs => Vec::new(),
                    Mode::Stale | Mode::Forced | Mode::Anew => done.again(intervals),
                };
                let left = match mode {
                    Mode::Backfill { .. } => Vec::new(),
                    _ => done.left(intervals, self.options.clock.now_ms()),
                };
                let seen = inputs.filter(|_| !matches!(mode, Mode::Backfill { .. }));
                let seen_from = again.len().saturating_sub(1);
                let all = again.into_iter().chain(left).enumerate();
                let mut steps: Vec<Step> = all
                    .map(|(n, interval)| Step {
                        interval: Some(interval),
                        seen: seen.filter(|_| n >= seen_from),
                        ..step
                    })
                    .collect();
                if steps.is_empty() && anew {
                    steps.push(Step { interval: Some(intervals.empty()), ..step });
                }
                steps
            }
        };
        if let Some(first) = steps.first_mut() {
            (first.first, first.anew) = (true, anew);
        }
        if let Some(last) = steps.last_mut() {
            last.last = true;
        }
        steps
    }

    /// How a mart is run: one whose rows all are those of its last run, and are no more, because somebody else changed the
    /// table since, is not up to date, whatever its inputs are. Where rows stay, others' rows stay, too.
    pub(super) async fn mode_now(
        &self,
        mart: &Mart,
        target: Option<&Snapshot>,
        inputs: Option<i64>,
        mode: Mode,
    ) -> Result<Mode, EngineError> {
        let is_whole = mode == Mode::Stale && mart.definition.strategy == Strategy::Full;
        let is_done = inputs.is_some_and(|number| is_there(target, number).is_some());
        match target.filter(|_| is_whole && is_done) {
            Some(table) if self.engine.lake().is_changed_behind(table, PROGRAM).await? => Ok(Mode::Forced),
            _ => Ok(mode),
        }
    }

    /// Whether a run of these inputs would be skipped.
    pub(super) async fn is_up_to_date(&self, mart: &Mart, target: &Snapshot, inputs: i64) -> Result<bool, EngineError> {
        let mode = self.mode_now(mart, Some(target), Some(inputs), Mode::Stale).await?;
        Ok(self.steps(mart, Some(target), Some(inputs), mode).is_empty())
    }

    /// Runs intervals of a mart again that are done and have time in common with a stretch of it, in milliseconds since
    /// 1970, UTC: oldest first, each with the inputs as they are now.
    pub async fn backfill(
        &self,
        name: &str,
        from_ms: i64,
        to_ms: i64,
        told: impl FnMut(&Report),
    ) -> Result<Vec<Report>, EngineError> {
        let (names, mode) = ([name.to_owned()], Mode::Backfill { from_ms, to_ms });
        for at in self.selected(&names)? {
            let mart = &self.marts[at];
            if mart.definition.interval.is_none() {
                let error = EngineError::invalid(format!("mart \"{name}\" has no intervals"));
                return Err(error.with_hint("boathouse mart run --force runs it again as a whole."));
            }
            let target = published(&self.engine, &mart.definition.name).await?;
            if target.is_none() || self.steps(mart, target.as_deref(), None, mode).is_empty() {
                let error = EngineError::invalid(format!("no interval of mart \"{name}\" is done in this time"));
                return Err(error.with_hint("boathouse mart run does those that are left; mart plan shows them."));
            }
        }
        self.run_as(&names, mode, told).await
    }
}

/// What tests that take rows found in one commit, added to what they found in those before.
pub(super) fn add(all: &mut Vec<MartTest>, found: Vec<MartTest>) {
    if all.is_empty() {
        *all = found;
        return;
    }
    for (all, found) in all.iter_mut().zip(found) {
        if all.violations == 0 {
            all.state = found.state;
        }
        all.violations += found.violations;
        all.samples.extend(found.samples);
        all.samples.truncate(SAMPLES);
    }
}

impl Running<'_> {
    /// All commits of the run. What was found is that of the last, or of the one that failed.
    pub(super) async fn write_all(&self, context: &Context) -> Result<(), EngineError> {
        let mut taken = Vec::new();
        for step in &self.steps {
            drop(std::mem::take(&mut *self.found.lock()));
            self.write(&context.again(), step, &mut taken).await.map_err(|error| match &step.interval {
                Some(interval) => {
                    EngineError { message: format!("interval {}: {}", interval.name(), error.message), ..error }
                }
                None => error,
            })?;
        }
        Ok(())
    }

    /// The tests that a commit has to pass: those of the definition that take no rows, and that the rows of a table which
    /// it makes lie in the interval, as those that come later must.
    pub(super) fn tests(&self, step: &Step) -> Arc<[Test]> {
        let definition = &self.mart.definition;
        // Before the last commit the table is not the one that the runs before have left.
        let is_early = |test: &Test| !step.last && test.is_of_history();
        let own = definition.tests.iter().filter(|test| !test.on_violation.takes_rows() && !is_early(test)).cloned();
        let inside = definition.replaced_by().zip(step.interval).filter(|_| step.anew).map(|(column, interval)| Test {
            line: 0,
            name: format!("interval({column})"),
            check: Check::Expect(interval.contains(&format!("mart.{}", quoted(column)))),
            on_violation: OnViolation::Fail,
        });
        own.chain(inside).collect()
    }

    /// What a commit says besides its rows when it follows `target`, and who looks at it before.
    pub(super) fn publication(
        &self,
        step: &Step,
        target: Option<&Arc<Snapshot>>,
        look: impl Fn(Arc<Snapshot>) -> BoxFuture<'static, Result<(), StorageError>> + Send + Sync + 'static,
    ) -> Result<Publication, EngineError> {
        let number = match step.last {
            true => self.run.number,
            false => fingerprint::number(&fingerprint::of([&self.run.id, "a part"])),
        };
        let told = self.told(step);
        let (Some(interval), Some(intervals)) = (&step.interval, &self.mart.definition.interval) else {
            let publication = Publication::new(PROGRAM, number, told, look);
            // Intervals that were done are so no more.
            let stale = target.is_some_and(|table| table.transaction(DONE).is_some_and(|done| done != NOTHING));
            return Ok(if stale { publication.with(DONE, NOTHING) } else { publication });
        };
        let said = target.filter(|_| !step.anew).and_then(|table| table.transaction(DONE));
        let ledger = Ledger::of(said, intervals);
        let done = ledger.with(interval);
        let done = done.ok_or_else(|| EngineError::internal("an interval that lies apart from those that are done"))?;
        // Rows of a partition that two intervals share would be lost with each of them.
        let is_apart = self.mart.definition.strategy == Strategy::PartitionOverwrite && ledger.is_news(interval);
        let (table, before, name) = (self.mart.definition.name(), target.cloned(), interval.name());
        let look = move |staged: Arc<Snapshot>| {
            let table = table.clone();
            // What is done was read in this version: another one may say something else.
            if staged.version() != before.as_ref().map_or(0, |table| table.version() + 1) {
                let source = "another version came between".into();
                return async move { Err(StorageError::Conflict { table, source }) }.boxed();
            }
            if is_apart && before.as_ref().is_some_and(|before| !staged.has_files_of(before)) {
                let reason = format!("interval {name} has rows in a partition of another interval");
                return async move { Err(StorageError::Refused { table, reason }) }.boxed();
            }
            look(staged)
        };
        let publication = Publication::new(PROGRAM, number, told, look).with(DONE, done.number());
        Ok(step.seen.into_iter().fold(publication, |publication, seen| publication.with(SEEN, seen)))
    }

    /// For the history of the table.
    pub(super) fn told(&self, step: &Step) -> serde_json::Value {
        let inputs: Vec<_> =
            self.run.inputs.iter().map(|input| json!({ "table": input.table, "version": input.version })).collect();
        let mut told = json!({
            "mart": self.mart.definition.name(),
            "run": self.run.id,
            "definition": self.run.definition,
            "inputs": inputs,
        });
        if let Some(basis) = &self.inputs.basis {
            told["basis"] = json!(basis);
        }
        if let Some(interval) = &step.interval {
            told["interval"] = json!({ "start": interval.start_text(), "end": interval.end_text() });
        }
        told
    }
}
