//! The right to run a mart: one process at a time, whatever ends when.
//!
//! Who runs a mart writes a lease into its document, which is replaced by compare and swap, and shows by a beat that it
//! lives. Who wants to run it and finds a lease looks whether the beat moves: then another process is at it. One that stands
//! still for long belongs to a process that ended, and is taken over. Clocks of two machines are never compared.
//!
//! A process that only stood still may go on when its lease is gone: it finds that out at its next beat, and what it commits
//! before is held to the same condition as the new owner's commit, that the table is as it was read.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_storage::{
    Lake,
    catalog::{MartCause, MartDefinition, MartDocument, MartLease, MartRun, MartRunState},
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{EngineError, ErrorKind};

/// How often and how long leases are looked at.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// How often who runs a mart shows that it lives.
    pub beat: Duration,
    /// Without a beat for so long it counts as ended.
    pub dead_after: Duration,
    /// How often who waits looks.
    pub look: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { beat: Duration::from_secs(5), dead_after: Duration::from_secs(30), look: Duration::from_millis(500) }
    }
}

/// A lease that is held. It stays until [`Lease::end`], or until nobody beats for it.
#[derive(Debug)]
pub(super) struct Lease {
    lake: Arc<Lake>,
    mart: String,
    token: String,
    times: LeaseTimes,
    /// The document when the lease was taken.
    document: Arc<MartDocument>,
}

/// What became of the wish to run a mart.
pub(super) enum Taken {
    /// With the run of a process that ended in its midst, if there was one.
    Ours(Lease, Option<MartRun>),
    Busy {
        holder: String,
    },
}

/// Takes the lease of a mart for `run`. Waits only where a beat does not move.
pub(super) async fn take(
    lake: &Arc<Lake>,
    mart: &str,
    holder: &str,
    run: &MartRun,
    times: LeaseTimes,
) -> Result<Taken, EngineError> {
    let token = Uuid::new_v4().to_string();
    let mut seen: Option<(String, u64, Instant)> = None;
    loop {
        let dead = seen.as_ref().filter(|(_, _, since)| since.elapsed() > times.dead_after);
        let dead = dead.map(|(token, beat, _)| (token.clone(), *beat));
        let left = Mutex::new(None);
        let document = lake
            .change_mart(mart, |document| {
                let is_dead = |lease: &MartLease| {
                    dead.as_ref().is_some_and(|(token, beat)| (token, beat) == (&lease.token, &lease.beat))
                };
                if document.lease.as_ref().is_none_or(is_dead) {
                    *left.lock() = document.lease.take().map(|lease| lease.run);
                    let (token, holder, run) = (token.clone(), holder.to_owned(), run.clone());
                    document.lease = Some(MartLease { token, holder, beat: 0, run });
                }
            })
            .await?;
        let Some(lease) = &document.lease else {
            return Err(EngineError::internal(format!("the lease of mart \"{mart}\" was not written")));
        };
        if lease.token == token {
            let lease = Lease { lake: lake.clone(), mart: mart.to_owned(), token, times, document };
            return Ok(Taken::Ours(lease, left.into_inner()));
        }
        match &seen {
            Some((known, beat, _)) if (known, beat) == (&lease.token, &lease.beat) => {}
            Some(_) => return Ok(Taken::Busy { holder: lease.holder.clone() }),
            None => {
                tracing::info!(mart, holder = lease.holder, "another process runs it, or ended in its midst");
                seen = Some((lease.token.clone(), lease.beat, Instant::now()));
            }
        }
        tokio::time::sleep(times.look).await;
    }
}

impl Lease {
    /// Whether another process carried the run out, for the same reason, before the lease was taken. It may have failed.
    pub fn is_late(&self, run: &MartRun) -> bool {
        let same = |known: &MartRun| known.cause == run.cause && known.attempt >= run.attempt;
        let carried_out = |known: &&MartRun| known.state != MartRunState::Blocked && same(known);
        matches!(run.cause, MartCause::Tick(_)) && self.document.runs.iter().any(|known| carried_out(&known))
    }

    /// Shows again and again that who runs the mart lives. Returns only with an error, and then the run must stop.
    pub async fn beat(&self) -> EngineError {
        match self.beats().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn beats(&self) -> Result<Infallible, EngineError> {
        let lost = |why: &str| {
            let message = format!("the run of mart \"{}\" was given up: {why}", self.mart);
            EngineError::new(ErrorKind::Unavailable, message)
        };
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(self.times.beat).await;
            let change = self.lake.change_mart(&self.mart, |document| {
                if let Some(lease) = document.lease.as_mut().filter(|lease| lease.token == self.token) {
                    lease.beat += 1;
                }
            });
            match tokio::time::timeout(self.times.dead_after / 2, change).await {
                Ok(Ok(document)) if document.lease.as_ref().is_some_and(|lease| lease.token == self.token) => {
                    last = Instant::now();
                }
                Ok(Ok(_)) => return Err(lost("it stood still for so long that another process took it over")),
                Ok(Err(_)) | Err(_) if last.elapsed() < self.times.dead_after / 2 => {}
                Ok(Err(error)) => return Err(lost("the lake could not be reached").with_source(error)),
                Err(_) => return Err(lost("the lake did not answer in time")),
            }
        }
    }

    /// Gives the lease back, and writes down how the run went: one step. Does nothing when another process took it over.
    pub async fn end(self, run: Option<&MartRun>, definition: &MartDefinition) -> Result<(), EngineError> {
        self.lake
            .change_mart(&self.mart, |document| {
                if document.lease.as_ref().is_some_and(|lease| lease.token == self.token) {
                    document.lease = None;
                    if let Some(run) = run {
                        document.push(run.clone());
                        document.definition = definition.clone();
                    }
                }
            })
            .await?;
        Ok(())
    }
}
