//! A statement that is planned or run now.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use boathouse_storage::{Account, Usage, write::CommitTimes};
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Origin, Queries, QueryPart, QueryRecord, QuerySpan, QueryState, trace::SPANS_MAX};
use crate::{EngineError, ErrorKind, Outcome, exec::Stop, parser::redact};

/// The part of a statement's text that is shown.
const SQL_BYTES_MAX: usize = 4 << 10;
/// Less of a phase is not told of, unless it is the last.
const MOMENT: Duration = Duration::from_micros(100);

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
    replays: AtomicU64,
    /// Noted for its trace.
    commits: Option<Arc<CommitTimes>>,
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
    /// For the trace; `None` when there is none.
    spans: Option<Vec<QuerySpan>>,
}

impl Clock {
    /// Time of each phase until now.
    fn spent(&self) -> [Duration; 3] {
        let mut spent = self.spent;
        spent[self.phase as usize] += self.since.elapsed();
        spent
    }

    /// The phase under way, as far as it has come.
    fn span(&self) -> QuerySpan {
        let part = match self.phase {
            Phase::Queued => QueryPart::Queued,
            Phase::Planning => QueryPart::Planning,
            Phase::Executing => QueryPart::Executing,
        };
        let took = self.since.elapsed();
        QuerySpan { part, began: SystemTime::now().checked_sub(took).unwrap_or(UNIX_EPOCH), took }
    }

    fn note_span(&mut self) {
        let span = self.span();
        // A statement whose turn has come is planned anew, after a moment that is no part of its execution.
        if span.part == QueryPart::Executing && span.took < MOMENT {
            return;
        }
        if let Some(spans) = self.spans.as_mut().filter(|spans| spans.len() < SPANS_MAX) {
            spans.push(span);
        }
    }
}

impl Live {
    pub(super) fn new(list: &Arc<Queries>, number: u64, origin: &Origin, sql: &str, phase: Phase) -> Self {
        let shown = redact(sql, SQL_BYTES_MAX);
        let traced = origin.trace.is_some();
        let spans = traced.then(Vec::new);
        Self {
            list: list.clone(),
            number,
            origin: origin.clone(),
            sql: shown.text.into(),
            secret: shown.secret,
            started: SystemTime::now(),
            planned_before: OnceLock::new(),
            clock: Mutex::new(Clock { phase, since: Instant::now(), spent: [Duration::ZERO; 3], spans }),
            statement: OnceLock::new(),
            account: OnceLock::new(),
            stop: OnceLock::new(),
            rows: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            commits: traced.then(Arc::default),
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
        if clock.phase == phase {
            return;
        }
        if clock.spans.is_some() {
            clock.note_span();
        }
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

    /// Where the times of its commits are noted, when it is traced.
    pub fn commit_times(&self) -> Option<Arc<CommitTimes>> {
        self.commits.clone()
    }

    /// It runs again, because another writer came first.
    pub fn replayed(&self) {
        self.replays.fetch_add(1, Ordering::Relaxed);
        self.list.replayed();
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
        if let Some(trace) = &self.origin.trace {
            (trace.tell)(&self.as_record(QueryState::Planning));
        }
        self.clock.lock().spent()[Phase::Planning as usize]
    }

    /// Notes the end, unless rows are still to come.
    pub fn answered(&self, outcome: Result<&Outcome, &EngineError>) {
        match outcome {
            Ok(Outcome::Rows(rows)) => match rows.ready_rows() {
                Some(ready) => self.add_rows(ready),
                None => return,
            },
            Ok(outcome @ (Outcome::Changed { .. } | Outcome::Done(_))) => {
                self.rows.store(outcome.count().unwrap_or_default(), Ordering::Relaxed);
            }
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

    /// Phases and commits until now, for the trace.
    fn spans(&self) -> Vec<QuerySpan> {
        let clock = self.clock.lock();
        let Some(mut spans) = clock.spans.clone() else { return Vec::new() };
        spans.push(clock.span());
        drop(clock);
        for commit in self.commits.iter().flat_map(|commits| commits.all()) {
            let (part, began, took) = (QueryPart::Commit { version: commit.version }, commit.began, commit.took);
            spans.push(QuerySpan { part, began, took });
        }
        spans
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
            replays: self.replays.load(Ordering::Relaxed),
            spans: self.spans(),
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
