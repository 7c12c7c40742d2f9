//! What lies in an archive fails a query, with all the files that must come back; it never leaves rows out.

use std::sync::Arc;

use boathouse_engine::{Engine, EngineConfig, EngineError, ErrorKind, Outcome};
use boathouse_storage::{Lake, StorageOptions};
use boathouse_tests::{
    TestS3, config,
    store::{Fate, RequestKind, RequestLog},
};

const MAKE: [&str; 2] = [
    "CREATE TABLE t PARTITIONED BY (day) AS
        SELECT value AS id, DATE '2020-01-01' + CAST(value % 3 AS INT) AS day FROM generate_series(1, 9)",
    "INSERT INTO t VALUES (10, DATE '2020-01-01')",
];
const SUM: &str = "SELECT sum(id) AS ids FROM t";

async fn answer(engine: &Arc<Engine>, sql: &str) -> Result<String, EngineError> {
    match engine.session().execute(sql).await? {
        Outcome::Rows(rows) => {
            let rows = rows.collect().await?;
            Ok(arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string())
        }
        _ => Ok(String::new()),
    }
}

/// Fails with the two files of the archived day, however it reads them.
async fn assert_archived(engine: &Arc<Engine>) {
    for sql in [SUM, "SELECT * FROM t", "SELECT count(*) FROM t WHERE id > 5", "CREATE TABLE copy AS SELECT * FROM t"] {
        let error = answer(engine, sql).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.starts_with("2 files of table \"main.t\" at version 1 lie in an archive"), "{error}");
        let detail = error.detail.as_deref().unwrap();
        assert_eq!(detail.matches("day=2020-01-01").count(), 2, "{error}");
        assert!(error.hint.as_deref().unwrap().contains("restore-object"), "{error}");
    }
    // What is not asked for need not be there.
    let others = "SELECT sum(id) AS ids FROM t WHERE day > DATE '2020-01-01'";
    assert!(answer(engine, others).await.unwrap().contains("| 27 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_archived_files_fails_with_all_of_them() {
    let log = Arc::new(RequestLog::default());
    let lake = Lake::open_layered("memory:///lake", &StorageOptions::default(), Some(log.layer())).await.unwrap();
    let engine = Engine::on(lake, config()).unwrap();
    for sql in MAKE {
        answer(&engine, sql).await.unwrap();
    }
    log.set_rule(|request| match request.kind {
        RequestKind::Get if request.path.contains("day=2020-01-01/") => Fate::Archived,
        _ => Fate::Served,
    });
    assert_archived(&engine).await;
    log.clear_rule();
    assert!(answer(&engine, SUM).await.unwrap().contains("| 55 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_is_understood_when_it_says_so() {
    let s3 = TestS3::start();
    let config = EngineConfig { storage: s3.options(), ..config() };
    let engine = Engine::create(&s3.url("lake"), config.clone()).await.unwrap();
    for sql in MAKE {
        answer(&engine, sql).await.unwrap();
    }
    s3.archive(Some("2020-01-01/"));
    assert_archived(&Engine::create(&s3.url("lake"), config).await.unwrap()).await;
    s3.archive(None);
    assert!(answer(&engine, SUM).await.unwrap().contains("| 55 "));
}
