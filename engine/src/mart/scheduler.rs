//! A server's marts, run by themselves.
//!
//! ```text
//! every few seconds, and at each tick:
//!   folder, or those that statements made, changed? -> definitions
//!   each mart: a tick passed, or what it reads has other versions? -> due, by what the lake knows of its runs
//!   those that are due -> checked anew -> one run (order, pins, tests as for `mart run`), beside at most one other
//! ```
//! Nothing is kept but what saves looks: a second server, or one that was killed, comes to the same answers. A mart is run
//! under its lease, and its commit tells for which inputs or tick it was, so two servers never publish one twice.

mod lag;
mod late;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use boathouse_storage::{
    StorageError,
    catalog::{MartCause, MartRun, MartRunState},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::source::Source;
use super::{
    definition::Definition,
    due::{self, Cause, Due},
    export::{self, Exporter},
    fault::Fault,
    jobs::Job,
    notice::{self, Behind, Notice},
    outcome::{Outcome, Report},
    plan::published,
    project::{MartOptions, Project},
    refresh::Refresh,
    run::Mode,
};
use crate::{Engine, EngineError, catalog::TableName, upkeep::give_way};

/// How often definitions and the versions of what marts read are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// After this a mart that was blocked, or that another process runs, is looked at again.
const LOOK_AGAIN_MS: i64 = 30_000;
/// Runs at once.
const RUNS_MAX: usize = 2;
/// How long a run waits for statements to end before it begins.
const BEGIN_WAIT_MAX: Duration = Duration::from_secs(30);
/// The loop never turns faster.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs marts when their definitions say so. Dropping it ends what runs: nothing of that is published.
#[derive(Debug)]
pub struct Scheduler {
    engine: Arc<Engine>,
    options: MartOptions,
    source: Source,
    /// When it began.
    since_ms: i64,
    seen: HashMap<String, Seen>,
    /// What marts read, as far as they were ever checked.
    reads: HashMap<String, BTreeSet<TableName>>,
    runs: JoinSet<Vec<Ran>>,
    exports: Exporter,
    running: BTreeSet<String>,
    /// Faults that were told, so that each is told once.
    faults: Vec<String>,
    /// Who hears of marts that fail and recover.
    hears: Option<Hears>,
}

#[derive(Clone)]
struct Hears(Arc<dyn Fn(Notice) + Send + Sync>);

impl fmt::Debug for Hears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hears")
    }
}

/// What is known of a mart, to look less often.
#[derive(Debug, Default)]
struct Seen {
    /// Nothing is to be done any more for this tick and those before.
    tick: Option<i64>,
    /// What it read had these versions when it was last brought up to date, or could not be.
    versions: Option<Versions>,
    /// When what it reads was last found to have the versions that its rows are of.
    same_ms: Option<i64>,
    /// There is nothing to be done for this reason before this time.
    waits: Option<(MartCause, i64)>,
    /// The last notice that was told.
    told: Option<String>,
    /// Why it could not be run when that was last written down.
    cannot: Option<(MartCause, Option<String>)>,
}

impl Seen {
    /// Until when a change of what it reads is not looked at.
    fn waits_for_commit(&mut self, now_ms: i64) -> Option<i64> {
        self.waits = self.waits.filter(|(of, until_ms)| *of == MartCause::Commit && now_ms < *until_ms);
        self.waits.map(|(_, until_ms)| until_ms)
    }
}

type Versions = Vec<(TableName, Option<u64>)>;

/// A mart that is to run, and what it read had these versions then.
#[derive(Debug)]
struct Wanted {
    mart: String,
    cause: Cause,
    /// When it was looked at, in milliseconds since 1970, UTC.
    at_ms: i64,
    versions: Option<Versions>,
}

/// What became of it.
#[derive(Debug)]
struct Ran {
    wanted: Wanted,
    end: End,
    news: Option<Notice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its rows are those of its inputs.
    Good,
    /// For good, as far as this reason to run it goes.
    Failed,
    /// It is tried again when the lake says.
    Retried,
    /// It did not come to a run, or nothing could be written down of it.
    Later,
}

impl Scheduler {
    /// For the definitions that statements made, and those of a folder. Both are looked at again and again, and need not be
    /// there yet.
    pub fn new(engine: &Arc<Engine>, folder: Option<PathBuf>, options: MartOptions) -> Self {
        let since_ms = options.clock.now_ms();
        Self {
            engine: engine.clone(),
            exports: Exporter::new(engine, &options),
            options,
            source: Source::new(folder),
            since_ms,
            seen: HashMap::new(),
            reads: HashMap::new(),
            runs: JoinSet::new(),
            running: BTreeSet::new(),
            faults: Vec::new(),
            hears: None,
        }
    }

