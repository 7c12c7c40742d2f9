//! What is known of statements, and how they are ended from outside.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use uuid::Uuid;

use super::{Origin, QueryRecord, QueryState};
use crate::{Engine, EngineConfig, EngineError, ErrorKind, Outcome, Pins, RowStream, Session};

const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

async fn engine(running_max: usize) -> Arc<Engine> {
    let config = EngineConfig {
        memory_bytes_max: 256 << 20,
        threads: 2,
        statements_running_max: running_max,
        ..EngineConfig::default()
    };
    Engine::open("memory://", config).await.unwrap()
}

async fn rows(session: &Session, sql: &str) -> RowStream {
    match session.execute(sql).await {
        Ok(Outcome::Rows(rows)) => rows,
        other => panic!("{sql}: {other:?}"),
    }
}

async fn all(session: &Session, sql: &str) {
    let Err(error) = rows(session, sql).await.collect().await else { return };
    panic!("{sql}: {error}");
}

/// The only statement with this text that is known.
fn found(engine: &Engine, sql: &str) -> Option<Arc<QueryRecord>> {
    let mut found = engine.query_records();
    found.retain(|query| &*query.sql == sql);
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

fn query(engine: &Engine, sql: &str) -> Arc<QueryRecord> {
    found(engine, sql).unwrap_or_else(|| panic!("{sql} is not known"))
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited too long: {what}"));
}

async fn kill(session: &Session, id: Uuid) -> Result<(), EngineError> {
    session.execute(&format!("KILL QUERY '{id}'")).await.map(drop)
}

async fn end(rows: &mut RowStream) -> EngineError {
    loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("the rows ended by themselves"),
        }
    }
}

#[tokio::test]
async fn a_statement_that_ended_says_what_it_did() {
    let engine = engine(8).await;
    let session = engine.session();
    session.execute("CREATE TABLE t (a BIGINT, p INT) PARTITIONED BY (p)").await.unwrap();
    let insert = "INSERT INTO t SELECT value, CAST(value % 4 AS INT) FROM generate_series(1, 1000)";
    session.execute(insert).await.unwrap();
    let inserted = query(&engine, insert);
    assert_eq!((inserted.state, inserted.statement, inserted.rows), (QueryState::Done, Some("INSERT"), 1000));
    assert!(inserted.ended.unwrap() >= inserted.started && inserted.executing_us > 0);

    let select = "SELECT a FROM t WHERE p = 1 ORDER BY a";
    all(&session, select).await;
    let first = query(&engine, select);
    assert_eq!((first.state, first.statement, first.rows), (QueryState::Done, Some("SELECT"), 250));
    assert_eq!((first.usage.files_read, first.usage.files_skipped, first.result_cache_hit), (1, 3, false));
    assert!(first.usage.bytes_read > 0 && first.usage.memory_bytes_peak > 0 && first.planning_us > 0, "{first:?}");

    all(&session, select).await;
    let mut both = engine.query_records();
    both.retain(|query| &*query.sql == select);
    assert!(both[1].result_cache_hit && both[1].state == QueryState::Done);
    assert_eq!((both[1].rows, both[1].usage.bytes_read), (250, 0));
    assert_ne!(both[0].origin.query_id, both[1].origin.query_id);

    let update = "UPDATE t SET a = a + 1 WHERE p = 2";
    session.execute(update).await.unwrap();
    let updated = query(&engine, update);
    assert_eq!((updated.rows, updated.usage.files_read > 0), (250, true), "{updated:?}");

    let totals = engine.query_totals();
    assert_eq!(totals.ended[&("SELECT", QueryState::Done)], 2);
    assert_eq!(totals.durations["SELECT"].count(), 2);
    assert_eq!(totals.rows, 1000 + 250 + 250 + 250);
}

#[tokio::test]
async fn what_was_only_planned_is_not_kept_and_what_failed_is() {
    let engine = engine(8).await;
    let session = engine.session();
    session.prepare("SELECT 1 AS planned").await.unwrap();
    assert_eq!(found(&engine, "SELECT 1 AS planned"), None);

    let origin = Origin { user: Some("ada".into()), client: Some("a test".into()), ..Origin::default() };
    session.prepare_as(&origin, "SELECT nothing", &Pins::new()).await.unwrap_err();
    let failed = query(&engine, "SELECT nothing");
    assert_eq!((failed.state, failed.statement), (QueryState::Failed, None));
    assert_eq!((failed.error_kind, &failed.origin), (Some(ErrorKind::NotFound), &origin));
    assert!(failed.error.as_ref().unwrap().contains("\"nothing\""), "{failed:?}");

    let mut late = rows(&session, "SELECT 1 / (value - 5) FROM generate_series(1, 9)").await;
    end(&mut late).await;
    let failed = query(&engine, "SELECT 1 / (value - 5) FROM generate_series(1, 9)");
    assert_eq!((failed.state, failed.statement), (QueryState::Failed, Some("SELECT")));
    assert_eq!(engine.query_totals().ended[&("unknown", QueryState::Failed)], 1);
}

