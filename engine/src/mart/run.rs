//! A mart that is run: written, audited, published, or left alone.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot, StorageError,
    catalog::{MartCause, MartInput, MartRun, MartRunState, MartTest},
    write::Publication,
};
use datafusion::{catalog::view::ViewTable, sql::sqlparser::ast::Query};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    PROGRAM,
    anomaly::Known,
    audit::{Audited, audit},
    due::Cause,
    fingerprint,
    jobs::Job,
    lease::{Lease, OfRun},
    outcome::Outcome,
    plan::{Inputs, published},
    point::Point,
    project::{Mart, Project},
    publish, quarantine, scd2,
    steps::{self, Step},
    strategy::Strategy,
    test::Test,
    test_sql::quoted,
    turn::{Gate, Wish},
};
use crate::{
    EngineError, ErrorKind, Origin,
    catalog::TableName,
    parser::Ast,
    queries::Phase,
    session::Pins,
    statement::{Context, Statement, replay::Replays},
};

/// The rows of a run before they are in the table, for tests that take some of them away.
const ROWS: &str = "rows of a mart";

impl Project {
    pub(super) async fn run_one(&self, job: Job, pins: Pins) -> Result<Ran, EngineError> {
        let Job { at, cause, mode } = job;
        let mart = &self.marts[at];
        let name = mart.definition.name();
        let inputs = Inputs::of(&mart.context(&self.engine, &pins), mart).await?;
        let id = Uuid::new_v4().to_string();
        let told = inputs.number();
        // What cannot be told from its inputs is published under the name of its tick, or of its run, and so is one of several
        // commits.
        let whole = told.filter(|_| mart.definition.interval.is_none());
        let number = whole.unwrap_or_else(|| {
            fingerprint::number(&match cause.cause {
                MartCause::Tick(tick) => fingerprint::of([&mart.definition.fingerprint, "tick", &tick.to_string()]),
                MartCause::Person | MartCause::Commit => fingerprint::of([&id]),
            })
        });
        let run = MartRun { id, number, ..self.begun(mart, inputs.tables.clone(), number, cause) };
        let wish = Wish { mart, mode, told, run };
        let target = published(&self.engine, &mart.definition.name).await?;
        let steps = self.wanted_steps(&wish, target.as_deref()).await?;
        let before = target.as_deref().map(Snapshot::version);
        let there = before.filter(|_| steps.is_empty());
        // A lease may be what a process left that ended behind its commit: then how its run went is still to be told.
        if let Some(version) = there
            && self.engine.lake().mart(&name).await?.lease.is_none()
        {
            return Ok(Ran { pins: inputs.pins, ..Ran::of(Outcome::Skipped { version }) });
        }
        let pins: Pins = inputs.pins.iter().cloned().chain(pins).collect();
        let (run, found, gate) = (wish.run.clone(), Arc::default(), Gate::new(true));
        let running = Running { project: self, mart, inputs: &inputs, pins, run, steps, found, before, gate };
        let ran = self.in_turn(&wish, running, target.as_ref(), there).boxed().await?;
        Ok(Ran { pins: inputs.pins, ..ran })
    }

    /// A process that ended behind its commit did not write down how its run went.
    pub(super) async fn tell_what_was_left(
        &self,
        mart: &Mart,
        left: Option<MartRun>,
        target: Option<&Snapshot>,
    ) -> Result<(), EngineError> {
        let Some(left) = left else { return Ok(()) };
        let published = is_there(target, left.number);
        let (state, error) = match published {
            Some(_) => (MartRunState::Succeeded, None),
            None => (MartRunState::Failed, Some("the process that ran it ended".to_owned())),
        };
        // Whoever took it over may end in its midst, too.
        let again = published.is_none() && left.cause != MartCause::Person;
        let retry = mart.definition.retry.wait(left.attempt).filter(|_| again);
        let retry_ms = retry.map(|_| self.options.clock.now_ms());
        let run = MartRun { state, error, version: published, retry_ms, ..left };
        self.engine.lake().change_mart(&mart.definition.name(), |document| document.push(run.clone())).await?;
        Ok(())
    }

