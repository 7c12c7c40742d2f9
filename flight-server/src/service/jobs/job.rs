//! One job: what it has made so far, how it ended, and who has fetched what.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::FlightDescriptor;
use boathouse_engine::{Engine, Prepared};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use super::{
    super::{encode, note::Note, query, session::Caller},
    run::Work,
};
use crate::ticket::Ticket;

/// Rows that one job makes ahead of those who fetch them.
const JOB_BYTES_MAX: usize = 16 << 20;

/// What a job is made of.
pub struct Terms {
    pub query_id: Uuid,
    pub owner: String,
    /// The kept session that it belongs to, if its client keeps one.
    pub session: Option<Uuid>,
    /// What the client asked for.
    pub descriptor: FlightDescriptor,
    pub prepared: Arc<Prepared>,
    pub schema: SchemaRef,
    /// The schema as an info has it.
    pub schema_bytes: Bytes,
    /// Into how many streams its rows go.
    pub parts: usize,
    /// How often the statement runs: once per row of parameters.
    pub runs: usize,
}

impl Terms {
    /// Of a statement that `caller` asks for.
    pub fn new(
        caller: &Caller,
        prepared: Arc<Prepared>,
        descriptor: FlightDescriptor,
        runs: usize,
    ) -> Result<Self, Status> {
        let schema = query::schema(&prepared);
        Ok(Self {
            query_id: caller.query_id,
            owner: caller.user(),
            session: caller.kept_id(),
            descriptor,
            parts: query::parts(caller, &prepared),
            schema_bytes: encode::schema_bytes(&schema)?,
            schema,
            prepared,
            runs,
        })
    }
}

/// A statement that runs in the background. Methods may be called at once.
pub struct Job {
    /// Known to its client only.
    pub id: Uuid,
    pub terms: Terms,
    /// Until it begins.
    work: Mutex<Option<Work>>,
    state: watch::Sender<State>,
    used: Mutex<Instant>,
    /// Bytes that all jobs of the server hold, and may hold.
    held: Arc<AtomicUsize>,
    held_max: usize,
}

#[derive(Debug, Default)]
struct State {
    rows: VecDeque<RecordBatch>,
    bytes: usize,
    rows_made: u64,
    /// No more rows have room until some are fetched. Stays once it was so.
    full: bool,
    runs_done: usize,
    progress: Option<f64>,
    /// The progress that its client knows.
    told: Option<f64>,
    /// Its client knows its effect.
    answered: bool,
    end: Option<Result<End, Status>>,
    parts: Vec<Part>,
}

/// How a statement ended well.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// All its rows are made.
    Rows,
    /// It had an effect.
    Effect(Note),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Waiting,
    BeingFetched,
    Fetched,
}

/// How far a job is, as its client is told.
#[derive(Debug)]
pub enum Told {
    Running,
    /// Its rows can be fetched; how many there are, when all are made.
    Ready {
        rows: Option<u64>,
    },
    Effect(Note),
    Failed(Status),
}

impl Job {
    pub fn new(terms: Terms, work: Work, now: Instant, held: Arc<AtomicUsize>, held_max: usize) -> Self {
        let parts = vec![Part::Waiting; terms.parts];
        let state = watch::Sender::new(State { parts, ..State::default() });
        let work = Mutex::new(Some(work));
        Self { id: Uuid::new_v4(), terms, work, state, used: Mutex::new(now), held, held_max }
    }

    /// What there is to do, for the one who begins it.
    pub fn begin(&self) -> Option<Work> {
        self.work.lock().take()
    }

    pub fn has_begun(&self) -> bool {
        self.work.lock().is_none()
    }

    /// Whether nothing is lost with it: it never began, it failed or was cancelled, or it had an effect of which its client was
    /// told.
    pub fn is_worthless(&self) -> bool {
        let state = self.state.borrow();
        match &state.end {
            None => !self.has_begun(),
            Some(Ok(End::Rows)) => false,
            Some(Ok(End::Effect(_))) => state.answered,
            Some(Err(_)) => true,
        }
    }

    /// Its client is told what effect it had.
    pub fn has_answered(&self) {
        self.state.send_if_modified(|state| {
            state.answered = true;
            false
        });
    }

    /// A ticket for each of its parts.
    pub fn tickets(&self, user: &str) -> Vec<Bytes> {
        (0..).take(self.terms.parts).map(|part| query::ticket(&Ticket::part_of(self.id, part), user)).collect()
    }

    /// Somebody asked for it.
    pub fn is_used(&self, now: Instant) {
        *self.used.lock() = now;
    }

    /// When somebody last asked for it; `None` while somebody fetches it.
    pub fn idle_since(&self) -> Option<Instant> {
        let fetched = self.state.borrow().parts.contains(&Part::BeingFetched);
        (!fetched).then(|| *self.used.lock())
    }

    pub fn told(&self) -> Told {
        let state = self.state.borrow();
        match &state.end {
            Some(Ok(End::Rows)) => Told::Ready { rows: Some(state.rows_made) },
            Some(Ok(End::Effect(note))) => Told::Effect(note.clone()),
            Some(Err(status)) => Told::Failed(status.clone()),
            None if state.full => Told::Ready { rows: None },
            None => Told::Running,
        }
    }

