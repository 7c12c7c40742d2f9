//! Marts that run by themselves, on a clock that the test sets.

mod files;
mod lag;
mod late;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use boathouse_storage::catalog::{Claim, MartLease};
use datafusion::arrow::{array::AsArray, datatypes::Int64Type};

use super::*;
use crate::{
    EngineConfig, Outcome as Statement,
    mart::{Clock, LeaseTimes},
};

/// 2026-01-01, 00:00 UTC.
const BEGIN: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

struct Place {
    engine: Arc<Engine>,
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
}

impl Place {
    async fn new() -> Self {
        let config = EngineConfig { threads: 2, ..EngineConfig::default() };
        let engine = Engine::open("memory://", config).await.unwrap();
        let place = Self { engine, folder: tempfile::tempdir().unwrap(), now: Arc::new(AtomicI64::new(BEGIN)) };
        place.execute("CREATE TABLE orders AS SELECT 1 AS id, 10 AS amount").await;
        place
    }

    fn write(&self, mart: &str, block: &str, query: &str) {
        fs::write(self.folder.path().join(format!("{mart}.sql")), format!("/*---\n{block}\n---*/\n{query}\n")).unwrap();
    }

    fn scheduler(&self) -> Scheduler {
        self.scheduler_of(self.folder.path())
    }

    fn scheduler_of(&self, folder: &Path) -> Scheduler {
        let now = self.now.clone();
        let clock = Clock::of(move || now.load(Ordering::SeqCst));
        let options = MartOptions { clock, ..MartOptions::default() };
        Scheduler::new(&self.engine, Some(folder.to_owned()), options)
    }

    fn at(&self, ms: i64) {
        self.now.store(BEGIN + ms, Ordering::SeqCst);
    }

    async fn execute(&self, sql: &str) {
        if let Statement::Rows(rows) = self.engine.session().execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
        {
            rows.collect().await.unwrap();
        }
    }

    /// Cause, state and attempt of each run, oldest first.
    async fn runs(&self, mart: &str) -> Vec<(MartCause, &'static str, u32)> {
        let document = self.engine.lake().mart(mart).await.unwrap();
        document.runs.iter().map(|run| (run.cause, run.state.word(), run.attempt)).collect()
    }

    /// The only number that a query gives.
    async fn number(&self, sql: &str) -> i64 {
        let Statement::Rows(rows) = self.engine.session().execute(sql).await.unwrap() else { panic!("{sql}") };
        let batches = rows.collect().await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    async fn version(&self, table: &str) -> u64 {
        self.engine.lake().table("m", table).await.unwrap().version()
    }
}

/// Looks, and waits for what that began.
async fn turn(scheduler: &mut Scheduler) -> i64 {
    let next_ms = scheduler.pass().await;
    scheduler.settle().await;
    next_ms - BEGIN
}

fn tick(ms: i64) -> MartCause {
    MartCause::Tick(BEGIN + ms)
}

const SUM: &str = "SELECT sum(amount) AS total FROM orders";

#[tokio::test]
async fn a_mart_runs_at_its_ticks_and_only_then() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1h\" }", SUM);
    let mut scheduler = place.scheduler();
    // Never published: at once, in the name of the last tick.
    place.at(5 * MINUTE);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.total").await, [(tick(0), "succeeded", 1)]);
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    place.at(HOUR - 3000);
    assert_eq!(turn(&mut scheduler).await, HOUR);
    assert_eq!(place.version("total").await, 0);
    place.at(HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.total").await[1..], [(tick(HOUR), "succeeded", 1)]);
    assert_eq!(place.version("total").await, 1);
    // Nothing changed: nothing is published, and nothing is written down.
    place.at(2 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!((place.runs("m.total").await.len(), place.version("total").await), (2, 1));
}

#[tokio::test]
async fn a_server_that_was_away_makes_up_for_one_tick() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { cron = \"0 6 * * *\" }", SUM);
    place.write("m.other", "refresh = { cron = \"0 6 * * *\", catch_up = \"none\" }", SUM);
    turn(&mut place.scheduler()).await;
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    // Three mornings later another process begins.
    place.at(3 * 24 * HOUR - HOUR);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    let mornings = [tick(-18 * HOUR), tick(2 * 24 * HOUR + 6 * HOUR)];
    assert_eq!(place.runs("m.total").await, mornings.map(|tick| (tick, "succeeded", 1)));
    assert_eq!(place.runs("m.other").await, [(mornings[0], "succeeded", 1)]);
    // And not again, whoever looks.
    turn(&mut scheduler).await;
    turn(&mut place.scheduler()).await;
    assert_eq!((place.version("total").await, place.version("other").await), (1, 0));
    place.at(3 * 24 * HOUR + 6 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.version("other").await, 1);
}

