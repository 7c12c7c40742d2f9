//! REFRESH MART that is given up before its run has ended: nothing is published, and the mart can be run again at once.

use std::{sync::Arc, time::Duration};

use boathouse_storage::catalog::MartRunState;

use super::{engine, execute, rows};
use crate::{Engine, EngineConfig, EngineError, ErrorKind};

/// Queries that go on for longer than anybody waits; the second one does not return to its thread by itself.
const LONG: [&str; 2] = [
    "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "SELECT count(*) AS n FROM (SELECT value AS x FROM generate_series(1, 1000000)) AS a \
     JOIN (SELECT value AS y FROM generate_series(1, 1000000)) AS b ON (a.x * b.y) % 7 = 9",
];

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited too long: {what}");
}

async fn is_running(engine: &Engine) -> bool {
    engine.lake().mart("m.long").await.unwrap().lease.is_some() && engine.statements_active() == 2
}

fn refresh(engine: &Arc<Engine>, set: &str) -> tokio::task::JoinHandle<Result<(), EngineError>> {
    let (session, set) = (engine.session(), set.to_owned());
    tokio::spawn(async move {
        session.execute(&set).await?;
        session.execute("REFRESH MART m.long").await.map(drop)
    })
}

/// As it is to be behind a run that was given up.
async fn is_as_before(engine: &Arc<Engine>) {
    let has_ended = || async {
        let document = engine.lake().mart("m.long").await.unwrap();
        document.lease.is_none() && !document.runs.is_empty() && engine.statements_active() == 0
    };
    until("the run has ended, and its lease is free", has_ended).await;
    assert!(engine.lake().table("m", "long").await.is_err(), "nothing was published");
    let document = engine.lake().mart("m.long").await.unwrap();
    let last = document.runs.last().unwrap();
    assert_eq!(last.state, MartRunState::Failed);
    let error = last.error.as_deref().unwrap();
    assert!(error.starts_with("the run was given up: the statement that waited for it was cancelled"), "{error}");
}

/// A lake with a mart that takes too long.
async fn place(query: &str) -> Arc<Engine> {
    let engine = engine().await;
    execute(&engine, &format!("CREATE MART m.long AS {query}")).await;
    engine
}

#[tokio::test]
async fn the_statement_timeout_ends_the_run() {
    for query in LONG {
        let engine = place(query).await;
        let error = refresh(&engine, "SET statement_timeout = '2s'").await.unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(error.message.contains("it ran longer than 2s"), "{error}");
        is_as_before(&engine).await;
        // A lease that nobody gave back would hold this one up for half a minute.
        execute(&engine, "CREATE OR REPLACE MART m.long AS SELECT 7 AS n; REFRESH MART m.long").await;
        assert_eq!(rows(&engine, "SELECT n FROM m.long").await, "7");
    }
}

#[tokio::test]
async fn kill_query_ends_the_run() {
    let engine = place(LONG[0]).await;
    let refresh = refresh(&engine, "RESET ALL");
    until("the run goes on", || is_running(&engine)).await;
    let id =
        rows(&engine, "SELECT query_id FROM system.queries WHERE statement = 'REFRESH MART' AND state = 'running'");
    let id = id.await;
    execute(&engine, &format!("KILL QUERY '{id}'")).await;
    let error = refresh.await.unwrap().unwrap_err();
    assert_eq!(error.message, "the statement was killed by KILL QUERY");
    is_as_before(&engine).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_run() {
    for query in LONG {
        let engine = place(query).await;
        let refresh = refresh(&engine, "RESET ALL");
        until("the run goes on", || is_running(&engine)).await;
        refresh.abort();
        is_as_before(&engine).await;
    }
}

#[tokio::test]
async fn a_statement_that_waits_for_a_run_holds_no_place() {
    let config = EngineConfig { threads: 2, statements_running_max: 1, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    execute(&engine, "CREATE MART m.t AS SELECT 1 AS a; SET statement_timeout = '60s'; REFRESH MART m.t").await;
    assert_eq!(rows(&engine, "SELECT a FROM m.t").await, "1");
}
