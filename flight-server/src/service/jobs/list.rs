//! The jobs of a server.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use boathouse_engine::Effect;
use parking_lot::Mutex;
use tonic::Status;
use uuid::Uuid;

use super::{
    job::{Job, Terms},
    run::Work,
};
use crate::clock::Clock;

/// Jobs that are kept, and those of one user among them.
const JOBS_MAX: usize = 1_000;
const JOBS_OF_USER_MAX: usize = 100;
/// Part of the memory of a process that the rows of all jobs may take.
const MEMORY_PART: usize = 16;

/// How statements are polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollOptions {
    /// How long a statement or its result is kept that nobody asks for. Default: five minutes.
    pub kept: Duration,
    /// How long a poll waits for something new to tell. Default: five seconds.
    pub wait: Duration,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self { kept: Duration::from_secs(300), wait: Duration::from_secs(5) }
    }
}

/// By their ids. Methods may be called at once.
pub struct Jobs {
    jobs: Mutex<HashMap<Uuid, Arc<Job>>>,
    pub options: PollOptions,
    clock: Clock,
    held: Arc<AtomicUsize>,
    held_max: usize,
}

impl Jobs {
    /// For a process that may use so much memory.
    pub fn new(options: PollOptions, clock: Clock, memory_bytes_max: usize) -> Self {
        let held_max = memory_bytes_max / MEMORY_PART;
        Self { jobs: Mutex::default(), options, clock, held: Arc::default(), held_max }
    }

    /// A new job, which does not run yet.
    pub fn add(&self, terms: Terms, work: Work) -> Result<Arc<Job>, Status> {
        self.expire();
        let job = Arc::new(Job::new(terms, work, self.clock.now(), self.held.clone(), self.held_max));
        let mut jobs = self.jobs.lock();
        let mut own = jobs.values().filter(|other| other.terms.owner == job.terms.owner).count();
        if own >= JOBS_OF_USER_MAX {
            // Clients may ask for an info and never fetch.
            let idle = jobs.values().filter(|other| other.terms.owner == job.terms.owner && other.is_worthless());
            if let Some(oldest) = idle.min_by_key(|other| other.idle_since()).map(|other| other.id) {
                jobs.remove(&oldest);
                own -= 1;
            }
        }
        if jobs.len() >= JOBS_MAX || own >= JOBS_OF_USER_MAX {
            return Err(Status::resource_exhausted(format!(
                "too many results wait to be fetched: {own} of yours, {} in all\nHINT: Fetch or cancel some; each is \
                 forgotten after {:?}.",
                jobs.len(),
                self.options.kept
            )));
        }
        jobs.insert(job.id, job.clone());
        Ok(job)
    }

    /// The job of a user.
    pub fn find(&self, user: &str, id: &str) -> Result<Arc<Job>, Status> {
        self.expire();
        let job = Uuid::parse_str(id).ok().and_then(|id| self.jobs.lock().get(&id).cloned()).ok_or_else(gone)?;
        if job.terms.owner != user {
            return Err(Status::permission_denied("this result belongs to another user"));
        }
        job.is_used(self.clock.now());
        Ok(job)
    }

    /// Somebody who used a job leaves it.
    pub fn leave(&self, job: &Job) {
        job.is_used(self.clock.now());
        if job.is_fetched() {
            self.remove(job.id);
        }
    }

    /// Ends a job and forgets it.
    pub fn remove(&self, id: Uuid) {
        let job = self.jobs.lock().remove(&id);
        if let Some(job) = job {
            job.cancel(gone());
        }
    }

    /// The jobs of a session end with it.
    pub fn end_session(&self, session: Uuid) {
        self.remove_where(|job| job.terms.session == Some(session));
    }

    /// Ends jobs that nobody asks for any more.
    pub fn expire(&self) {
        let now = self.clock.now();
        self.remove_where(|job| {
            job.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= self.options.kept)
        });
    }

    /// Waits for the end of the statements under way that have an effect. Nobody is told of it any more, but they were asked for.
    pub async fn effects_done(&self) {
        let has_effect = |job: &&Arc<Job>| job.has_begun() && job.terms.prepared.effect() != Effect::Rows;
        let jobs: Vec<_> = self.jobs.lock().values().filter(has_effect).cloned().collect();
        for job in jobs {
            job.ended().await;
        }
    }

    /// When a job that is used now is forgotten.
    pub fn expires(&self) -> SystemTime {
        self.clock.date() + self.options.kept
    }

    fn remove_where(&self, over: impl Fn(&Job) -> bool) {
        let mut removed = Vec::new();
        self.jobs.lock().retain(|_, job| {
            let over = over(job);
            if over {
                removed.push(job.clone());
            }
            !over
        });
        for job in removed {
            job.cancel(gone());
        }
    }
}

pub fn gone() -> Status {
    Status::not_found(
        "this result is not there: it was fetched or cancelled, or nobody asked for it in time\nHINT: Run the statement again.",
    )
}
