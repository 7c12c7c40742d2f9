//! A statement that is planned or run now.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use boathouse_storage::{Account, Usage};
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Origin, Queries, QueryRecord, QueryState};
use crate::{EngineError, ErrorKind, Outcome, exec::Stop, parser::redact};

/// The part of a statement's text that is shown.
const SQL_BYTES_MAX: usize = 4 << 10;

/// What a statement's time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Queued,
    Planning,
    Executing,
}

/// One statement on its way. Whoever works on it holds a share; the one that knows how it ended says so.
pub(crate) struct Live {
    list: Arc<Queries>,
    number: u64,
    origin: Origin,
    sql: Arc<str>,
    /// Its text holds a secret, and what errors say of it might, too.
    secret: bool,
    started: SystemTime,
    /// Planned in a call before this run, for so long.
    planned_before: OnceLock<Duration>,
    clock: Mutex<Clock>,
    statement: OnceLock<&'static str>,
    account: OnceLock<Arc<Account>>,
    stop: OnceLock<Arc<Stop>>,
    rows: AtomicU64,
    result_cache_hit: AtomicBool,
    killed: watch::Sender<bool>,
    over: AtomicBool,
    ended: OnceLock<Arc<QueryRecord>>,
}

#[derive(Debug)]
struct Clock {
    phase: Phase,
    since: Instant,
    spent: [Duration; 3],
}

impl Clock {
    /// Time of each phase until now.
    fn spent(&self) -> [Duration; 3] {
        let mut spent = self.spent;
        spent[self.phase as usize] += self.since.elapsed();
        spent
    }
}

impl Live {
    pub(super) fn new(list: &Arc<Queries>, number: u64, origin: &Origin, sql: &str, phase: Phase) -> Self {
        let shown = redact(sql, SQL_BYTES_MAX);
        Self {
            list: list.clone(),
            number,
            origin: origin.clone(),
            sql: shown.text.into(),
            secret: shown.secret,
            started: SystemTime::now(),
            planned_before: OnceLock::new(),
            clock: Mutex::new(Clock { phase, since: Instant::now(), spent: [Duration::ZERO; 3] }),
            statement: OnceLock::new(),
            account: OnceLock::new(),
            stop: OnceLock::new(),
            rows: AtomicU64::new(0),
            result_cache_hit: AtomicBool::new(false),
            killed: watch::Sender::new(false),
            over: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What kind of statement it is: `SELECT`.
    pub fn is_a(&self, statement: &'static str) {
        let _ = self.statement.set(statement);
    }

    pub fn enter(&self, phase: Phase) {
        let mut clock = self.clock.lock();
        clock.spent = clock.spent();
        clock.since = Instant::now();
        clock.phase = phase;
    }

    /// It was planned just before, for so long.
    pub fn was_planned(&self, time: Duration) {
        if self.planned_before.set(time).is_ok() {
            self.clock.lock().spent[Phase::Planning as usize] += time;
        }
    }

    /// Where it takes its memory from, and what stops it where it looks up seldom.
    pub fn runs_on(&self, runtime: &RuntimeEnv, stop: &Arc<Stop>) -> Arc<Account> {
        let account = self.account.get_or_init(|| Account::open(runtime)).clone();
        let _ = self.stop.set(stop.clone());
        if *self.killed.borrow() {
            stop.ask();
        }
        account
    }

    pub fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The share of the tables' files that it has read, if it reads any.
    pub fn progress(&self) -> Option<f64> {
        self.account.get().and_then(|account| account.progress())
    }

    /// Its rows are those of an earlier run.
    pub fn is_answered_from_cache(&self) {
        self.result_cache_hit.store(true, Ordering::Relaxed);
    }

    /// Ends it, wherever it is.
    pub fn kill(&self) {
        self.killed.send_replace(true);
        if let Some(stop) = self.stop.get() {
            stop.ask();
        }
    }

    /// Runs `work` unless somebody kills the statement first.
    pub async fn until_killed<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let mut killed = self.killed.subscribe();
        tokio::select! {
            biased;
            _ = killed.wait_for(|killed| *killed) => Err(was_killed()),
            result = work => match result {
                // It may have noticed by itself, without knowing why.
                Err(error) if error.kind == ErrorKind::Cancelled && *self.killed.borrow() => Err(was_killed()),
                result => result,
            },
        }
    }

    /// It was planned, and that is all: nothing is kept of it. Gives the time that it took.
    pub fn planned(&self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.list.forget(self.number);
        self.clock.lock().spent()[Phase::Planning as usize]
    }

    /// Notes the end, unless rows are still to come.
    pub fn answered(&self, outcome: Result<&Outcome, &EngineError>) {
        match outcome {
            Ok(Outcome::Rows(rows)) => match rows.ready_rows() {
                Some(ready) => self.add_rows(ready),
                None => return,
            },
            Ok(Outcome::Changed { inserted, updated, deleted, .. }) => {
                self.rows.store(inserted + updated + deleted, Ordering::Relaxed);
            }
            Ok(Outcome::Done(_)) => {}
            Err(error) => return self.failed(error),
        }
        self.done();
    }

    /// It is done, and all of its rows were taken.
    pub fn done(&self) {
        self.end(QueryState::Done, None, None);
    }

    pub fn failed(&self, error: &EngineError) {
        let state = if error.kind == ErrorKind::Cancelled { QueryState::Cancelled } else { QueryState::Failed };
        self.end(state, Some(error.kind), (!self.secret).then(|| error.message.clone()));
    }

    /// As it stands, or as it ended.
    pub fn record(&self) -> Arc<QueryRecord> {
        if let Some(ended) = self.ended.get() {
            return ended.clone();
        }
        let phase = self.clock.lock().phase;
        Arc::new(self.as_record(match phase {
            Phase::Planning => QueryState::Planning,
            Phase::Queued => QueryState::Queued,
            Phase::Executing => QueryState::Running,
        }))
    }

    fn end(&self, state: QueryState, error_kind: Option<ErrorKind>, error: Option<String>) {
        if self.over.swap(true, Ordering::Relaxed) {
            return;
        }
        let record = QueryRecord { error_kind, error, ended: Some(SystemTime::now()), ..self.as_record(state) };
        let record = self.ended.get_or_init(|| Arc::new(record));
        self.list.ended(self.number, record.clone());
    }

    fn as_record(&self, state: QueryState) -> QueryRecord {
        let [queued_us, planning_us, executing_us] = self.clock.lock().spent().map(micros);
        QueryRecord {
            origin: self.origin.clone(),
            state,
            statement: self.statement.get().copied(),
            sql: self.sql.clone(),
            error_kind: None,
            error: None,
            rows: self.rows.load(Ordering::Relaxed),
            usage: self.account.get().map_or(Usage::default(), |account| account.usage()),
            queued_us,
            planning_us,
            executing_us,
            started: self.planned_before.get().and_then(|time| self.started.checked_sub(*time)).unwrap_or(self.started),
            ended: None,
            result_cache_hit: self.result_cache_hit.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Without a word of how it ended: its worker panicked, or its client went away.
        match std::thread::panicking() {
            true => self.end(QueryState::Failed, Some(ErrorKind::Internal), None),
            false => self.end(QueryState::Cancelled, Some(ErrorKind::Cancelled), None),
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("origin", &self.origin).field("sql", &self.sql).finish_non_exhaustive()
    }
}

fn was_killed() -> EngineError {
    EngineError::new(ErrorKind::Cancelled, "the statement was killed by KILL QUERY")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