    /// Whether all parts are fetched.
    pub fn is_fetched(&self) -> bool {
        self.state.borrow().parts.iter().all(|part| *part == Part::Fetched)
    }

    /// The share of its work that is done, which never goes back; `None` as long as nothing is known of it.
    pub fn progress(&self, engine: &Engine) -> Option<f64> {
        let ended = matches!(self.state.borrow().end, Some(Ok(_)));
        let run = if ended { None } else { engine.query_progress(self.terms.query_id) };
        let mut progress = None;
        self.state.send_if_modified(|state| {
            let share = |run: f64| (state.runs_done as f64 + run) / self.terms.runs.max(1) as f64;
            let now = if ended { Some(1.0) } else { run.map(share).map(|share| share.clamp(0.0, 1.0)) };
            state.progress = state.progress.max_with(now);
            progress = state.progress;
            false
        });
        progress
    }

    /// Whether there is something new in `progress` for the client.
    pub fn is_news(&self, progress: Option<f64>) -> bool {
        match (self.state.borrow().told, progress) {
            (Some(told), Some(progress)) => progress >= told + 0.01,
            (told, progress) => told.is_none() && progress.is_some(),
        }
    }

    pub fn has_told(&self, progress: Option<f64>) {
        self.state.send_if_modified(|state| {
            state.told = progress;
            false
        });
    }

    /// Waits until it is told of otherwise than before: it has ended, or its rows can be fetched.
    pub async fn settled(&self) {
        // Fails only when there is no more sender, which is in the job.
        let _ = self.state.subscribe().wait_for(|state| state.full || state.end.is_some()).await;
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.end.is_some()).await;
    }

    /// The first end counts. Without all rows there are none.
    pub fn end(&self, end: Result<End, Status>) {
        self.state.send_if_modified(|state| {
            if state.end.is_some() && end.is_ok() {
                return false;
            }
            if end.is_err() {
                self.held.fetch_sub(state.bytes, Ordering::Relaxed);
                (state.bytes, state.rows) = (0, VecDeque::new());
            }
            if !matches!(state.end, Some(Err(_))) {
                state.end = Some(end);
            }
            true
        });
    }

    /// Stops it, or forgets its rows; whether there was something left of it.
    pub fn cancel(&self, status: Status) -> bool {
        let over = match &self.state.borrow().end {
            None | Some(Ok(End::Rows)) => false,
            Some(Ok(End::Effect(_)) | Err(_)) => true,
        };
        if !over {
            self.end(Err(status));
        }
        !over
    }

    /// One of its runs is done.
    pub fn has_run(&self) {
        self.state.send_if_modified(|state| {
            state.runs_done += 1;
            false
        });
    }

    /// Adds rows when there is room for them.
    pub async fn put(&self, batch: RecordBatch) {
        let bytes = batch.get_array_memory_size();
        let mut state = self.state.subscribe();
        while !self.has_room(&state.borrow_and_update()) {
            self.state.send_if_modified(|state| !std::mem::replace(&mut state.full, true));
            if state.changed().await.is_err() {
                return;
            }
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.state.send_modify(|state| {
            state.rows_made += batch.num_rows() as u64;
            state.bytes += bytes;
            state.rows.push_back(batch);
        });
    }

    fn has_room(&self, state: &State) -> bool {
        let crowded = state.bytes >= JOB_BYTES_MAX || self.held.load(Ordering::Relaxed) >= self.held_max;
        state.rows.is_empty() || !crowded
    }

    /// The next rows for whoever asks first. `None` after the last.
    pub async fn take(&self) -> Option<Result<RecordBatch, Status>> {
        let mut changes = self.state.subscribe();
        loop {
            changes.mark_unchanged();
            let mut next = None;
            self.state.send_if_modified(|state| {
                next = match (state.rows.pop_front(), &state.end) {
                    (Some(batch), _) => {
                        let bytes = batch.get_array_memory_size();
                        state.bytes -= bytes;
                        self.held.fetch_sub(bytes, Ordering::Relaxed);
                        Some(Some(Ok(batch)))
                    }
                    (None, Some(Err(status))) => Some(Some(Err(status.clone()))),
                    (None, Some(Ok(_))) => Some(None),
                    (None, None) => None,
                };
                matches!(next, Some(Some(Ok(_))))
            });
            if let Some(next) = next {
                return next;
            }
            if changes.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Claims a part, once; whether it was still there.
    pub fn open_part(&self, part: usize) -> bool {
        let mut opened = false;
        self.state.send_if_modified(|state| {
            if let Some(part) = state.parts.get_mut(part).filter(|part| **part == Part::Waiting) {
                *part = Part::BeingFetched;
                opened = true;
            }
            false
        });
        opened
    }

    pub fn close_part(&self, part: usize) {
        self.state.send_if_modified(|state| {
            if let Some(part) = state.parts.get_mut(part) {
                *part = Part::Fetched;
            }
            false
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.held.fetch_sub(self.state.borrow().bytes, Ordering::Relaxed);
    }
}

trait MaxWith {
    /// The larger one of those that there are.
    fn max_with(self, other: Self) -> Self;
}

impl MaxWith for Option<f64> {
    fn max_with(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        }
    }
}