    pub(super) fn begun(&self, mart: &Mart, inputs: Vec<MartInput>, number: i64, cause: Cause) -> MartRun {
        let now = self.options.clock.now_ms();
        MartRun {
            id: Uuid::new_v4().to_string(),
            started_ms: now,
            ended_ms: now,
            number,
            definition: mart.definition.fingerprint.clone(),
            inputs,
            cause: cause.cause,
            attempt: cause.attempt,
            ..MartRun::default()
        }
    }
}

/// Which marts of a run are run, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Those whose definition or inputs changed.
    Stale,
    /// All.
    Forced,
    /// All, and nothing stays of their rows.
    Anew,
    /// Those intervals that are done and have time in common with this one, in milliseconds since 1970.
    Backfill { from_ms: i64, to_ms: i64 },
}

/// The version of a table that holds the run of this number.
pub(super) fn is_there(target: Option<&Snapshot>, number: i64) -> Option<u64> {
    target.filter(|table| table.transaction(PROGRAM) == Some(number)).map(Snapshot::version)
}

/// What became of one mart.
pub(super) struct Ran {
    pub outcome: Outcome,
    pub tests: Vec<MartTest>,
    pub intervals: usize,
    /// What it read.
    pub pins: Pins,
    /// The task that gives the lease back and writes down how it went, where there is one: no row waits for it.
    pub telling: Option<JoinHandle<()>>,
}

impl Ran {
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, tests: Vec::new(), intervals: 0, pins: Pins::new(), telling: None }
    }
}

/// What the audit found, and in which version.
#[derive(Default)]
pub(super) struct Found {
    pub version: Option<u64>,
    audited: Audited,
    error: Option<EngineError>,
}

/// A mart whose lease is held.
pub(super) struct Running<'a> {
    pub project: &'a Project,
    pub mart: &'a Mart,
    pub inputs: &'a Inputs,
    pub pins: Pins,
    pub run: MartRun,
    pub steps: Vec<Step>,
    pub found: Arc<Mutex<Found>>,
    /// The version of the mart's table before.
    pub before: Option<u64>,
    /// Nothing is published before it is open.
    pub gate: Gate,
}

