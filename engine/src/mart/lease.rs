//! The right to run a mart, or to deliver an export of one: one process at a time, whatever ends when.
//!
//! Who is at it writes a claim into a document of the lake, which is replaced by compare and swap, and shows by a beat that
//! it lives. Who wants to do the same and finds a claim looks whether the beat moves: then another process is at it. One that
//! stands still for long belongs to a process that ended, and is taken over. Clocks of two machines are never compared.
//!
//! A process that only stood still may go on when its lease is gone: it finds that out at its next beat, and what it commits
//! before is held to the same condition as the new owner's commit, that the table is as it was read.

mod run;

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_storage::{StorageError, catalog::Claim};
use parking_lot::Mutex;
use uuid::Uuid;

pub(super) use self::run::OfRun;
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

/// A field of a document of the lake that says who is at something.
pub(super) trait Field: Clone + fmt::Debug + Send + Sync {
    type Document: Clone + fmt::Debug + Send + Sync;
    /// What a process leaves in it that ended in the midst.
    type Left: Send;

    /// What its holder does, for people.
    fn title(&self) -> String;

    fn claim<'a>(&self, document: &'a Self::Document) -> Option<&'a Claim>;

    /// Puts another claim in the place of the one that is there, or none, and gives what was there.
    fn put(&self, document: &mut Self::Document, claim: Option<Claim>) -> Option<Self::Left>;

    /// Changes the document, as `Lake::change_mart` does.
    fn change(
        &self,
        change: impl Fn(&mut Self::Document) + Send + Sync,
    ) -> impl Future<Output = Result<Arc<Self::Document>, StorageError>> + Send;
}

/// A lease that is held, until [`Lease::release`], or until nobody beats for it.
#[derive(Debug, Clone)]
pub(super) struct Lease<F: Field> {
    field: F,
    token: String,
    times: LeaseTimes,
    /// When the lease was taken.
    document: Arc<F::Document>,
}

/// What became of the wish to do something.
pub(super) enum Taken<F: Field> {
    /// With what a process left that ended in the midst, if there was one.
    Ours(Lease<F>, Option<F::Left>),
    Busy {
        holder: String,
    },
}

/// Takes the lease. Waits only where a beat does not move.
pub(super) async fn take<F: Field>(field: F, times: LeaseTimes) -> Result<Taken<F>, EngineError> {
    Taking::new(field, times).taken().await
}

/// A lease that is on its way.
pub(super) struct Taking<F: Field> {
    field: F,
    times: LeaseTimes,
    token: String,
    holder: String,
    /// The claim of another, and since when it stands still.
    seen: Option<(Claim, Instant)>,
}

impl<F: Field> Taking<F> {
    pub fn new(field: F, times: LeaseTimes) -> Self {
        let (token, holder) = (Uuid::new_v4().to_string(), format!("process {}", std::process::id()));
        Self { field, times, token, holder, seen: None }
    }

    /// Looks again and again until it is known whose it is.
    pub async fn taken(mut self) -> Result<Taken<F>, EngineError> {
        loop {
            if let Some(taken) = self.look().await? {
                return Ok(taken);
            }
        }
    }

    /// Looks once, after a wait where it was looked before. `None`: another one's claim is there, and it is not known whether
    /// its process lives.
    pub async fn look(&mut self) -> Result<Option<Taken<F>>, EngineError> {
        let Self { field, times, token, holder, seen } = self;
        if seen.is_some() {
            tokio::time::sleep(times.look).await;
        }
        let dead = seen.as_ref().filter(|(_, since)| since.elapsed() > times.dead_after).map(|(claim, _)| claim);
        let left = Mutex::new(None);
        let change = field.change(|document| {
            let found = field.claim(document);
            if found.is_none() || found == dead {
                let claim = Claim { token: token.clone(), holder: holder.clone(), beat: 0 };
                *left.lock() = field.put(document, Some(claim));
            }
        });
        let document = change.await?;
        let Some(claim) = field.claim(&document) else {
            return Err(EngineError::internal(format!("it was not written down who does {}", field.title())));
        };
        if claim.token == *token {
            let lease = Lease { field: field.clone(), token: token.clone(), times: *times, document };
            return Ok(Some(Taken::Ours(lease, left.into_inner())));
        }
        match &*seen {
            Some((known, _)) if known == claim => {}
            Some(_) => return Ok(Some(Taken::Busy { holder: claim.holder.clone() })),
            None => {
                let (what, holder) = (field.title(), &claim.holder);
                tracing::info!(what, holder, "another process is at it, or ended in its midst");
                *seen = Some((claim.clone(), Instant::now()));
            }
        }
        Ok(None)
    }
}

impl<F: Field> Lease<F> {
    /// What it is about.
    pub fn of(&self) -> &F {
        &self.field
    }

    /// The document when the lease was taken.
    pub fn document(&self) -> &F::Document {
        &self.document
    }

    /// Changes the document, which only who has the lease may do.
    pub async fn change(&self, change: impl Fn(&mut F::Document) + Send + Sync) -> Result<(), EngineError> {
        match self.write(change).await? {
            true => Ok(()),
            false => Err(self.lost("another process took it over")),
        }
    }

    /// Shows again and again that its holder lives. Returns only with an error, and then the work must stop.
    pub async fn beat(&self) -> EngineError {
        match self.beats().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn beats(&self) -> Result<Infallible, EngineError> {
        let bound = self.times.dead_after / 2;
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(self.times.beat).await;
            let beat = self.write(|document| {
                if let Some(claim) = self.field.claim(document).cloned() {
                    self.field.put(document, Some(Claim { beat: claim.beat + 1, ..claim }));
                }
            });
            match tokio::time::timeout(bound, beat).await {
                Ok(Ok(true)) => last = Instant::now(),
                Ok(Ok(false)) => {
                    return Err(self.lost("it stood still for so long that another process took it over"));
                }
                Ok(Err(_)) | Err(_) if last.elapsed() < bound => {}
                Ok(Err(error)) => return Err(self.lost("the lake could not be reached").with_source(error)),
                Err(_) => return Err(self.lost("the lake did not answer in time")),
            }
        }
    }

    /// Gives the lease back, and changes the document: one step. Does nothing when another process took it over.
    pub async fn release(&self, change: impl Fn(&mut F::Document) + Send + Sync) -> Result<(), EngineError> {
        self.write(|document| {
            self.field.put(document, None);
            change(document);
        })
        .await?;
        Ok(())
    }

    /// Changes the document if the lease is held; whether it is, then.
    async fn write(&self, change: impl Fn(&mut F::Document) + Send + Sync) -> Result<bool, StorageError> {
        let is_ours =
            |document: &F::Document| self.field.claim(document).is_some_and(|claim| claim.token == self.token);
        let changed = self.field.change(|document| {
            if is_ours(document) {
                change(document);
            }
        });
        Ok(is_ours(&*changed.await?))
    }

    fn lost(&self, why: &str) -> EngineError {
        EngineError::new(ErrorKind::Unavailable, format!("{} was given up: {why}", self.field.title()))
    }
}
