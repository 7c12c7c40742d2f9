//! A run of a mart, killed at each request that changes something: the next process finds the rows of before or those of
//! the run, finishes what is left, and publishes nothing twice.

use std::{sync::Arc, time::Duration};

use boathouse_engine::{
    Definition, MartOptions, Project,
    mart::{Clock, LeaseTimes, Report},
};
use boathouse_tests::store::{Fate, Request, RequestKind, RequestLog};
use object_store::memory::InMemory;

use crate::place::{answers, copy, engine, session};

const MART: &str = "/*---
[[test]]
unique = \"g\"
[[test]]
expect = \"x < 1000\"
on_violation = \"quarantine\"
---*/
SELECT id % 2 AS g, sum(x) AS x FROM t GROUP BY 1";
const LOOK: &str = "SELECT g, x FROM m.sums ORDER BY g";
const ASIDE: &str = "SELECT g, x FROM m.sums_quarantine ORDER BY g";

/// A process that ended is known after a moment.
fn options() -> MartOptions {
    let [beat, dead_after, look] = [10, 60, 5].map(Duration::from_millis);
    MartOptions {
        lease: LeaseTimes { beat, dead_after, look },
        clock: Clock::of(|| 4 * 86_400_000),
        ..MartOptions::default()
    }
}

/// Two marts that keep rows, over the same table: by keys, and day by day, of which four are over.
const MERGED: &str = "/*---
strategy = \"merge\"
key = \"g\"
---*/
SELECT id % 4 AS g, sum(x) AS x FROM t WHERE id > 3 GROUP BY 1";
const DAYS: &str = "/*---
strategy = \"append\"
interval = { column = \"ts\", grain = \"day\", lookback = 1, start = \"1970-01-01\" }
---*/
SELECT g, x, ts FROM (SELECT id AS g, x, to_timestamp(id * 43200) AS ts FROM t) AS days
WHERE ts >= $start AND ts < $end";

async fn run(store: &Arc<InMemory>, log: &Arc<RequestLog>, mart: &str) -> Result<Vec<Report>, String> {
    let engine = engine(store, log).await;
    let definition = Definition::parse("m.sums.sql", mart).unwrap();
    let project = Project::open(&engine, vec![definition], options()).await;
    let project = project.map_err(|faults| format!("{faults:?}"))?;
    project.run(&[], false, |_| {}).await.map_err(|error| error.to_string())
}

/// The request of this number is carried out, and nobody is there to hear the answer: so it is before the next one, too.
pub fn die_behind(log: &RequestLog, at: usize) {
    let mut seen = 0;
    log.set_rule(move |_| {
        seen += 1;
        match seen {
            now if now <= at => Fate::Served,
            now if now == at + 1 => Fate::AnswerLost,
            _ => Fate::Refused,
        }
    });
}

fn words(run: Result<Vec<Report>, String>) -> Vec<&'static str> {
    run.unwrap().iter().map(|report| report.outcome.word()).collect()
}

/// A death before or after a read leaves the store as one before the next change does.
fn changes(sent: &[Request]) -> Vec<usize> {
    let reads = |kind: RequestKind| matches!(kind, RequestKind::Get | RequestKind::Head | RequestKind::List);
    (0..sent.len()).filter(|at| !reads(sent[*at].kind)).collect()
}

/// Each run is one version.
async fn version(store: &Arc<InMemory>) -> u64 {
    engine(store, &Arc::default()).await.lake().table("m", "sums").await.unwrap().version()
}

async fn check(start: Arc<InMemory>, mart: &str) {
    let before = version(&start).await;
    let old = answers(&*session(&start).await, LOOK).await;
    let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
    assert_eq!(words(run(&end, &log, mart).await), ["succeeded"]);
    let sent = log.take();
    let (new, aside) = (answers(&*session(&end).await, LOOK).await, answers(&*session(&end).await, ASIDE).await);
    let mut outcomes = [0_usize; 2];
    for at in changes(&sent) {
        let place = format!("request {at} of {}, {:?}", sent.len(), sent[at]);
        let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
        die_behind(&log, at);
        drop(run(&store, &log, mart).await);
        let found = answers(&*session(&store).await, LOOK).await;
        assert!(found == old || found == new, "{place}\n{found:?}");
        outcomes[usize::from(found == new)] += 1;
        let again = words(run(&store, &Arc::default(), mart).await);
        assert!(again == ["succeeded"] || (again == ["skipped"] && found == new), "{place}: {again:?}");
        assert_eq!(answers(&*session(&store).await, LOOK).await, new, "{place}");
        assert_eq!(answers(&*session(&store).await, ASIDE).await, aside, "{place}");
        assert_eq!(words(run(&store, &Arc::default(), mart).await), ["skipped"], "{place}");
        assert_eq!(version(&store).await, before + 1, "{place}: published twice");
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}: faults of too few kinds");
}

