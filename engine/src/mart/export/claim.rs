//! The right to deliver an export: one process at a time, as with the lease of a run (`mart/lease.rs`).
//!
//! It saves work, and keeps batches from a receiver that does not know them again. Destinations with a ledger are right
//! without it.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_storage::{
    Lake,
    catalog::{ExportClaim, MartExport},
};
use uuid::Uuid;

use super::super::lease::LeaseTimes;
use crate::{EngineError, ErrorKind};

/// A claim that is held, until [`Claim::end`] or until nobody beats for it.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    lake: Arc<Lake>,
    mart: String,
    export: String,
    token: String,
    times: LeaseTimes,
}

/// What became of the wish to deliver.
pub(super) enum Claimed {
    /// With the state as it was then.
    Ours(Claim, MartExport),
    Busy {
        holder: String,
    },
}

/// Claims an export, of which people are told what `told` says. Waits only where a beat does not move.
pub(super) async fn take(
    lake: &Arc<Lake>,
    mart: &str,
    export: &str,
    told: &MartExport,
    times: LeaseTimes,
) -> Result<Claimed, EngineError> {
    let token = Uuid::new_v4().to_string();
    let holder = format!("process {}", std::process::id());
    let mut seen: Option<(String, u64, Instant)> = None;
    loop {
        let dead = seen.as_ref().filter(|(_, _, since)| since.elapsed() > times.dead_after);
        let dead = dead.map(|(token, beat, _)| (token.clone(), *beat));
        let document = lake
            .change_mart_exports(mart, |document| {
                let state = document.exports.entry(export.to_owned()).or_default();
                let is_dead = |claim: &ExportClaim| {
                    dead.as_ref().is_some_and(|(token, beat)| (token, beat) == (&claim.token, &claim.beat))
                };
                if state.claim.as_ref().is_none_or(is_dead) {
                    let claim = ExportClaim { token: token.clone(), holder: holder.clone(), beat: 0 };
                    let MartExport { destination, kind, target, mode, .. } = told.clone();
                    *state = MartExport { destination, kind, target, mode, claim: Some(claim), ..state.clone() };
                }
            })
            .await?;
        let state = document.exports.get(export).cloned().unwrap_or_default();
        let Some(claim) = &state.claim else {
            return Err(EngineError::internal(format!("the claim on export \"{export}\" was not written")));
        };
        if claim.token == token {
            let (mart, export) = (mart.to_owned(), export.to_owned());
            return Ok(Claimed::Ours(Claim { lake: lake.clone(), mart, export, token, times }, state));
        }
        match &seen {
            Some((known, beat, _)) if (known, beat) == (&claim.token, &claim.beat) => {}
            Some(_) => return Ok(Claimed::Busy { holder: claim.holder.clone() }),
            None => seen = Some((claim.token.clone(), claim.beat, Instant::now())),
        }
        tokio::time::sleep(times.look).await;
    }
}

impl Claim {
    /// Changes the state, which only who has the claim may do.
    pub async fn change(&self, change: impl Fn(&mut MartExport) + Send + Sync) -> Result<(), EngineError> {
        let document = self.lake.change_mart_exports(&self.mart, |document| {
            if let Some(state) = document.exports.get_mut(&self.export)
                && state.claim.as_ref().is_some_and(|claim| claim.token == self.token)
            {
                change(state);
            }
        });
        let document = document.await?;
        let claim = document.exports.get(&self.export).and_then(|state| state.claim.as_ref());
        match claim {
            Some(claim) if claim.token == self.token => Ok(()),
            _ => Err(self.lost("another process took it over")),
        }
    }

    /// Shows again and again that who delivers lives. Returns only with an error, and then the delivery must stop.
    pub async fn beat(&self) -> EngineError {
        match self.beats().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn beats(&self) -> Result<Infallible, EngineError> {
        let beat = || {
            self.change(|state| {
                if let Some(claim) = state.claim.as_mut() {
                    claim.beat += 1;
                }
            })
        };
        let bound: Duration = self.times.dead_after / 2;
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(self.times.beat).await;
            match tokio::time::timeout(bound, beat()).await {
                Ok(Ok(())) => last = Instant::now(),
                Ok(Err(_)) | Err(_) if last.elapsed() < bound => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(self.lost("the lake did not answer in time")),
            }
        }
    }

    fn lost(&self, why: &str) -> EngineError {
        EngineError::new(ErrorKind::Unavailable, format!("the export to \"{}\" was given up: {why}", self.export))
    }

    /// Gives the claim back, and writes down how the delivery went: one step. Does nothing when another process took it over.
    pub async fn end(&self, change: impl Fn(&mut MartExport) + Send + Sync) -> Result<(), EngineError> {
        self.lake
            .change_mart_exports(&self.mart, |document| {
                if let Some(state) = document.exports.get_mut(&self.export)
                    && state.claim.as_ref().is_some_and(|claim| claim.token == self.token)
                {
                    state.claim = None;
                    change(state);
                }
            })
            .await?;
        Ok(())
    }
}