impl Running<'_> {
    pub(super) async fn carry_out(&self) -> Result<(), EngineError> {
        // Before its turn: these statements wait for one of their own.
        self.prepare().await?;
        self.pass(Point::RunBegun);
        self.make().await
    }

    async fn prepare(&self) -> Result<(), EngineError> {
        let (engine, schema) = (&self.project.engine, &self.mart.definition.name.schema);
        match engine.lake().catalog(schema).await {
            Ok(_) => {}
            Err(StorageError::SchemaNotFound { .. }) => {
                let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
                engine.session().execute(&sql).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.comment().await
    }

    /// Makes the rows and publishes them, when the gate is open.
    pub(super) async fn make(&self) -> Result<(), EngineError> {
        let (engine, name) = (&self.project.engine, &self.mart.definition.name);
        let live = engine.queries().begin(&Origin::default(), &format!("MART RUN {name}"), Phase::Queued);
        live.is_a("MART");
        let permit = Arc::new(engine.permits().acquire(None, live).await?);
        let context = self.mart.context(engine, &self.pins).for_run(permit.clone());
        self.project.caller.may_stop(context.stop.clone());
        let written = permit.bound(self.write_all(&context)).await;
        match &written {
            Ok(()) => permit.live().done(),
            Err(error) => permit.live().failed(error),
        }
        written
    }

    /// Gives a table that keeps its rows the comments of the definition, which a table made anew has from the start.
    async fn comment(&self) -> Result<(), EngineError> {
        let (engine, definition) = (&self.project.engine, &self.mart.definition);
        if !definition.strategy.keeps_rows() || self.steps.iter().any(|step| step.anew) {
            return Ok(());
        }
        let Some(target) = published(engine, &definition.name).await? else { return Ok(()) };
        for sql in publish::comments(definition, &self.mart.columns, &target) {
            engine.session().execute(&sql).await?;
        }
        Ok(())
    }

    /// `taken`: what tests that take rows found in the commits before.
    pub(super) async fn write(
        &self,
        context: &Context,
        step: &Step,
        taken: &mut Vec<MartTest>,
    ) -> Result<(), EngineError> {
        let definition = &self.mart.definition;
        let query = definition.query_of(step.interval.as_ref())?;
        steps::add(taken, self.take_rows(context, step, &query).await?);
        let taken = taken.clone();
        let now_ms = self.project.options.clock.now_ms();
        let tests = self.tests(step);
        let known = match tests.iter().any(Test::is_of_history) {
            true => Known::of(&*self.project.engine.lake().mart(&definition.name()).await?, false),
            false => Known::default(),
        };
        let known = Arc::new(known);
        let (found, name, looking) = (self.found.clone(), definition.name.clone(), context.clone());
        let (points, gate) = (self.project.options.points.clone(), self.gate.clone());
        let look = move |staged: Arc<Snapshot>| {
            let (found, name, tests, points) = (found.clone(), name.clone(), tests.clone(), points.clone());
            let (looking, taken, known, gate) = (looking.clone(), taken.clone(), known.clone(), gate.clone());
            async move {
                gate.passed().await;
                points.pass(Point::RowsWritten);
                let audited = match staged.row_count().filter(|_| tests.is_empty()) {
                    Some(rows) => Ok(Audited { rows, tests: Vec::new() }),
                    None => {
                        let context = looking.again();
                        context.pinned.keep_provider(name.clone(), staged.provider()?);
                        audit(&context, &name, &tests.iter().collect::<Vec<_>>(), &known, now_ms).await
                    }
                };
                let refused = match &audited {
                    Ok(audited) => audited.refusal(),
                    Err(error) => Some(error.message.clone()),
                };
                {
                    let mut found = found.lock();
                    found.version = Some(staged.version());
                    match audited {
                        Ok(mut audited) => {
                            audited.tests.extend(taken);
                            found.audited = audited;
                        }
                        Err(error) => found.error = Some(error),
                    }
                }
                let table = name.to_string();
                if refused.is_none() {
                    points.pass(Point::RowsTested);
                }
                refused.map_or(Ok(()), |reason| Err(StorageError::Refused { table, reason }))
            }
            .boxed()
        };
        let violations = publish::violations(definition.tests.iter().filter(|test| test.on_violation.takes_rows()));
        let query = publish::without(query, &violations)?;
        self.publish(context, step, query, look).await
    }

    /// Publishes the rows of `query`, again on the newest version when another writer was faster.
    async fn publish(
        &self,
        context: &Context,
        step: &Step,
        query: Query,
        look: impl Fn(Arc<Snapshot>) -> BoxFuture<'static, Result<(), StorageError>> + Clone + Send + Sync + 'static,
    ) -> Result<(), EngineError> {
        let (engine, definition) = (&self.project.engine, &self.mart.definition);
        let mut replays = Replays::default();
        loop {
            let target = published(engine, &definition.name).await?;
            // Rows go into the table that was there at first; one that came or changed since waits for the turn, for a
            // statement that makes a table shows before its commit.
            if target.as_deref().map(Snapshot::version) != self.before {
                self.gate.passed().await;
            }
            if step.keeps
                && definition.strategy == Strategy::Full
                && let Some(written) = self.write_changes(context, step, target.as_ref(), look.clone()).await
            {
                if written.is_ok() {
                    self.pass(Point::RowsPublished);
                }
                if !replays.next(context, written.as_ref().err()).await {
                    return written.map_err(|error| self.found.lock().error.take().unwrap_or(error));
                }
                continue;
            }
            let context = context.again().publishing(self.publication(step, target.as_ref(), look.clone())?);
            let target = target.as_deref();
            let ast = match step.anew {
                true => publish::made(definition, &self.mart.columns, target, query.clone(), self.run.started_ms)?,
                false => {
                    let interval = step.interval.as_ref();
                    let (query, now_ms) = (query.clone(), self.run.started_ms);
                    publish::statement(definition, &self.mart.columns, target, query, interval, now_ms)?
                }
            };
            let written = carry_out(&context, ast).await;
            if written.is_ok() {
                self.pass(Point::RowsPublished);
            }
            if !replays.next(&context, written.as_ref().err()).await {
                return written.map_err(|error| self.found.lock().error.take().unwrap_or(error));
            }
        }
    }

    /// Looks for rows that tests keep out of the table, and puts those that are to be kept elsewhere there.
    async fn take_rows(&self, context: &Context, step: &Step, query: &Query) -> Result<Vec<MartTest>, EngineError> {
        let definition = &self.mart.definition;
        let tests: Vec<&Test> = definition.tests.iter().filter(|test| test.on_violation.takes_rows()).collect();
        if tests.is_empty() {
            return Ok(Vec::new());
        }
        let looking = context.again();
        let plan = looking.analyze(looking.plan_query(query.clone()).await?)?;
        let rows = TableName::new(&definition.name.schema, ROWS);
        looking.pinned.keep_provider(rows.clone(), Arc::new(ViewTable::new(plan, None)));
        let audited = audit(&looking, &rows, &tests, &Known::default(), self.project.options.clock.now_ms()).await?;
        if !quarantine::tests(definition).is_empty() {
            self.quarantine(context, step, query).await?;
            self.pass(Point::RowsPutAside);
        }
        Ok(audited.tests)
    }

    /// A run's first commit puts the rows in place of those of the run before, the others add theirs.
    async fn quarantine(&self, context: &Context, step: &Step, query: &Query) -> Result<(), EngineError> {
        let definition = &self.mart.definition;
        let publication =
            Publication::new(quarantine::PROGRAM, self.run.number, self.told(step), |_| async { Ok(()) }.boxed());
        let context = context.publishing(publication);
        let mut replays = Replays::default();
        loop {
            let (context, query) = (context.again(), query.clone());
            let ast = quarantine::statement(
                definition,
                scd2::given(definition, &self.mart.columns),
                query,
                &self.run.id,
                !step.first,
            )?;
            let written = carry_out(&context, ast).await;
            if !replays.next(&context, written.as_ref().err()).await {
                return written;
            }
        }
    }

    pub(super) fn pass(&self, point: Point) {
        self.project.options.points.pass(point);
    }

    /// When a server is to try again: where the fault is none of the definition, the rows or the person.
    fn retry_ms(&self, error: &EngineError, run: &MartRun) -> Option<i64> {
        let comes_back = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Conflict | ErrorKind::Exhausted);
        if run.cause == MartCause::Person || !comes_back {
            return None;
        }
        let wait = self.mart.definition.retry.wait(run.attempt)?;
        Some(run.ended_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The version that the run made although it ended with an error: it may have been given up in the midst of its commit.
    async fn came_through(&self, run: &MartRun) -> Option<u64> {
        let table = published(&self.project.engine, &self.mart.definition.name).await.ok()??;
        is_there(Some(&table), run.number).filter(|version| self.before.is_none_or(|before| *version > before))
    }

    /// How the run went. It is written down, and the lease given back, by a task of its own that the caller may wait for.
    pub(super) async fn end(&self, lease: Lease<OfRun>, ended: Result<(), EngineError>) -> Ran {
        let found = std::mem::take(&mut *self.found.lock());
        let Audited { rows, tests } = found.audited;
        let mut run = MartRun { ended_ms: self.project.options.clock.now_ms(), rows, tests, ..self.run.clone() };
        let outcome = match ended {
            Ok(()) => {
                let version = found.version.unwrap_or_default();
                (run.state, run.version) = (MartRunState::Succeeded, Some(version));
                Outcome::Succeeded { rows, version }
            }
            Err(error) => {
                match self.came_through(&run).await {
                    Some(version) => (run.state, run.version) = (MartRunState::Succeeded, Some(version)),
                    None => {
                        (run.state, run.error) = (MartRunState::Failed, Some(error.to_string()));
                        run.retry_ms = self.retry_ms(&error, &run);
                    }
                }
                Outcome::Failed(error)
            }
        };
        let intervals = match outcome {
            Outcome::Succeeded { .. } => self.steps.iter().filter(|step| step.interval.is_some()).count(),
            _ => 0,
        };
        let (tests, mart, points) = (run.tests.clone(), self.mart.told(), self.project.options.points.clone());
        // At once, and on its own: the lease has no beat any more, and whoever waits for the run may go away.
        let telling = tokio::spawn(async move {
            // The rows are right whether or not this can be written; then the next run tells what it found.
            if let Err(error) = lease.end(Some(&run), &mart).await {
                let mart = lease.of().mart.as_str();
                tracing::warn!(mart, %error, "how a run went could not be written down");
            }
            points.pass(Point::RunTold);
        });
        Ran { outcome, tests, intervals, pins: Pins::new(), telling: Some(telling) }
    }
}

/// Plans a statement and runs it.
pub(super) async fn carry_out(context: &Context, ast: Ast) -> Result<(), EngineError> {
    Statement::plan(context, ast).await?.run_planned(context).await.map(drop)
}