#[tokio::test]
async fn secrets_of_a_statement_that_fails_are_not_kept() {
    let engine = engine(8).await;
    for sql in ["ALTER USER ada PASSWORD hush", "ALTER USER ada PASSWORD not-so-hush"] {
        engine.session().execute(sql).await.unwrap_err();
    }
    let records = engine.query_records();
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!((&*record.sql, &record.error), ("ALTER USER ada PASSWORD '***'", &None));
    }
    assert!(!format!("{records:?}").contains("hush"));
}

#[tokio::test]
async fn a_running_query_is_killed_and_its_client_is_told() {
    let engine = engine(8).await;
    let (session, other) = (engine.session(), engine.session());
    let mut rows = rows(&session, ENDLESS).await;
    rows.next().await.unwrap().unwrap();
    let running = query(&engine, ENDLESS);
    assert_eq!((running.state, running.ended), (QueryState::Running, None));
    assert!(running.rows > 0);
    kill(&other, running.origin.query_id).await.unwrap();
    let error = end(&mut rows).await;
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Cancelled, "the statement was killed by KILL QUERY"));
    let ended = query(&engine, ENDLESS);
    assert_eq!((ended.state, ended.error_kind), (QueryState::Cancelled, Some(ErrorKind::Cancelled)));
    assert_eq!(ended.error.as_deref(), Some("the statement was killed by KILL QUERY"));
    until("the permit is free", || engine.statements_active() == 0).await;

    let again = kill(&other, running.origin.query_id).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::NotFound);
    assert!(again.message.ends_with("has ended: it is cancelled"), "{again}");
}

#[tokio::test]
async fn a_query_that_looks_up_seldom_is_killed_too() {
    let engine = engine(8).await;
    let (session, other) = (engine.session(), engine.session());
    // A nested loop join that finds nothing gives no batch for minutes.
    let sql =
        "SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b ON a.value + b.value < 0";
    let mut rows = rows(&session, sql).await;
    let running = query(&engine, sql);
    kill(&other, running.origin.query_id).await.unwrap();
    assert_eq!(end(&mut rows).await.message, "the statement was killed by KILL QUERY");
    until("the permit is free", || engine.statements_active() == 0).await;
}

#[tokio::test]
async fn a_statement_that_waits_for_its_turn_is_killed_while_all_permits_are_taken() {
    let engine = engine(1).await;
    let (session, other) = (engine.session(), engine.session());
    // It computes, for ever: rows that nobody takes would let others run.
    let _first = rows(&session, "SELECT count(*) FROM generate_series(1, 1000000000000)").await;
    let mut waiting = std::pin::pin!(session.execute("SELECT 1 AS waiting"));
    until("the second waits", || {
        assert!(waiting.as_mut().now_or_never().is_none());
        found(&engine, "SELECT 1 AS waiting").is_some_and(|query| query.state == QueryState::Queued)
    })
    .await;
    kill(&other, query(&engine, "SELECT 1 AS waiting").origin.query_id).await.unwrap();
    let error = waiting.await.unwrap_err();
    assert_eq!(error.message, "the statement was killed by KILL QUERY");
    let ended = query(&engine, "SELECT 1 AS waiting");
    assert_eq!((ended.state, ended.executing_us), (QueryState::Cancelled, 0));
    assert!(ended.queued_us > 0);
}

#[tokio::test]
async fn a_killed_insert_writes_nothing() {
    let engine = engine(8).await;
    let (session, other) = (engine.session(), engine.session());
    session.execute("CREATE TABLE t (a BIGINT)").await.unwrap();
    let sql = format!("INSERT INTO t {ENDLESS}");
    let insert = tokio::spawn({
        let (session, sql) = (session.clone(), sql.clone());
        async move { session.execute(&sql).await.map(drop) }
    });
    until("it runs", || found(&engine, &sql).is_some_and(|query| query.state == QueryState::Running)).await;
    kill(&other, query(&engine, &sql).origin.query_id).await.unwrap();
    let error = insert.await.unwrap().unwrap_err();
    assert_eq!(error.message, "the statement was killed by KILL QUERY");
    assert_eq!(engine.lake().table("main", "t").await.unwrap().version(), 0);
}

#[tokio::test]
async fn rows_that_nobody_reads_on_are_those_of_a_cancelled_query() {
    let engine = engine(8).await;
    let mut rows = rows(&engine.session(), ENDLESS).await;
    rows.next().await.unwrap().unwrap();
    drop(rows);
    until("it ends", || query(&engine, ENDLESS).ended.is_some()).await;
    assert_eq!(query(&engine, ENDLESS).state, QueryState::Cancelled);
}

#[tokio::test]
async fn the_newest_thousand_are_kept() {
    let engine = engine(8).await;
    let session = engine.session();
    for _ in 0..1_005 {
        session.execute("SET batch_size = 100").await.unwrap();
    }
    assert_eq!(engine.query_records().len(), 1_000);
    assert_eq!(engine.query_totals().ended[&("SET", QueryState::Done)], 1_005);
}
