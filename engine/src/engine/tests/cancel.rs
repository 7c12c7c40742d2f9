//! Statements that end before their time: given up by who asked, or too long.

use std::time::Duration;

use futures::StreamExt;

use super::{ENDLESS, all, engine, idle, rows, small, text};
use crate::{EngineConfig, ErrorKind};

#[tokio::test]
async fn a_statement_that_runs_too_long_is_cancelled_with_its_limit_in_the_text() {
    let engine = engine(EngineConfig { statement_timeout: Some(Duration::from_millis(100)), ..small() }).await;
    let session = engine.session();
    // The second multiplies rows far above its sources and takes them in without a pause.
    let multiplied = "SELECT sum(a.value) FROM generate_series(1, 1000) b, generate_series(1, 1000000000) a";
    for sql in [ENDLESS, multiplied] {
        let error = all(&session, sql).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(error.message.contains("100ms"), "{error}");
        idle(&engine).await;
    }
}

#[tokio::test]
async fn dropping_the_rows_cancels_the_statement_and_frees_its_permit() {
    let engine = engine(small()).await;
    let session = engine.session();
    for _ in 0..5 {
        let mut stream = rows(&session, "SELECT * FROM generate_series(1, 1000000000)").await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        drop(stream);
        drop(rows(&session, ENDLESS).await.unwrap());
    }
    idle(&engine).await;
}

/// Hours of work between two batches, for a join without an equality that finds nothing.
const FRUITLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b \
     ON a.value * b.value < 0";

#[tokio::test]
async fn a_join_that_finds_nothing_ends_with_its_statement() {
    let engine = engine(small()).await;
    let session = engine.session();
    for _ in 0..3 {
        drop(rows(&session, FRUITLESS).await.unwrap());
    }
    idle(&engine).await;
    session.execute("SET statement_timeout = '100ms'").await.unwrap();
    let error = all(&session, FRUITLESS).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(error.message.contains("100ms"), "{error}");
    idle(&engine).await;
}

#[tokio::test]
async fn joins_that_find_nothing_leave_the_others_a_thread() {
    let engine = engine(EngineConfig { threads: 1, statements_running_max: 4, ..small() }).await;
    let session = engine.session();
    let fruitless = [rows(&session, FRUITLESS).await.unwrap(), rows(&session, FRUITLESS).await.unwrap()];
    // Each of these needs the only thread, and the joins have had it.
    for _ in 0..20 {
        assert_eq!(text(&session, "SELECT 40 + 2 AS answer").await.matches("42").count(), 1);
    }
    drop(fruitless);
    idle(&engine).await;
}