#[tokio::test]
async fn a_commit_is_followed_by_a_run_but_not_too_often() {
    let place = Place::new().await;
    let refresh = "refresh = { on_commit = true, at_most_every = \"10min\" }";
    place.write("m.total", refresh, SUM);
    place.write("m.twice", refresh, "SELECT total * 2 AS twice FROM m.total");
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    assert_eq!((place.version("total").await, place.version("twice").await), (0, 0));
    place.at(MINUTE);
    turn(&mut scheduler).await;
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 0);
    place.at(10 * MINUTE);
    turn(&mut scheduler).await;
    // What reads it sees that it has another version.
    turn(&mut scheduler).await;
    assert_eq!((place.version("total").await, place.version("twice").await), (1, 1));
    assert_eq!(place.runs("m.twice").await, [(MartCause::Commit, "succeeded", 1); 2]);
    place.at(60 * MINUTE);
    for _ in 0..3 {
        turn(&mut scheduler).await;
    }
    assert_eq!(place.runs("m.total").await.len(), 2);
    // Another definition is a change, too.
    place.write("m.total", refresh, "SELECT sum(amount) + 1 AS total FROM orders");
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 2);
}

#[tokio::test]
async fn a_mart_runs_behind_those_that_it_reads() {
    let place = Place::new().await;
    // The first by name reads the second.
    place.write("m.a", "refresh = { every = \"1h\" }", "SELECT total FROM m.b");
    place.write("m.b", "refresh = { every = \"1h\" }\n[[test]]\nexpect = \"total < 100\"", SUM);
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hears = heard.clone();
    let mut scheduler =
        place.scheduler().telling(move |notice| hears.lock().push((notice.mart, notice.kind.word(), notice.tests)));
    turn(&mut scheduler).await;
    place.execute("INSERT INTO orders VALUES (2, 900)").await;
    place.at(HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.b").await[1..], [(tick(HOUR), "failed", 1)]);
    assert_eq!(place.runs("m.a").await[1..], [(tick(HOUR), "blocked", 1)]);
    // A test that failed is not tried again by itself, and the mart behind it waits without filling its history.
    place.at(HOUR + 20 * MINUTE);
    for _ in 0..3 {
        turn(&mut scheduler).await;
    }
    assert_eq!((place.runs("m.a").await.len(), place.runs("m.b").await.len()), (2, 2));
    place.execute("DELETE FROM orders WHERE amount = 900; ").await;
    place.execute("INSERT INTO orders VALUES (3, 5)").await;
    place.at(2 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.b").await[2..], [(tick(2 * HOUR), "succeeded", 1)]);
    assert_eq!(place.runs("m.a").await[2..], [(tick(2 * HOUR), "succeeded", 1)]);
    let told = |kind, tests: &[(&str, u64)]| {
        ("m.b".to_owned(), kind, tests.iter().map(|(test, count)| ((*test).to_owned(), *count)).collect::<Vec<_>>())
    };
    let expected = [told("failed", &[("expect(total < 100)", 1)]), told("recovered", &[])];
    assert_eq!(*heard.lock(), expected);
}

#[tokio::test]
async fn one_mart_with_a_fault_stops_none_but_those_that_read_it() {
    let place = Place::new().await;
    place.execute("CREATE TABLE late AS SELECT 1 AS x").await;
    let hourly = "refresh = { every = \"1h\" }";
    place.write("m.bad", hourly, "SELECT x FROM late");
    place.write("m.behind", hourly, "SELECT x FROM m.bad");
    place.write("m.good", hourly, SUM);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    place.execute("DROP TABLE late").await;
    place.at(HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.good").await[1..], [(tick(HOUR), "succeeded", 1)]);
    assert_eq!(place.runs("m.bad").await[1..], [(tick(HOUR), "failed", 1)]);
    assert_eq!(place.runs("m.behind").await[1..], [(tick(HOUR), "blocked", 1)]);
    let document = place.engine.lake().mart("m.bad").await.unwrap();
    let error = document.runs[1].error.clone().unwrap();
    assert!(error.contains("m.bad.sql") && error.contains("\"main.late\" does not exist"), "{error}");
    assert_eq!(scheduler.faults().len(), 1);
    // A file that cannot be read leaves what was read before at work.
    place.write("m.good", "refresh = 3", SUM);
    place.execute("UNDROP TABLE late").await;
    place.execute("INSERT INTO orders VALUES (3, 30)").await;
    place.at(2 * HOUR);
    turn(&mut scheduler).await;
    assert!(scheduler.faults()[0].contains("m.good.sql:2: "), "{:?}", scheduler.faults());
    assert_eq!(place.runs("m.good").await[2..], [(tick(2 * HOUR), "succeeded", 1)]);
    place.write("m.good", hourly, SUM);
    turn(&mut scheduler).await;
    assert_eq!(scheduler.faults(), [""; 0]);
}

#[tokio::test]
async fn servers_that_tell_one_fault_in_other_words_write_it_down_once_each() {
    let (place, copy) = (Place::new().await, tempfile::tempdir().unwrap());
    place.write("m.bad", "refresh = { on_commit = true, at_most_every = \"1s\" }", "SELECT x FROM nowhere");
    fs::copy(place.folder.path().join("m.bad.sql"), copy.path().join("m.bad.sql")).unwrap();
    let (mut one, mut other) = (place.scheduler(), place.scheduler_of(copy.path()));
    for minute in 0..6 {
        place.at(minute * MINUTE);
        turn(&mut one).await;
        turn(&mut other).await;
    }
    assert_eq!(place.runs("m.bad").await, [(MartCause::Commit, "failed", 1); 2]);
}

#[tokio::test]
async fn what_may_come_back_is_tried_again() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1h\" }\nretry = { attempts = 2, backoff = \"5min\" }", SUM);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    // As a run leaves it that could not reach the lake.
    let failed = |ms: i64, attempt: u32| {
        let place = &place;
        async move {
            let first = place.engine.lake().mart("m.total").await.unwrap().runs[0].clone();
            let (cause, retry_ms) = (tick(HOUR), (attempt < 2).then_some(BEGIN + ms + 5 * MINUTE));
            let (started_ms, id) = (BEGIN + ms, attempt.to_string());
            let run = MartRun { id, state: MartRunState::Failed, cause, attempt, started_ms, retry_ms, ..first };
            place.engine.lake().change_mart("m.total", |document| document.push(run.clone())).await.unwrap();
        }
    };
    failed(HOUR, 1).await;
    place.at(HOUR + 4 * MINUTE);
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 0);
    place.at(HOUR + 5 * MINUTE);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.total").await[2..], [(tick(HOUR), "succeeded", 2)]);
    // The last attempt has no other behind it.
    place.execute("INSERT INTO orders VALUES (3, 30)").await;
    let document = place.engine.lake().change_mart("m.total", |document| document.runs.truncate(2)).await.unwrap();
    assert_eq!(document.runs.len(), 2);
    failed(HOUR + 5 * MINUTE, 2).await;
    place.at(HOUR + 50 * MINUTE);
    turn(&mut place.scheduler()).await;
    assert_eq!(place.version("total").await, 1);
}

