//! What is kept, and what is not.

use futures::StreamExt;

use super::*;

#[tokio::test]
async fn what_looks_at_more_than_tables_is_never_kept() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT 1 AS a", "CREATE VIEW v AS SELECT a, random() AS r FROM t"]).await;
    for sql in [
        "SELECT a, random() FROM t",
        "SELECT a FROM t WHERE random() < 2",
        "SELECT a FROM t ORDER BY random()",
        "SELECT a, uuid() FROM t",
        "SELECT a, now() FROM t",
        "SELECT a, current_date FROM t",
        "SELECT a, current_timestamp FROM t",
        "SELECT a, current_time FROM t",
        "SELECT a FROM t WHERE a < (SELECT 2 + date_part('year', now()))",
        "SELECT a FROM t WHERE EXISTS (SELECT random() FROM t)",
        "SELECT sum(random()) FROM t",
        "SELECT sum(a) OVER (ORDER BY random()) FROM t",
        "WITH c AS (SELECT now() AS at FROM t) SELECT count(at) FROM c",
        "SELECT a FROM t UNION ALL SELECT CAST(random() AS INT) FROM t",
        "SELECT * FROM v",
        "SELECT t.a FROM t, generate_series(1, date_part('year', now())::bigint)",
        "SELECT t.a FROM t, information_schema.tables",
        "SELECT t.a FROM t, system.caches",
        "SELECT random()",
        "SELECT now()",
        "SELECT value FROM generate_series(1, 3)",
        "SELECT (SELECT count(*) FROM generate_series(1, 3))",
        "SELECT (SELECT count(*) FROM system.caches)",
        "VALUES (1), (2)",
    ] {
        for _ in 0..2 {
            all(&session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert!(!is_kept(&session, sql).await, "{sql}");
        }
    }
    assert_eq!(usage(&engine, "results").await.entries, Some(0));
    for sql in [
        "SELECT upper('x'), a FROM t",
        "SELECT row_number() OVER (ORDER BY a) FROM t",
        "SELECT (SELECT max(a) FROM t) AS m",
        "SELECT 1",
        "SELECT 1 + 1, upper('x') AS x",
    ] {
        all(&session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(is_kept(&session, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn the_setting_goes_around_the_cache() {
    let engine = engine().await;
    let (with, without) = (engine.session(), engine.session());
    run(&with, &["CREATE TABLE t AS SELECT 1 AS a"]).await;
    run(&without, &["SET result_cache = false"]).await;
    let sql = "SELECT a FROM t";
    for _ in 0..3 {
        text(&without, sql).await;
    }
    let unused = usage(&engine, "results").await;
    assert_eq!((unused.entries, unused.hits, unused.misses), (Some(0), 0, 0));
    text(&with, sql).await;
    assert!(is_kept(&with, sql).await);
    assert!(!is_kept(&without, sql).await);
    // The plan is the same for both.
    assert_eq!(usage(&engine, "plans").await.hits, 3);
    let off = Engine::open("memory://", EngineConfig { result_cache_bytes_max: 0, ..config() }).await.unwrap();
    run(&off.session(), &["CREATE TABLE t AS SELECT 1 AS a"]).await;
    for _ in 0..2 {
        text(&off.session(), sql).await;
    }
    assert_eq!(usage(&off, "results").await, CacheUsage { bytes_max: 0, ..unused });
}

#[tokio::test]
async fn large_results_are_not_kept_and_many_small_ones_stay_below_the_bound() {
    let bound = 1 << 20;
    let engine = Engine::open("memory://", EngineConfig { result_cache_bytes_max: bound, ..config() }).await.unwrap();
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 100000)"]).await;
    let large = "SELECT a FROM t";
    assert_eq!(all(&session, large).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 100_000);
    assert!(!is_kept(&session, large).await);
    assert_eq!(usage(&engine, "results").await.entries, Some(0));
    // A few rows of a large batch do not hold the batch.
    all(&session, "SELECT a FROM t LIMIT 3").await.unwrap();
    let few = usage(&engine, "results").await;
    assert!(few.entries == Some(1) && few.bytes < 4 << 10, "{few:?}");
    for number in 0..200 {
        let sql = format!("SELECT a FROM t WHERE a <= 2000 AND a <> {}", -number);
        for _ in 0..3 {
            all(&session, &sql).await.unwrap();
        }
    }
    let many = usage(&engine, "results").await;
    assert!(many.bytes <= bound && many.entries > Some(10) && many.entries < Some(100), "{many:?}");
    assert!(many.evictions > 0, "{many:?}");
}

#[tokio::test]
async fn what_was_not_read_to_its_end_leaves_nothing() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 300000)"]).await;
    run(&session, &["SET batch_size = 1024", "SET target_partitions = 1"]).await;
    let sql = "SELECT a % 2 AS b FROM t WHERE a <= 100000";
    let mut stream = rows(&session, sql).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    let idle = async {
        while engine.statements_active() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), idle).await.expect("the query ends");
    assert!(!is_kept(&session, sql).await);
    // Fails after its first rows.
    let failing = "SELECT 1 / (a - 299999) AS b FROM t";
    for _ in 0..2 {
        assert!(all(&session, failing).await.is_err());
        assert!(!is_kept(&session, failing).await);
    }
    assert_eq!(usage(&engine, "results").await.entries, Some(0));
    assert!(engine.results().reserve((64 << 20) - 1), "nothing is reserved any more");
}

#[tokio::test]
async fn a_kept_plan_keeps_no_snapshot() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT 1 AS a"]).await;
    text(&session, "SELECT a FROM t").await;
    text(&session, "SELECT a AS b FROM t").await;
    let snapshot = Arc::downgrade(&engine.lake().table("main", "t").await.unwrap());
    assert!(snapshot.upgrade().is_some());
    run(&session, &["INSERT INTO t VALUES (2)"]).await;
    text(&session, "SELECT a FROM t ORDER BY a").await;
    engine.cache_usages().await;
    assert!(snapshot.upgrade().is_none());
}

#[tokio::test]
async fn results_come_with_their_schema_and_parameters_are_found_on_a_kept_plan() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT 1 AS a, 'x' AS b"]).await;
    let sql = "SELECT b, a FROM t WHERE a > $1";
    let first = session.prepare(sql).await.unwrap();
    let second = session.prepare(sql).await.unwrap();
    assert_eq!(usage(&engine, "plans").await.hits, 1);
    assert_eq!(first.schema(), second.schema());
    assert_eq!(first.parameters(), second.parameters());
    assert_eq!(first.pins(), second.pins());
    for value in [5, 0, 5, 0] {
        let value = [crate::ScalarValue::Int64(Some(value))];
        let Outcome::Rows(rows) = session.run(&second, &value).await.unwrap() else { panic!("no rows") };
        assert_eq!(rows.schema(), first.schema());
        let expected = usize::from(value[0] == crate::ScalarValue::Int64(Some(0)));
        assert_eq!(rows.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), expected);
    }
    assert_eq!(usage(&engine, "results").await.hits, 2);
    assert!(session.run(&second, &[]).await.is_err());
}
