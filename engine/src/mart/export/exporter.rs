//! A server's exports, delivered by themselves: behind each run, and again while a destination is not there.
//!
//! They do not hold up runs, and one destination does not hold up another.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    ExportOutcome, ExportReport,
    deliver::{Order, wanted},
    due::{Due, due},
    told,
};
use crate::{
    Engine, EngineError,
    mart::{Definition, MartOptions, Notice},
};

/// Deliveries at once.
const DELIVERIES_MAX: usize = 4;
/// After this an export is looked at again that another process delivers, or of which nothing could be written down.
const LOOK_AGAIN_MS: i64 = 30_000;

/// Delivers exports. Dropping it ends what goes on.
#[derive(Debug)]
pub(in crate::mart) struct Exporter {
    engine: Arc<Engine>,
    options: MartOptions,
    /// When definitions, or the process's settings, were read.
    since_ms: i64,
    running: BTreeSet<String>,
    /// Not before this time, whatever the lake says.
    waits: Vec<(String, i64)>,
    deliveries: JoinSet<ExportReport>,
    /// Whether somebody hears of those that fail.
    is_heard: bool,
    news: Vec<Notice>,
}

impl Exporter {
    pub fn new(engine: &Arc<Engine>, options: &MartOptions) -> Self {
        Self {
            engine: engine.clone(),
            options: options.clone(),
            since_ms: options.clock.now_ms(),
            running: BTreeSet::new(),
            waits: Vec::new(),
            deliveries: JoinSet::new(),
            is_heard: false,
            news: Vec::new(),
        }
    }

    /// From now on somebody hears of exports that fail.
    pub fn is_heard(&mut self) {
        self.is_heard = true;
    }

    /// What the last look found that is to be told.
    pub fn news(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.news)
    }

    /// Definitions were read anew: what was refused may be taken now.
    pub fn refresh(&mut self) {
        self.since_ms = self.options.clock.now_ms();
    }

    /// Looks once, and begins the deliveries that are due. Returns when to look next at the latest, in milliseconds since
    /// 1970, UTC.
    pub async fn pass(&mut self, definitions: &[Definition], mut next_ms: i64) -> i64 {
        while let Some(ended) = self.deliveries.try_join_next() {
            self.ended(ended);
        }
        let now_ms = self.options.clock.now_ms();
        self.waits.retain(|(_, until_ms)| *until_ms > now_ms);
        for definition in definitions.iter().filter(|definition| !definition.exports.is_empty()) {
            match self.look(definition, now_ms).await {
                Ok(at_ms) => next_ms = at_ms.map_or(next_ms, |at_ms| at_ms.min(next_ms)),
                Err(error) => {
                    tracing::warn!(mart = definition.name(), %error, "it could not be told whether a mart is to be exported");
                }
            }
        }
        next_ms
    }

    /// Begins what is due of one mart; the first time at which more is.
    async fn look(&mut self, definition: &Definition, now_ms: i64) -> Result<Option<i64>, EngineError> {
        let mart = definition.name();
        let idle = definition.exports.iter().any(|export| !self.running.contains(&key(&mart, &export.id(&mart))));
        let Some((_, wanted)) = (if idle { wanted(&self.engine, &definition.name).await? } else { None }) else {
            return Ok(None);
        };
        let document = self.engine.lake().mart_exports(&mart).await?;
        let mut next_ms: Option<i64> = None;
        for export in &definition.exports {
            let id = export.id(&mart);
            let key = key(&mart, &id);
            // The scheduler tells that it is not delivered from here.
            if self.running.contains(&key) || self.options.destinations.get(&export.to).is_none() {
                continue;
            }
            if let Some(state) = document.exports.get(&id).filter(|_| self.is_heard)
                && told::news(definition, &id, &mut state.clone(), now_ms).is_some()
            {
                self.tell(definition, &id, now_ms).await?;
            }
            let at_ms = match due(document.exports.get(&id), &wanted, now_ms, self.since_ms) {
                Due::Done => continue,
                Due::At(at_ms) => Some(at_ms),
                Due::Now => self.waits.iter().find(|(waits, _)| *waits == key).map(|(_, until_ms)| *until_ms),
            };
            if let Some(at_ms) = at_ms {
                next_ms = Some(next_ms.map_or(at_ms, |next_ms| next_ms.min(at_ms)));
            } else if self.deliveries.len() < DELIVERIES_MAX {
                let (engine, options) = (self.engine.clone(), self.options.clone());
                let (mart, export) = (definition.name.clone(), export.clone());
                let order = Order { engine, options, mart, export, again: false };
                self.running.insert(key);
                self.deliveries.spawn(async move { order.carry_out().await });
            }
        }
        Ok(next_ms)
    }

    /// The news, if it is this server that tells it: the one that writes it down.
    async fn tell(&mut self, definition: &Definition, export: &str, now_ms: i64) -> Result<(), EngineError> {
        let (found, mart) = (Mutex::new(None), definition.name());
        let change = self.engine.lake().change_mart_exports(&mart, |document| {
            let state = document.exports.get_mut(export);
            *found.lock() = state.and_then(|state| told::news(definition, export, state, now_ms));
        });
        change.await?;
        self.news.extend(found.into_inner());
        Ok(())
    }

    /// Ends when a delivery has; never while there is none.
    pub async fn joined(&mut self) {
        match self.deliveries.join_next().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits for the deliveries that were begun.
    pub async fn settle(&mut self) {
        while let Some(ended) = self.deliveries.join_next().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<ExportReport, tokio::task::JoinError>) {
        let Ok(report) = ended else {
            // Which one it was is not known: what still goes on holds its claim.
            self.running.clear();
            return tracing::error!("a delivery was broken off");
        };
        log(&report);
        let key = key(&report.mart, &format!("{}/{}", report.to, report.target));
        self.running.remove(&key);
        if !report.outcome.is_good() {
            // Sooner than the lake says where that could not be written down.
            self.waits.push((key, self.options.clock.now_ms().saturating_add(LOOK_AGAIN_MS)));
        }
    }
}

fn key(mart: &str, export: &str) -> String {
    format!("{mart} {export}")
}

fn log(report: &ExportReport) {
    let ExportReport { mart, to, target, outcome, took } = report;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        ExportOutcome::Failed(error) => tracing::warn!(mart, to, target, took_ms, %error, "a mart was not exported"),
        ExportOutcome::Delivered { rows, version } => {
            tracing::info!(mart, to, target, took_ms, rows, version, "a mart was exported");
        }
        ExportOutcome::UpToDate { .. } | ExportOutcome::NotPublished | ExportOutcome::Busy { .. } => {
            tracing::debug!(mart, to, target, took_ms, outcome = outcome.word(), "a mart was exported");
        }
    }
}
