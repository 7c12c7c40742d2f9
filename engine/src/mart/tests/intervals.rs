//! Marts that are made interval by interval.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use boathouse_storage::catalog::MartTestState;

use super::{
    Change, Clock, Definition, MartOptions, MartOutcome, Project, Report, engine, execute, options, rows, run, words,
};
use crate::{Engine, mart::time_ms};

const APPEND: &str = "/*---
strategy = \"append\"
interval = { column = \"ts\", grain = \"day\", lookback = 2, start = \"2026-01-01\" }
---*/
SELECT ts, x FROM events WHERE ts >= $start AND ts < $end";

/// A lake, and a clock that is set by hand.
struct Place {
    engine: Arc<Engine>,
    now: Arc<AtomicI64>,
}

impl Place {
    /// With an event at noon of each of these days of January.
    async fn new(now: &str, days: &[u32]) -> Self {
        let place = Self { engine: engine().await, now: Arc::default() };
        place.at(now);
        execute(&place.engine, "CREATE TABLE events (ts TIMESTAMP, x BIGINT)").await;
        for day in days {
            place.event(&format!("2026-01-{day:02} 12:00"), i64::from(*day)).await;
        }
        place
    }

    fn at(&self, now: &str) {
        self.now.store(time_ms(now).unwrap(), Ordering::Relaxed);
    }

    async fn event(&self, ts: &str, x: i64) {
        execute(&self.engine, &format!("INSERT INTO events VALUES (TIMESTAMP '{ts}:00', {x})")).await;
    }

    async fn opened(&self, mart: &str) -> Result<Project, String> {
        let now = self.now.clone();
        let options = MartOptions { clock: Clock::of(move || now.load(Ordering::Relaxed)), ..options() };
        let definition = Definition::parse("marts/m.t.sql", mart).unwrap();
        let opened = Project::open(&self.engine, vec![definition], options).await;
        opened.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    async fn mart(&self, mart: &str) -> Project {
        self.opened(mart).await.unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// All values, in order.
    async fn x(&self) -> String {
        rows(&self.engine, "SELECT x FROM m.t ORDER BY x").await.replace('\n', " ")
    }

    async fn version(&self) -> u64 {
        self.engine.lake().table("m", "t").await.unwrap().version()
    }
}

async fn intervals(project: &Project) -> String {
    project.plan(&[]).await.unwrap()[0].intervals.join(" ")
}

async fn backfill(project: &Project, from: &str, to: &str) -> Vec<Report> {
    project.backfill("m.t", time_ms(from).unwrap(), time_ms(to).unwrap(), |_| {}).await.unwrap()
}

fn message(reports: &[Report]) -> &str {
    let MartOutcome::Failed(error) = &reports[0].outcome else { panic!("{reports:?}") };
    &error.message
}

#[tokio::test]
async fn each_interval_is_one_commit_when_it_is_over() {
    let place = Place::new("2026-01-04 12:00", &[1, 2, 3, 4, 5]).await;
    let project = place.mart(APPEND).await;
    assert_eq!(intervals(&project).await, "2026-01-01 2026-01-02 2026-01-03");
    let reports = run(&project).await;
    assert_eq!((words(&reports), reports[0].intervals), (vec!["succeeded"], 3), "{reports:?}");
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3", 2));
    assert_eq!(words(&run(&project).await), ["skipped"]);

    // Time goes on, and no input changed: only what is new.
    place.at("2026-01-05 00:00");
    let planned = &project.plan(&[]).await.unwrap()[0];
    assert_eq!((&planned.change, planned.intervals.join(" ").as_str()), (&Change::Time, "2026-01-04"));
    assert_eq!(run(&project).await[0].intervals, 1);
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3 4", 3));
    assert_eq!(words(&run(&project).await), ["skipped"]);

    // Late rows: those of the lookback are seen.
    place.event("2026-01-03 23:59", 30).await;
    place.event("2026-01-01 00:00", 10).await;
    place.at("2026-01-06 00:00");
    assert_eq!(intervals(&project).await, "2026-01-03 2026-01-04 2026-01-05");
    assert_eq!(run(&project).await[0].intervals, 3);
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3 4 5 30", 6));
    assert_eq!(words(&run(&project).await), ["skipped"]);
    let reports = backfill(&project, "2026-01-01", "2026-01-02").await;
    assert_eq!((words(&reports), reports[0].intervals), (vec!["succeeded"], 1));
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3 4 5 10 30", 7));
    // It was a run of its own, behind which there is nothing to do.
    assert_eq!(words(&run(&project).await), ["skipped"]);
    assert_eq!(project.run(&[], true, |_| {}).await.unwrap()[0].intervals, 2);
    assert_eq!(place.x().await, "1 2 3 4 5 10 30");
    let error = project.backfill("m.t", 0, 1, |_| {}).await.unwrap_err();
    assert_eq!(error.message, "no interval of mart \"m.t\" is done in this time");
}

#[tokio::test]
async fn a_run_that_stops_is_gone_on_with_where_it_stopped() {
    let place = Place::new("2026-01-06 00:00", &[1, 2, 3, 4, 5]).await;
    place.event("2026-01-03 13:00", -1).await;
    let mart = APPEND.replace("---*/", "[[test]]\nexpect = \"x > 0\"\n---*/");
    let project = place.mart(&mart).await;
    let reports = run(&project).await;
    let expected =
        "interval 2026-01-03: the new version of table \"m.t\" was refused: the test \"expect(x > 0)\" failed";
    assert_eq!(message(&reports), expected);
    assert_eq!(reports[0].tests[0].samples, ["ts: 2026-01-03T13:00:00, x: -1"]);
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2", 1));
    // Nothing of what is done is done again by the same run.
    assert!(message(&run(&project).await).starts_with("interval 2026-01-03: "));
    assert_eq!(place.version().await, 1);
    assert_eq!(intervals(&project).await, "2026-01-03 2026-01-04 2026-01-05");
    execute(&place.engine, "DELETE FROM events WHERE x < 0").await;
    assert_eq!(run(&project).await[0].intervals, 5);
    assert_eq!(place.x().await, "1 2 3 4 5");
    assert_eq!(words(&run(&project).await), ["skipped"]);
}

#[tokio::test]
async fn two_at_once_do_each_interval_once() {
    let place = Place::new("2026-01-09 00:00", &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    let (one, two) = (place.mart(APPEND).await, place.mart(APPEND).await);
    let (first, second) = tokio::join!(run(&one), run(&two));
    let mut both = [words(&first)[0], words(&second)[0]];
    both.sort_unstable();
    assert!(both == ["busy", "succeeded"] || both == ["skipped", "succeeded"], "{both:?}");
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3 4 5 6 7 8", 7));
}

#[tokio::test]
async fn rows_outside_of_the_interval_are_refused() {
    let place = Place::new("2026-01-03 00:00", &[1, 2]).await;
    let shifted = APPEND.replace("SELECT ts,", "SELECT ts + INTERVAL '1 day' AS ts,");
    let reports = run(&place.mart(&shifted).await).await;
    assert!(message(&reports).contains("the test \"interval(ts)\" failed"), "{reports:?}");
    assert!(place.engine.lake().table("m", "t").await.is_err());
    assert_eq!(words(&run(&place.mart(APPEND).await).await), ["succeeded"]);
    place.at("2026-01-04 00:00");
    place.event("2026-01-03 12:00", 3).await;
    let reports = run(&place.mart(&shifted).await).await;
    assert!(message(&reports).starts_with("interval 2026-01-01: a row breaks the condition"), "{reports:?}");
    assert_eq!(place.x().await, "1 2");
}

#[tokio::test]
async fn a_rebuild_and_another_beginning_leave_nothing_out() {
    let place = Place::new("2026-01-05 00:00", &[1, 2, 3, 4]).await;
    let later = place.mart(&APPEND.replace("2026-01-01", "2026-01-03")).await;
    assert_eq!(run(&later).await[0].intervals, 2);
    assert_eq!(place.x().await, "3 4");
    let earlier = place.mart(&APPEND.replace("lookback = 2", "lookback = 0")).await;
    assert_eq!(intervals(&earlier).await, "2026-01-02 2026-01-01");
    assert_eq!(run(&earlier).await[0].intervals, 2);
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 2 3 4", 3));

    execute(&place.engine, "DELETE FROM events WHERE x = 2").await;
    assert_eq!(words(&run(&earlier).await), ["skipped"]);
    let reports = earlier.rebuild(&[], |_| {}).await.unwrap();
    assert_eq!((words(&reports), reports[0].intervals), (vec!["succeeded"], 4));
    assert_eq!((place.x().await.as_str(), place.version().await), ("1 3 4", 7));
    assert_eq!(words(&run(&earlier).await), ["skipped"]);

    // As a whole, and by intervals again: those that were done are so no more.
    let full = place.mart("SELECT TIMESTAMP '2026-01-01 00:00:00' AS ts, CAST(99 AS BIGINT) AS x").await;
    assert_eq!(words(&run(&full).await), ["succeeded"]);
    assert_eq!(run(&earlier).await[0].intervals, 4);
    assert_eq!(place.x().await, "1 3 4");
    // Intervals of another length are others.
    let hours = APPEND.replace("\"day\"", "\"month\"");
    place.at("2026-02-01 00:00");
    assert_eq!(run(&place.mart(&hours).await).await[0].intervals, 1);
    assert_eq!(place.x().await, "1 3 4");
}

#[tokio::test]
async fn before_the_first_interval_is_over_there_is_a_table_without_rows() {
    let place = Place::new("2025-12-01 00:00", &[1]).await;
    let project = place.mart(APPEND).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&place.engine, "SELECT count(*) FROM m.t").await, "0");
    assert_eq!(words(&run(&project).await), ["skipped"]);
    place.at("2026-01-02 00:00");
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(place.x().await, "1");
}

/// What the other strategies make of intervals: keys of days, and the sum of each.
const BY_DAY: &str = "interval = { column = \"ts\", grain = \"day\", lookback = 1, start = \"2026-01-01\" }
---*/
SELECT CAST(date_trunc('day', ts) AS DATE) AS day, sum(x) AS x FROM events WHERE ts >= $start AND ts < $end GROUP BY 1";

#[tokio::test]
async fn other_strategies_are_run_by_intervals() {
    for strategy in [
        "strategy = \"merge\"\nkey = \"day\"",
        "strategy = \"delete_insert\"\nkey = \"day\"",
        "strategy = \"partition_overwrite\"\npartition_by = \"day\"",
    ] {
        let place = Place::new("2026-01-04 00:00", &[1, 2, 3]).await;
        let project = place.mart(&format!("/*---\n{strategy}\n{BY_DAY}")).await;
        assert_eq!(run(&project).await[0].intervals, 3, "{strategy}");
        place.event("2026-01-03 01:00", 100).await;
        place.at("2026-01-05 00:00");
        let reports = run(&project).await;
        assert_eq!((words(&reports), reports[0].intervals), (vec!["succeeded"], 2), "{strategy}");
        assert_eq!(place.x().await, "1 2 103", "{strategy}");
        assert_eq!(words(&backfill(&project, "2026-01-01", "2026-02-01").await), ["succeeded"]);
        assert_eq!(place.x().await, "1 2 103", "{strategy}");
    }
    // By the interval, where there is no key.
    let place = Place::new("2026-01-04 00:00", &[1, 2, 3]).await;
    let project = place.mart(&APPEND.replace("append", "delete_insert")).await;
    assert_eq!(run(&project).await[0].intervals, 3);
    execute(&place.engine, "DELETE FROM events WHERE x = 2").await;
    assert_eq!(run(&project).await[0].intervals, 2);
    assert_eq!(place.x().await, "1 3");
}

#[tokio::test]
async fn a_partition_belongs_to_one_interval() {
    let place = Place::new("2026-01-01 15:00", &[1]).await;
    place.event("2026-01-01 14:00", 2).await;
    let mart = format!("/*---\nstrategy = \"partition_overwrite\"\npartition_by = \"day\"\n{BY_DAY}");
    let project = place.mart(&mart.replace("grain = \"day\"", "grain = \"hour\"")).await;
    let reports = run(&project).await;
    let expected = "interval 2026-01-01 14:00 has rows in a partition of another interval";
    assert!(message(&reports).contains(expected), "{reports:?}");
    assert_eq!(place.x().await, "1");
}

#[tokio::test]
async fn rows_that_a_test_keeps_out_are_those_of_all_intervals_of_the_run() {
    let place = Place::new("2026-01-04 00:00", &[1, 2, 3]).await;
    let quarantine = "[[test]]\nexpect = \"x <> 1 AND x <> 3\"\non_violation = \"quarantine\"\n---*/";
    let project = place.mart(&APPEND.replace("---*/", quarantine)).await;
    for _ in 0..2 {
        let reports = project.rebuild(&[], |_| {}).await.unwrap();
        assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
        assert_eq!((reports[0].tests[0].state, reports[0].tests[0].violations), (MartTestState::Quarantined, 2));
        assert_eq!(place.x().await, "2");
        assert_eq!(rows(&place.engine, "SELECT x FROM m.t_quarantine ORDER BY x").await, "1\n3");
    }
}

#[tokio::test]
async fn the_query_and_the_column_of_intervals_are_checked() {
    let place = Place::new("2026-01-04 00:00", &[1]).await;
    let fault = |mart: &str| Definition::parse("marts/m.t.sql", mart).unwrap_err().to_string();
    let text = fault(&APPEND.replace("ts < $end", "ts < now()"));
    assert!(text.starts_with("marts/m.t.sql:3: the query has no $end\nHINT: Write WHERE ts >= $start"), "{text}");
    let text = fault(&APPEND.replace("column = \"ts\"", "column = \"at\""));
    assert!(text.starts_with("marts/m.t.sql:3: the query does not name column \"at\""), "{text}");
    let told = async |mart: String| place.opened(&mart).await.map(drop).unwrap_err();
    let text = told(APPEND.replace("SELECT ts, x", "SELECT x")).await;
    assert!(
        text.starts_with("marts/m.t.sql:3: column \"ts\" is not one of the query's\nHINT: An interval that"),
        "{text}"
    );
    let text = told(APPEND.replace("SELECT ts, x", "SELECT CAST(ts AS VARCHAR) AS ts, x")).await;
    assert!(text.starts_with("marts/m.t.sql:3: column \"ts\" is neither a date nor a time"), "{text}");
    let text = told(APPEND.replace("x FROM", "x + $1 AS x FROM")).await;
    assert!(text.contains("a mart has no parameters, but its query has $1"), "{text}");
    let text = told("SELECT x FROM events WHERE ts > $start".to_owned()).await;
    assert!(text.contains("$start and $end are those of an interval"), "{text}");
}

/// Whatever happens, and in whichever order: in the end the table has the rows of all intervals, each once.
#[tokio::test]
async fn any_sequence_of_runs_ends_with_the_rows_of_the_query() {
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let place = Place::new("2026-01-02 00:00", &[1]).await;
    let mart = APPEND.replace("---*/", "[[test]]\nexpect = \"x <> 13\"\n---*/");
    let (mut day, mut count) = (2, 1_i64);
    for _ in 0..25 {
        match random(5) {
            0 => day = (day + random(3)).min(28),
            1 => {
                count += 1;
                place.event(&format!("2026-01-{:02} {:02}:00", 1 + random(day), random(24)), 100 + count).await;
            }
            2 => place.event(&format!("2026-01-{day:02} 01:00"), 13).await,
            3 => execute(&place.engine, "DELETE FROM events WHERE x = 13").await,
            _ => {}
        }
        place.at(&format!("2026-01-{day:02} 06:00"));
        drop(run(&place.mart(&mart).await).await);
    }
    execute(&place.engine, "DELETE FROM events WHERE x = 13").await;
    let project = place.mart(&mart).await;
    assert!(words(&run(&project).await) == ["succeeded"] || words(&run(&project).await) == ["skipped"]);
    assert_eq!(words(&backfill(&project, "2026-01-01", "2026-03-01").await), ["succeeded"]);
    let all = format!("SELECT x FROM events WHERE ts < TIMESTAMP '2026-01-{day:02} 00:00:00' ORDER BY x");
    assert_eq!(place.x().await, rows(&place.engine, &all).await.replace('\n', " "));
}
