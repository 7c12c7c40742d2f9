//! What is kept near by of a lake in a bucket: it saves requests, it survives the process, and no statement sees another
//! row because of it.

use std::{path::Path, sync::Arc};

use boathouse_engine::{Engine, EngineConfig, Outcome, WarmOptions, parser};
use boathouse_tests::{TestS3, config};
use datafusion::arrow::util::pretty::pretty_format_batches;

/// An engine as in a process of its own, with blocks in a folder or without any.
async fn engine(s3: &TestS3, near: Option<&Path>) -> Arc<Engine> {
    let mut storage = s3.options();
    storage.warm =
        near.map(|folder| WarmOptions { folder: folder.to_owned(), bytes_max: 128 << 20, memory_bytes_max: 1 << 20 });
    // Rows must come from files.
    let config = EngineConfig { storage, result_cache_bytes_max: 0, ..config() };
    Engine::open(&s3.url("lake"), config).await.unwrap()
}

async fn answer(engine: &Arc<Engine>, script: &str) -> String {
    let (session, mut text) = (engine.session(), String::new());
    for sql in parser::split(script) {
        if let Outcome::Rows(rows) = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}")) {
            text = pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string();
        }
    }
    text
}

/// Bytes of data that the store was asked for.
fn read(engine: &Engine) -> u64 {
    engine.lake_usage().store.bytes_read
}

const MAKE: &str = "
    CREATE TABLE t (id BIGINT, text VARCHAR, p BIGINT) PARTITIONED BY (p)
        TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');
    INSERT INTO t SELECT value, md5(CAST(value AS VARCHAR)), value % 3 FROM generate_series(1, 90000)";
const LOOK: &str = "SELECT p, count(*), sum(id), max(text) FROM t GROUP BY p ORDER BY p";
const PAST: &str = "SELECT count(*), sum(id), min(text) FROM t@v1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_a_bucket_is_read_once_and_again_after_a_restart_from_near_by() {
    let (s3, near) = (TestS3::start(), tempfile::tempdir().unwrap());
    let maker = engine(&s3, None).await;
    answer(&maker, MAKE).await;
    let expected = answer(&maker, LOOK).await;
    let first = engine(&s3, Some(near.path())).await;
    assert_eq!(answer(&first, LOOK).await, expected);
    let once = read(&first);
    assert!(once > 1 << 20, "{once} bytes are fewer than the texts");
    assert_eq!(answer(&first, LOOK).await, expected);
    assert!(read(&first) - once < 64 << 10, "only the log is looked at: {} bytes", read(&first) - once);
    let plan = answer(&first, &format!("EXPLAIN ANALYZE {LOOK}")).await;
    let (_, warm) = plan.split_once("bytes_warm=").expect("bytes_warm");
    assert!(!warm.starts_with("0 ") && plan.contains("bytes_fetched=0 requests=0"), "{plan}");
    first.idle().await;
    drop(first);
    let second = engine(&s3, Some(near.path())).await;
    assert_eq!(answer(&second, LOOK).await, expected);
    assert!(read(&second) < 256 << 10, "the log and no rows: {} bytes", read(&second));
    let caches =
        answer(&second, "SELECT entries, hits > 0 AS hit, misses FROM system.caches WHERE name = 'warm blocks'").await;
    assert!(caches.contains("|         | true | 0      |"), "{caches}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_upkeep_and_the_past_are_the_same_with_blocks_near_by_and_without() {
    let (s3, near) = (TestS3::start(), tempfile::tempdir().unwrap());
    let plain = engine(&s3, None).await;
    answer(&plain, MAKE).await;
    let warm = engine(&s3, Some(near.path())).await;
    let past = answer(&plain, PAST).await;
    // Each by the engine with blocks, or, beside it, by another one.
    for (number, change) in [
        "DELETE FROM t WHERE id % 7 = 0",
        "UPDATE t SET text = 'x' || text WHERE id % 11 = 0",
        "INSERT INTO t SELECT id + 100000, text, p FROM t WHERE id < 5000",
        "MERGE INTO t USING (SELECT 5 AS id UNION ALL SELECT 200000) AS s ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET text = 'merged' WHEN NOT MATCHED THEN INSERT (id, p) VALUES (s.id, 1)",
        "OPTIMIZE t",
        "DELETE FROM t WHERE p = 2",
        "RESTORE TABLE t TO VERSION AS OF 3",
        "CREATE OR REPLACE TABLE t (id BIGINT, text VARCHAR, p BIGINT) AS SELECT id, text, p FROM t WHERE id > 10",
    ]
    .into_iter()
    .enumerate()
    {
        answer(if number % 2 == 0 { &warm } else { &plain }, change).await;
        for _ in 0..2 {
            assert_eq!(answer(&warm, LOOK).await, answer(&plain, LOOK).await, "after {change}");
        }
        assert_eq!(answer(&warm, PAST).await, past, "after {change}");
    }
}
