//! Marts of one run, in their order: each carried out, or blocked by one that failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use boathouse_storage::catalog::{MartCause, MartRun, MartRunState};
use tokio::task::JoinHandle;

use super::{
    due::Cause,
    outcome::{Outcome, Report},
    project::Project,
    run::{Mode, Ran},
};
use crate::{EngineError, session::Pins};

/// A mart of the run that published nothing.
#[derive(Debug, Clone)]
struct Bad {
    mart: String,
    is_busy: bool,
}

/// What is known of the marts of a run that had their turn.
struct Known {
    bad: BTreeMap<usize, Bad>,
    /// Those that have published rows.
    fresh: BTreeSet<usize>,
}

/// A run that has ended, and is written down.
struct Ending {
    report: Report,
    began: Instant,
    telling: Option<JoinHandle<()>>,
}

impl Ending {
    /// Waits until it is.
    async fn ended(self) -> Report {
        let Self { report, began, telling } = self;
        let Some(telling) = telling else { return report };
        if let Err(error) = telling.await {
            tracing::warn!(mart = report.mart, %error, "how a run went could not be written down");
        }
        Report { took: began.elapsed(), ..report }
    }
}

/// A mart that is to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub at: usize,
    pub cause: Cause,
    pub mode: Mode,
}

impl Project {
    /// Runs these marts, or all, in their order; `told` hears of each when it is done. A mart whose definition and inputs are
    /// those of its rows is skipped, unless `force` says otherwise. What one mart of the run reads of the lake, the others
    /// read at the same version.
    ///
    /// An error when a name is not a mart's; what goes wrong with a mart is in its report.
    pub async fn run(
        &self,
        names: &[String],
        force: bool,
        told: impl FnMut(&Report),
    ) -> Result<Vec<Report>, EngineError> {
        self.run_as(names, if force { Mode::Forced } else { Mode::Stale }, told).await
    }

    /// Runs these marts, or all, as if they had no tables: none of their rows stays. The tables keep their history.
    pub async fn rebuild(&self, names: &[String], told: impl FnMut(&Report)) -> Result<Vec<Report>, EngineError> {
        self.run_as(names, Mode::Anew, told).await
    }

    pub(super) async fn run_as(
        &self,
        names: &[String],
        mode: Mode,
        told: impl FnMut(&Report),
    ) -> Result<Vec<Report>, EngineError> {
        let jobs = self.selected(names)?.into_iter().map(|at| Job { at, cause: Cause::PERSON, mode });
        Ok(self.run_jobs(jobs.collect(), told).await)
    }

    /// The same for marts by their places, which must be in order, each for its own reason. How a run went is written down
    /// while the next one goes on; `told` hears of it afterwards.
    pub(super) async fn run_jobs(&self, jobs: Vec<Job>, mut told: impl FnMut(&Report)) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        let (mut bad, mut fresh): (BTreeMap<usize, Bad>, BTreeSet<usize>) = Default::default();
        let mut pins: BTreeMap<String, u64> = BTreeMap::new();
        let mut last: Option<Ending> = None;
        for job in jobs {
            let began = Instant::now();
            let mart = self.marts[job.at].definition.name();
            let (project, pins_now) = (self.clone(), pins.clone().into_iter().collect());
            let known = Known { bad: bad.clone(), fresh: fresh.clone() };
            let run = async move { project.run_job(job, &known, pins_now).await };
            let before = last.take();
            let written = async {
                if let Some(ending) = before {
                    let report = ending.ended().await;
                    told(&report);
                    reports.push(report);
                }
            };
            let (ran, ()) = futures::join!(self.engine.runtime().spawn(run), written);
            let ran = match ran {
                Ok(Ok(ran)) => ran,
                Ok(Err(error)) | Err(error) => Ran::of(Outcome::Failed(error)),
            };
            for (table, version) in ran.pins.clone() {
                pins.entry(table).or_insert(version);
            }
            if let Outcome::Succeeded { version, .. } | Outcome::Skipped { version } = ran.outcome {
                pins.insert(mart.clone(), version);
            }
            if let Outcome::Succeeded { .. } = ran.outcome {
                fresh.insert(job.at);
            }
            if !ran.outcome.is_good() {
                let is_busy = matches!(ran.outcome, Outcome::Busy { .. });
                bad.insert(job.at, Bad { mart: mart.clone(), is_busy });
            }
            self.engine.mart_totals_kept().add(&ran.outcome);
            let Ran { outcome, tests, intervals, telling, .. } = ran;
            let report = Report { mart, outcome, tests, intervals, took: began.elapsed() };
            last = Some(Ending { report, began, telling });
        }
        if let Some(ending) = last {
            let report = ending.ended().await;
            told(&report);
            reports.push(report);
        }
        reports
    }

    async fn run_job(&self, job: Job, known: &Known, pins: Pins) -> Result<Ran, EngineError> {
        let (upstream, by_itself) = (&self.marts[job.at].upstream, job.cause.cause != MartCause::Person);
        match upstream.iter().find_map(|read| known.bad.get(read).cloned()) {
            // Who runs that one runs this one, too.
            Some(Bad { mart, is_busy: true }) if by_itself => {
                Ok(Ran::of(Outcome::Busy { holder: format!("the one that runs {mart}") }))
            }
            Some(Bad { mart, .. }) => Ok(self.blocked(job, mart).await),
            // Nobody is there to see that a mart which is not of this run has failed.
            None if by_itself => match self.failed_last(upstream, &known.fresh).await? {
                Some(mart) => Ok(self.blocked(job, mart).await),
                None => self.run_one(job, pins).await,
            },
            None => self.run_one(job, pins).await,
        }
    }

    /// One of these marts whose last run published nothing; those of `fresh` have just published something.
    async fn failed_last(&self, marts: &[usize], fresh: &BTreeSet<usize>) -> Result<Option<String>, EngineError> {
        for at in marts.iter().filter(|at| !fresh.contains(at)) {
            let name = self.marts[*at].definition.name();
            let document = self.engine.lake().mart(&name).await?;
            let state = document.runs.last().map(|run| run.state);
            if matches!(state, Some(MartRunState::Failed | MartRunState::Blocked)) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Writes down that a mart was not run, once for each reason to run it.
    async fn blocked(&self, job: Job, by: String) -> Ran {
        let mart = &self.marts[job.at];
        let error = Some(format!("\"{by}\" was not published"));
        let run = MartRun { state: MartRunState::Blocked, error, ..self.begun(mart, Vec::new(), 0, job.cause) };
        let name = mart.definition.name();
        let is_known = |last: &MartRun| {
            last.state == MartRunState::Blocked && last.cause == run.cause && last.cause != MartCause::Person
        };
        let written = self.engine.lake().change_mart(&name, |document| {
            if !document.runs.last().is_some_and(is_known) {
                document.push(run.clone());
                document.definition = mart.told();
            }
        });
        if let Err(error) = written.await {
            tracing::warn!(mart = name, %error, "it could not be written down that a mart is blocked");
        }
        Ran::of(Outcome::Blocked { by })
    }
}