    /// `hears` is told of marts that fail and recover, once of each. It must not block.
    #[must_use]
    pub fn telling(mut self, hears: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.hears = Some(Hears(Arc::new(hears)));
        self.exports.is_heard();
        self
    }

    /// Runs marts until `stop` completes; then begins no more, and returns when those that run have ended. Must be called
    /// inside a runtime.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let next_ms = self.pass().await;
            let wait = next_ms.saturating_sub(self.options.clock.now_ms());
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default()).clamp(PAUSE, LOOK);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Some(ended) = self.runs.join_next() => self.ended(ended),
                () = self.exports.joined() => {}
                () = &mut stop => return self.settle().await,
            }
        }
    }

    /// Looks once, and begins the runs that are due. Returns when to look next, in milliseconds since 1970, UTC.
    pub async fn pass(&mut self) -> i64 {
        while let Some(ended) = self.runs.try_join_next() {
            self.ended(ended);
        }
        self.read_definitions().await;
        let now_ms = self.options.clock.now_ms();
        self.judge_freshness(now_ms).await;
        let mut next_ms = now_ms.saturating_add(i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX));
        let mut wanted = Vec::new();
        let definitions = self.source.definitions();
        let lags = self.lags(&definitions).await;
        for definition in definitions.iter() {
            let (Some(refresh), mart) = (&definition.refresh, definition.name()) else { continue };
            next_ms = refresh.next_tick(now_ms).map_or(next_ms, |tick| tick.min(next_ms));
            if self.running.contains(&mart) {
                continue;
            }
            let look = match refresh.lag {
                Some(_) => self.look_at_lag(definition, &lags, now_ms).await,
                None => self.look(definition, refresh, now_ms).await,
            };
            match look {
                Ok((Due::Now(cause), versions)) => wanted.push(Wanted { mart, cause, at_ms: now_ms, versions }),
                Ok((Due::At(at_ms), _)) => next_ms = next_ms.min(at_ms),
                Ok((Due::Done, _)) => {}
                Err(error) => tracing::warn!(mart, %error, "it could not be told whether a mart is to run"),
            }
        }
        if !wanted.is_empty() && self.runs.len() < RUNS_MAX {
            self.begin(wanted, now_ms).await;
        }
        let next_ms = self.exports.pass(&definitions, next_ms).await;
        self.exports.news().into_iter().for_each(|news| self.hear(Some(news)));
        next_ms
    }

    /// Waits for the runs and deliveries that were begun.
    pub async fn settle(&mut self) {
        while let Some(ended) = self.runs.join_next().await {
            self.ended(ended);
        }
        self.exports.settle().await;
    }

    /// What is wrong with definitions, each a text with file, line and cure.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    async fn read_definitions(&mut self) {
        if self.source.look(&self.engine).await {
            tracing::info!(marts = self.source.definitions().len(), "definitions of marts were read");
            // Another definition may make other rows of the same inputs.
            for seen in self.seen.values_mut() {
                *seen = Seen { tick: seen.tick, told: seen.told.take(), ..Seen::default() };
            }
            self.exports.refresh();
            self.check().await;
        } else if !self.source.faults().iter().all(|fault| self.faults.contains(fault)) {
            self.tell(Vec::new());
        }
    }

    /// The marts that can be run now, and what is wrong with others.
    async fn check(&mut self) -> (Project, Vec<Fault>) {
        let definitions = self.source.definitions().to_vec();
        let (project, faults) = Project::open_sound(&self.engine, definitions, self.options.of_server()).await;
        self.reads = project.marts.iter().map(|mart| (mart.definition.name(), mart.reads.clone())).collect();
        self.tell(faults.iter().map(ToString::to_string).collect());
        (project, faults)
    }

    /// Tells of faults of definitions, beside those of files, once of each.
    fn tell(&mut self, faults: Vec<String>) {
        let faults: Vec<String> = self.source.faults().iter().cloned().chain(faults).collect();
        let not_from_here = export::not_from_here(&self.source.definitions(), &self.options.destinations);
        let not_from_here: Vec<String> = not_from_here.iter().map(ToString::to_string).collect();
        for fault in faults.iter().filter(|fault| !self.faults.contains(fault)) {
            tracing::warn!("a mart cannot be run: {fault}");
        }
        for fault in not_from_here.iter().filter(|fault| !self.faults.contains(fault)) {
            tracing::warn!("a mart is not exported by this server: {fault}");
        }
        self.faults = faults.into_iter().chain(not_from_here).collect();
    }

    /// Whether a mart is due; for a change of what it reads, with the versions that it has now.
    async fn look(
        &mut self,
        definition: &Definition,
        refresh: &Refresh,
        now_ms: i64,
    ) -> Result<(Due, Option<Versions>), EngineError> {
        let (lake, name) = (self.engine.lake().clone(), definition.name());
        let seen = self.seen.entry(name.clone()).or_default();
        let tick = refresh.last_tick(now_ms).filter(|tick| seen.tick.is_none_or(|done| done < *tick));
        if let Some(tick) = tick {
            let cause = MartCause::Tick(tick);
            match seen.waits.filter(|(of, until_ms)| *of == cause && now_ms < *until_ms) {
                Some((_, until_ms)) => return Ok((Due::At(until_ms), None)),
                None => seen.waits = None,
            }
            let is_there = published(&self.engine, &definition.name).await?.is_some();
            let document = lake.mart(&name).await?;
            match due::tick(refresh, &document, tick, now_ms, self.since_ms, is_there) {
                Due::Done => seen.tick = Some(tick),
                Due::At(until_ms) => {
                    seen.waits = Some((cause, until_ms));
                    return Ok((Due::At(until_ms), None));
                }
                Due::Now(cause) => return Ok((Due::Now(cause), None)),
            }
        }
        let Some(most) = refresh.on_commit else { return Ok((Due::Done, None)) };
        if let Some(until_ms) = seen.waits_for_commit(now_ms) {
            return Ok((Due::At(until_ms), None));
        }
        let versions = versions(&self.engine, self.reads.get(&name)).await?;
        if versions.is_some() && seen.versions == versions {
            return Ok((Due::Done, None));
        }
        let most_ms = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        let due = due::commit(&*lake.mart(&name).await?, most_ms, now_ms);
        if let Due::At(until_ms) = due {
            seen.waits = Some((MartCause::Commit, until_ms));
        }
        Ok((due, versions))
    }

    /// Begins one run of all that may run now.
    async fn begin(&mut self, wanted: Vec<Wanted>, now_ms: i64) {
        let (project, faults) = self.check().await;
        let (mut left, mut jobs, mut taken) = (wanted, Vec::new(), Vec::new());
        let mut later: BTreeSet<usize> = BTreeSet::new();
        for (at, mart) in project.marts.iter().enumerate() {
            let name = mart.definition.name();
            let Some(of) = left.iter().position(|wanted| wanted.mart == name) else { continue };
            let wanted = left.swap_remove(of);
            // What it reads comes first.
            let waits =
                |read: &usize| later.contains(read) || self.running.contains(&project.marts[*read].definition.name());
            if mart.upstream.iter().any(waits) {
                later.insert(at);
                continue;
            }
            jobs.push(Job { at, cause: wanted.cause, mode: Mode::Stale });
            taken.push(wanted);
        }
        let definitions = self.source.definitions();
        for wanted in left {
            let is_its = |file: &str| definitions.iter().any(|of| of.file == file && of.name() == wanted.mart);
            let fault = faults.iter().find(|fault| is_its(&fault.file));
            self.cannot_run(&wanted, fault.map(ToString::to_string), now_ms).await;
        }
        if jobs.is_empty() {
            return;
        }
        self.running.extend(taken.iter().map(|wanted| wanted.mart.clone()));
        let (engine, clock, is_heard) = (self.engine.clone(), self.options.clock.clone(), self.hears.is_some());
        self.runs.spawn(async move {
            give_way(&engine, BEGIN_WAIT_MAX).await;
            let reports = project.run_jobs(jobs, log).await;
            let mut ran = Vec::with_capacity(taken.len());
            for (wanted, report) in taken.into_iter().zip(reports) {
                let end = end(&engine, &report, wanted.cause.cause).await;
                let behind = match (end, &report.outcome) {
                    (End::Good, Outcome::Succeeded { .. }) => Some(Behind::Rows),
                    (End::Good, _) => Some(Behind::Nothing),
                    (End::Failed, _) => Some(Behind::Failure),
                    (End::Retried | End::Later, _) => None,
                };
                let mut news = None;
                if let Some(behind) = behind.filter(|_| is_heard)
                    && let Ok(document) = engine.lake().mart(&report.mart).await
                {
                    news = notice::of(&report.mart, &document, behind, clock.now_ms());
                }
                ran.push(Ran { wanted, end, news });
            }
            ran
        });
    }

    /// Writes down that a mart was to run and has a fault, or reads one that has, once for each reason.
    async fn cannot_run(&mut self, wanted: &Wanted, fault: Option<String>, now_ms: i64) {
        let (state, error) = match fault {
            Some(fault) => (MartRunState::Failed, fault),
            None => (MartRunState::Blocked, "a mart that it reads has a fault".to_owned()),
        };
        let run = MartRun {
            id: Uuid::new_v4().to_string(),
            state,
            started_ms: now_ms,
            ended_ms: now_ms,
            error: Some(error),
            cause: wanted.cause.cause,
            attempt: wanted.cause.attempt,
            ..MartRun::default()
        };
        let cannot = Some((run.cause, run.error.clone()));
        // Another server may say the same in other words: they do not take turns for ever.
        let is_known = self.seen.get(&wanted.mart).is_some_and(|seen| seen.cannot == cannot);
        let same = |last: &MartRun| {
            (last.cause, last.state, &last.error) == (run.cause, run.state, &run.error)
                || is_known && last.state != MartRunState::Succeeded
        };
        let written = self.engine.lake().change_mart(&wanted.mart, |document| {
            if !document.runs.last().is_some_and(same) {
                document.push(run.clone());
            }
        });
        match written.await {
            Ok(document) => self.hear(notice::of(&wanted.mart, &document, Behind::Failure, now_ms)),
            Err(error) => {
                tracing::warn!(mart = wanted.mart, %error, "it could not be written down that a mart cannot be run");
            }
        }
        let seen = self.seen.entry(wanted.mart.clone()).or_default();
        seen.cannot = cannot;
        seen.waits = Some((wanted.cause.cause, now_ms.saturating_add(LOOK_AGAIN_MS)));
    }

    fn hear(&mut self, notice: Option<Notice>) {
        let (Some(hears), Some(notice)) = (&self.hears, notice) else { return };
        let told = &mut self.seen.entry(notice.mart.clone()).or_default().told;
        if told.as_ref() != Some(&notice.id) {
            *told = Some(notice.id.clone());
            hears.0(notice);
        }
    }

    fn ended(&mut self, ended: Result<Vec<Ran>, tokio::task::JoinError>) {
        let Ok(all) = ended else {
            // Which marts it ran is not known: what still runs holds its lease.
            self.running.clear();
            return tracing::error!("a run of marts was broken off");
        };
        let now_ms = self.options.clock.now_ms();
        for Ran { wanted: Wanted { mart, cause, at_ms, versions }, end, news } in all {
            self.hear(news);
            self.running.remove(&mart);
            let seen = self.seen.entry(mart).or_default();
            match (end, cause.cause) {
                (End::Later, cause) => seen.waits = Some((cause, now_ms.saturating_add(LOOK_AGAIN_MS))),
                (End::Good, MartCause::Tick(tick)) => seen.tick = Some(tick),
                // The next look asks the lake.
                (End::Retried, _) | (End::Failed, MartCause::Tick(_)) => {}
                (End::Good | End::Failed, _) => {
                    (seen.versions, seen.same_ms) = (versions, Some(at_ms).filter(|_| end == End::Good));
                }
            }
            if end == End::Good {
                // Others may have waited for this one.
                for seen in self.seen.values_mut() {
                    seen.waits = seen.waits.filter(|(_, until_ms)| *until_ms > now_ms.saturating_add(LOOK_AGAIN_MS));
                }
            }
        }
    }
}