#[tokio::test]
async fn a_run_of_which_nothing_is_written_down_is_not_over() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1h\" }", SUM);
    turn(&mut place.scheduler()).await;
    let outcome = Outcome::Failed(EngineError::internal("the lake could not be reached"));
    let report =
        Report { mart: "m.total".to_owned(), outcome, tests: Vec::new(), intervals: 0, took: Duration::from_secs(1) };
    // The last run is that of an earlier tick.
    assert_eq!(end(&place.engine, &report, tick(HOUR)).await, End::Later);
    let first = place.engine.lake().mart("m.total").await.unwrap().runs[0].clone();
    for (retry_ms, expected) in [(Some(BEGIN + HOUR), End::Retried), (None, End::Failed)] {
        let run = MartRun { state: MartRunState::Failed, cause: tick(HOUR), retry_ms, ..first.clone() };
        place.engine.lake().change_mart("m.total", |document| document.push(run.clone())).await.unwrap();
        assert_eq!(end(&place.engine, &report, tick(HOUR)).await, expected);
    }
}

#[tokio::test]
async fn a_tick_outlives_two_who_ended_in_its_midst() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1h\" }", SUM);
    let now = place.now.clone();
    let [beat, dead_after, look] = [20, 100, 10].map(Duration::from_millis);
    let lease = LeaseTimes { beat, dead_after, look };
    let options = MartOptions { clock: Clock::of(move || now.load(Ordering::SeqCst)), lease, ..MartOptions::default() };
    let scheduler = || Scheduler::new(&place.engine, Some(place.folder.path().to_owned()), options.clone());
    turn(&mut scheduler()).await;
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    place.at(HOUR);
    let first = place.engine.lake().mart("m.total").await.unwrap().runs[0].clone();
    // Each left a lease, which the next one finds.
    for (dead, expected) in [("one", 1), ("two", 2)] {
        let run = MartRun { id: dead.to_owned(), cause: tick(HOUR), number: 1, version: None, ..first.clone() };
        let claim = Claim { token: "dead".to_owned(), holder: "process 1".to_owned(), beat: 3 };
        let held = MartLease { claim, run };
        let change = place.engine.lake().change_mart("m.total", |document| {
            document.runs.retain(|run| run.cause != tick(HOUR) || run.state != MartRunState::Succeeded);
            document.lease = Some(held.clone());
        });
        change.await.unwrap();
        place.execute("INSERT INTO orders VALUES (3, 30)").await;
        turn(&mut scheduler()).await;
        let runs = place.runs("m.total").await;
        assert_eq!(runs.last(), Some(&(tick(HOUR), "succeeded", expected)), "{runs:?}");
        assert_eq!(place.version("total").await, u64::from(expected));
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_given_up() {
    let place = Place::new().await;
    let long = "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    place.write("m.long", "refresh = { every = \"1h\" }\ntimeout = \"1s\"", long);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.long").await, [(tick(0), "failed", 1)]);
    let error = place.engine.lake().mart("m.long").await.unwrap().runs[0].error.clone().unwrap();
    assert!(error.starts_with("the run took longer than its timeout, 1s"), "{error}");
    assert!(place.engine.lake().table("m", "long").await.is_err());
    assert_eq!(place.engine.statements_active(), 0);
}

/// Two servers on one lake, one process for this test's sake, each with a look at the same tick.
async fn two_servers(ticks: i64) {
    let place = Place::new().await;
    // Its rows are other ones at each run, so nothing but the tick tells that it was carried out.
    place.write("m.a", "refresh = { every = \"1min\" }", "SELECT random() AS id");
    place.write("m.b", "refresh = { cron = \"0-59/2 * * * *\" }", "SELECT count(*) AS n FROM m.a");
    let (mut one, mut two) = (place.scheduler(), place.scheduler());
    for at in 0..ticks {
        place.at(at * MINUTE);
        if at % 97 == 96 {
            // One of them is replaced.
            two = place.scheduler();
        }
        if at % 3 == 0 {
            tokio::join!(turn(&mut one), turn(&mut two));
        } else {
            turn(&mut two).await;
            turn(&mut one).await;
        }
    }
    // Whoever was too late to do the last one finds it done.
    tokio::join!(turn(&mut one), turn(&mut two));
    assert_eq!(place.version("a").await, u64::try_from(ticks).unwrap() - 1);
    for mart in ["m.a", "m.b"] {
        let mut runs = place.runs(mart).await;
        assert!(runs.iter().all(|(_, state, _)| *state == "succeeded"), "{mart} {runs:?}");
        let all = runs.len();
        runs.dedup();
        assert_eq!(runs.len(), all, "{mart}: a tick was carried out twice");
    }
    assert_eq!(place.runs("m.a").await.last().unwrap().0, tick((ticks - 1) * MINUTE));
}

#[tokio::test]
async fn two_servers_carry_out_each_tick_once() {
    let long = std::env::var("BOATHOUSE_TEST_TICKS").ok().and_then(|ticks| ticks.parse().ok());
    two_servers(long.unwrap_or(60)).await;
}

#[tokio::test]
async fn two_servers_carry_out_each_interval_once() {
    let place = Place::new().await;
    let half_hours = "CAST(to_timestamp_seconds(1767225600 + value * 1800) AS TIMESTAMP)";
    place.execute(&format!("CREATE TABLE events AS SELECT {half_hours} AS ts FROM generate_series(0, 199)")).await;
    let block = "strategy = \"append\"\nrefresh = { every = \"1h\" }\n\
                 interval = { column = \"ts\", grain = \"hour\", start = \"2026-01-01\" }";
    place.write("m.hours", block, "SELECT ts FROM events WHERE ts >= $start AND ts < $end");
    let (mut one, mut two) = (place.scheduler(), place.scheduler());
    // Five hours in which nobody was there are made up for, hour by hour.
    for hour in (0..20).chain(25..31) {
        place.at(hour * HOUR);
        if hour % 2 == 0 {
            tokio::join!(turn(&mut one), turn(&mut two));
        } else {
            turn(&mut two).await;
            turn(&mut one).await;
        }
    }
    tokio::join!(turn(&mut one), turn(&mut two));
    // The table was made before any hour was over.
    assert_eq!(place.version("hours").await, 30);
    assert_eq!(place.number("SELECT count(*) FROM m.hours").await, 60);
    assert_eq!(place.number("SELECT count(DISTINCT ts) FROM m.hours").await, 60);
    let last = place.number("SELECT max(arrow_cast(ts, 'Int64')) FROM m.hours").await;
    assert_eq!(last, (BEGIN + 30 * HOUR - 30 * MINUTE) * 1000);
}

#[tokio::test]
async fn marts_of_statements_run_beside_those_of_files_and_changes_are_seen() {
    let place = Place::new().await;
    let clock = place.now.clone();
    let clock = Clock::of(move || clock.load(Ordering::SeqCst));
    let mut scheduler = Scheduler::new(&place.engine, None, MartOptions { clock, ..MartOptions::default() });
    turn(&mut scheduler).await;
    place.execute(&format!("CREATE MART m.total WITH (refresh = (every = '1h')) AS {SUM}")).await;
    turn(&mut scheduler).await;
    assert_eq!(place.number("SELECT total FROM m.total").await, 10);
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    place.execute("ALTER MART m.total SET (refresh = (every = '10min'))").await;
    place.at(10 * MINUTE);
    turn(&mut scheduler).await;
    assert_eq!(place.number("SELECT total FROM m.total").await, 30);
    assert_eq!(place.runs("m.total").await, [(tick(0), "succeeded", 1), (tick(10 * MINUTE), "succeeded", 1)]);
    // A file of the same name, and one more: only those two of one name do not run.
    place.write("m.total", "refresh = { every = \"10min\" }", SUM);
    place.write("m.other", "refresh = { every = \"10min\" }", SUM);
    let mut scheduler = place.scheduler();
    place.at(20 * MINUTE);
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.other").await, [(tick(20 * MINUTE), "succeeded", 1)]);
    assert!(scheduler.faults()[0].contains("two marts have the name \"m.total\"\nDETAIL: The other one is "));
    place.execute("INSERT INTO orders VALUES (3, 30)").await;
    place.execute("DROP MART m.total").await;
    turn(&mut scheduler).await;
    assert!(scheduler.faults().is_empty(), "{:?}", scheduler.faults());
    assert_eq!(place.runs("m.total").await, [(tick(20 * MINUTE), "succeeded", 1)]);
}