async fn place() -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let make = "CREATE TABLE t AS SELECT value AS id, value * 10 AS x FROM generate_series(1, 5);
        CREATE SCHEMA m";
    answers(&*session(&store).await, make).await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_of_a_mart() {
    let (store, mart) = (place().await, MART);
    // There is nothing to look at before.
    let (end, log) = (copy(&store), Arc::new(RequestLog::default()));
    assert_eq!(words(run(&end, &log, mart).await), ["succeeded"]);
    for at in changes(&log.take()) {
        let (store, log) = (copy(&store), Arc::new(RequestLog::default()));
        let mut seen = 0;
        log.set_rule(move |_| {
            seen += 1;
            if seen <= at { Fate::Served } else { Fate::Refused }
        });
        drop(run(&store, &log, mart).await);
        let again = words(run(&store, &Arc::default(), mart).await);
        assert!(again == ["succeeded"] || again == ["skipped"], "{at}: {again:?}");
        assert_eq!(version(&store).await, 0, "{at}: published twice");
        assert_eq!(answers(&*session(&store).await, LOOK).await, answers(&*session(&end).await, LOOK).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_run_of_a_mart() {
    let (store, mart) = (place().await, MART);
    assert_eq!(words(run(&store, &Arc::default(), mart).await), ["succeeded"]);
    answers(&*session(&store).await, "INSERT INTO t VALUES (6, 60), (8, 2000)").await.unwrap();
    check(store, mart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_run_of_a_mart_that_keeps_rows() {
    let (store, mart) = (place().await, MERGED);
    assert_eq!(words(run(&store, &Arc::default(), mart).await), ["succeeded"]);
    answers(&*session(&store).await, "INSERT OVERWRITE t VALUES (5, 1), (6, 60), (7, 2000)").await.unwrap();
    check(store, mart).await;
}

/// Marts of which a run looks at changed rows, the change, and what the commit of that run is called.
const CHANGED: [(&str, &str, &str); 3] = [
    ("SELECT id AS g, x FROM t WHERE x <> 20", "INSERT INTO t VALUES (6, 60), (7, 20)", "WRITE"),
    ("SELECT id % 2 AS g, sum(x) AS x FROM t GROUP BY 1", "INSERT INTO t VALUES (6, 60), (7, NULL)", "MERGE"),
    ("SELECT id % 3 AS g, avg(x) AS x FROM t GROUP BY 1", "DELETE FROM t WHERE id IN (2, 3, 5)", "MERGE"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_run_that_looks_at_changed_rows() {
    for (mart, change, operation) in CHANGED {
        let store = place().await;
        assert_eq!(words(run(&store, &Arc::default(), mart).await), ["succeeded"]);
        answers(&*session(&store).await, change).await.unwrap();
        let end = copy(&store);
        assert_eq!(words(run(&end, &Arc::default(), mart).await), ["succeeded"]);
        let engine = engine(&end, &Arc::default()).await;
        let table = engine.lake().table("m", "sums").await.unwrap();
        let last = engine.lake().history(&table, 1).await.unwrap().remove(0);
        // A full run overwrites the rows, which is no blind append.
        let is_added = operation == "WRITE";
        assert_eq!((last.operation.as_deref(), last.is_blind_append), (Some(operation), Some(is_added)), "{mart}");
        check(store, mart).await;
    }
}

/// Each interval is a commit: whichever of them was the last, the next process does those that are left, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_intervals_of_a_mart() {
    let (store, mart) = (place().await, DAYS);
    let (end, log) = (copy(&store), Arc::new(RequestLog::default()));
    assert_eq!(words(run(&end, &log, mart).await), ["succeeded"]);
    let sent = log.take();
    let new = answers(&*session(&end).await, LOOK).await;
    let mut found = std::collections::BTreeSet::new();
    for at in changes(&sent) {
        let place = format!("request {at} of {}, {:?}", sent.len(), sent[at]);
        let (store, log) = (copy(&store), Arc::new(RequestLog::default()));
        die_behind(&log, at);
        drop(run(&store, &log, mart).await);
        let table = engine(&store, &Arc::default()).await.lake().table("m", "sums").await;
        found.insert(table.ok().map(|table| table.version()));
        let again = words(run(&store, &Arc::default(), mart).await);
        assert!(again == ["succeeded"] || again == ["skipped"], "{place}: {again:?}");
        assert_eq!(answers(&*session(&store).await, LOOK).await, new, "{place}");
        assert_eq!(words(run(&store, &Arc::default(), mart).await), ["skipped"], "{place}");
        assert_eq!(version(&store).await, 3, "{place}: an interval was done twice");
    }
    let expected = [None, Some(0), Some(1), Some(2), Some(3)];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "faults of too few kinds");
}