/// The newest versions of tables; none of one that is not there. `None` for a mart of which it is not known what it reads.
async fn versions(engine: &Engine, tables: Option<&BTreeSet<TableName>>) -> Result<Option<Versions>, EngineError> {
    let Some(tables) = tables else { return Ok(None) };
    let mut versions = Vec::with_capacity(tables.len());
    for name in tables {
        let version = match engine.lake().table(&name.schema, &name.name).await {
            Ok(table) => Some(table.version()),
            Err(StorageError::TableNotFound { .. } | StorageError::SchemaNotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        versions.push((name.clone(), version));
    }
    Ok(Some(versions))
}

/// How a run is to be followed.
async fn end(engine: &Engine, report: &Report, cause: MartCause) -> End {
    match report.outcome {
        Outcome::Succeeded { .. } | Outcome::Skipped { .. } => End::Good,
        Outcome::Blocked { .. } | Outcome::Busy { .. } => End::Later,
        Outcome::Failed(_) => match engine.lake().mart(&report.mart).await {
            Ok(document) => match document.runs.last() {
                Some(run) if run.cause != cause || run.state != MartRunState::Failed => End::Later,
                Some(run) if run.retry_ms.is_some() => End::Retried,
                Some(_) => End::Failed,
                None => End::Later,
            },
            Err(_) => End::Later,
        },
    }
}

fn log(report: &Report) {
    let (mart, outcome) = (&report.mart, report.outcome.word());
    let took_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
    match &report.outcome {
        Outcome::Failed(error) => tracing::warn!(mart, outcome, took_ms, %error, "a mart was run"),
        Outcome::Blocked { by } => tracing::warn!(mart, outcome, took_ms, by, "a mart was run"),
        Outcome::Succeeded { rows, version } => tracing::info!(mart, outcome, took_ms, rows, version, "a mart was run"),
        Outcome::Skipped { .. } | Outcome::Busy { .. } => tracing::debug!(mart, outcome, took_ms, "a mart was run"),
    }
}
