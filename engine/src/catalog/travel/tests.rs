//! What SQL scripts cannot say: the times of commits, and logs and files that were cleaned up.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use datafusion::arrow::util::pretty::pretty_format_batches;

use crate::{Engine, EngineConfig, EngineError, Outcome, Session};

/// 2026-01-01 00:00:00 UTC, in seconds.
const START: u64 = 1_767_225_600;

async fn session(folder: &Path) -> Arc<Session> {
    let config = EngineConfig { threads: 2, ..EngineConfig::default() };
    Engine::open(folder.to_str().unwrap(), config).await.unwrap().session()
}

async fn text(session: &Arc<Session>, sql: &str) -> Result<String, EngineError> {
    match session.execute(sql).await? {
        Outcome::Rows(rows) => Ok(pretty_format_batches(&rows.collect().await?).unwrap().to_string()),
        _ => Ok(String::new()),
    }
}

async fn count(session: &Arc<Session>, from: &str) -> Result<usize, EngineError> {
    let text = text(session, &format!("SELECT a FROM {from}")).await?;
    Ok(text.lines().filter(|line| line.starts_with("| ")).count().saturating_sub(1))
}

async fn all(session: &Arc<Session>, statements: &[&str]) {
    for sql in statements {
        text(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A table whose versions 0, 1 and 2 have as many rows, an hour apart.
async fn hourly(folder: &Path) -> Arc<Session> {
    let session = session(folder).await;
    all(&session, &["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"]).await;
    for version in 0..3 {
        let commit = folder.join(format!("main/t/_delta_log/{version:020}.json"));
        let file = std::fs::File::options().append(true).open(commit).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(START + 3600 * version)).unwrap();
    }
    session
}

#[tokio::test]
async fn a_time_finds_the_version_that_was_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    for (time, rows) in [
        ("'2026-01-01'", 0),
        ("'2026-01-01 00:59:59.999'", 0),
        ("'2026-01-01 01:00'", 1),
        ("'2026-01-01T01:00:00Z'", 1),
        ("'2026-01-01 03:30:00+02:00'", 1),
        ("TIMESTAMP '2026-01-01 02:00:00'", 2),
        ("CAST('2026-01-01 02:00:00' AS TIMESTAMP) - INTERVAL '1 second'", 1),
        ("DATE '2026-01-01'", 0),
        // After the last commit, and not to come.
        ("'2026-01-01 02:00:00.001'", 2),
        ("date '2026-01-02'", 2),
        ("now()", 2),
        ("current_timestamp", 2),
        ("now() - INTERVAL '1 second'", 2),
    ] {
        assert_eq!(count(&session, &format!("t TIMESTAMP AS OF {time}")).await.unwrap(), rows, "{time}");
        assert_eq!(count(&session, &format!("t FOR SYSTEM_TIME AS OF {time} x")).await.unwrap(), rows, "{time}");
    }
    assert_eq!(count(&session, "t@20260101010000000").await.unwrap(), 1);
    for time in ["2025-12-31 23:59:59.999", "2999-01-01 02:00:00.001"] {
        let error = count(&session, &format!("t TIMESTAMP AS OF '{time}'")).await.unwrap_err().to_string();
        let told = format!(
            "table \"main.t\" has no version of {time} UTC: its commits are from 2026-01-01 00:00:00.000 UTC to \
             2026-01-01 02:00:00.000 UTC"
        );
        assert!(error.contains(&told), "{error}");
    }
    // The session's zone.
    all(&session, &["SET time_zone = 'Europe/Berlin'"]).await;
    assert_eq!(count(&session, "t TIMESTAMP AS OF '2026-01-01 02:00'").await.unwrap(), 1);
    assert_eq!(count(&session, "t@20260101030000000").await.unwrap(), 2);
}

#[tokio::test]
async fn an_external_table_has_versions_too() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    let location = folder.path().join("main/t");
    let create = format!("CREATE EXTERNAL TABLE e STORED AS DELTA LOCATION '{}'", location.display());
    all(&session, &[&create]).await;
    assert_eq!(count(&session, "e VERSION AS OF 1").await.unwrap(), 1);
    assert_eq!(count(&session, "e TIMESTAMP AS OF '2026-01-01 02:00'").await.unwrap(), 2);
    let error = count(&session, "e@v7").await.unwrap_err().to_string();
    assert!(error.contains("has no version 7: its versions are 0 to 2"), "{error}");
}

#[tokio::test]
async fn what_was_asked_before_is_not_mistaken_for_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    let moving = "t TIMESTAMP AS OF now() - INTERVAL '0 hours'";
    for _ in 0..2 {
        assert_eq!(count(&session, "t@v1").await.unwrap(), 1);
        assert_eq!(count(&session, "t@v2").await.unwrap(), 2);
        assert_eq!(count(&session, "t@v2 x CROSS JOIN (SELECT 1 FROM t@v1) y").await.unwrap(), 2);
        assert_eq!(count(&session, moving).await.unwrap(), 2);
    }
    all(&session, &["DROP TABLE t PURGE", "CREATE TABLE t AS SELECT 7 AS a UNION ALL SELECT 8 UNION ALL SELECT 9"])
        .await;
    assert_eq!(count(&session, "t@v0").await.unwrap(), 3);
    assert_eq!(count(&session, moving).await.unwrap(), 3);
    assert!(count(&session, "t TIMESTAMP AS OF now() + INTERVAL '1 hour'").await.is_err());
    let error = count(&session, "t@v1").await.unwrap_err().to_string();
    assert!(error.contains("has no version 1: its versions are 0 to 0"), "{error}");
}

#[tokio::test]
async fn what_was_cleaned_up_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path()).await;
    all(
        &session,
        &[
            "CREATE TABLE t (a INT) TBLPROPERTIES ('delta.checkpointInterval' = '2')",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2)",
            "INSERT INTO t VALUES (3)",
        ],
    )
    .await;
    let log = folder.path().join("main/t/_delta_log");
    let checkpoint = log.join("00000000000000000002.checkpoint.parquet");
    let wait = async {
        while !checkpoint.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("a checkpoint is written");
    assert_eq!(count(&session, "t@v1").await.unwrap(), 1);
    for version in 0..2 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(count(&session, "t@v2").await.unwrap(), 2);
    let error = count(&session, "t@v1").await.unwrap_err().to_string();
    assert!(error.contains("version 1 of table \"main.t\" was cleaned up: the log keeps versions 2 to 3"), "{error}");
    let history = text(&session, "DESCRIBE HISTORY t").await.unwrap();
    assert_eq!(history.lines().count(), 4 + 2, "{history}");
    // A data file of an old version.
    all(&session, &["CREATE OR REPLACE TABLE t AS SELECT 5 AS a"]).await;
    assert_eq!(count(&session, "t@v3").await.unwrap(), 3);
    for file in std::fs::read_dir(folder.path().join("main/t")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let session = self::session(folder.path()).await;
    let error = count(&session, "t@v3 WHERE a < 3").await.unwrap_err().to_string();
    assert!(error.contains("a file of table \"main.t\" at version 3"), "{error}");
    assert!(error.contains("VACUUM"), "{error}");
}

#[tokio::test]
async fn history_tells_what_each_version_did() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    let history = text(&session, "DESCRIBE HISTORY t").await.unwrap();
    let told: Vec<&str> = history.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(told.len(), 3, "{history}");
    for (line, parts) in told.iter().zip([
        ["| 2 ", "2026-01-01T02:00:00Z", "| WRITE", "INSERT INTO t VALUES (2)"],
        ["| 1 ", "2026-01-01T01:00:00Z", "| WRITE", "INSERT INTO t VALUES (1)"],
        ["| 0 ", "2026-01-01T00:00:00Z", "| CREATE", "CREATE TABLE t (a INT)"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}\n{history}");
    }
    let newest = text(&session, "DESCRIBE HISTORY t LIMIT 1").await.unwrap();
    assert_eq!(newest.lines().count(), 4 + 1, "{newest}");
}

#[tokio::test]
async fn a_restore_says_what_is_missing_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    all(
        &session,
        &["CREATE OR REPLACE TABLE t AS SELECT 5 AS a", "RESTORE TABLE t TO TIMESTAMP AS OF '2026-01-01 01:30'"],
    )
    .await;
    assert_eq!(count(&session, "t").await.unwrap(), 1);
    all(&session, &["RESTORE TABLE t VERSION AS OF 2", "RESTORE t TO TIMESTAMP AS OF now()"]).await;
    assert_eq!(count(&session, "t").await.unwrap(), 2);
    all(&session, &["RESTORE TABLE t TO VERSION AS OF 3"]).await;
    for file in std::fs::read_dir(folder.path().join("main/t")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let error = session.execute("RESTORE TABLE t TO VERSION AS OF 2").await.unwrap_err().to_string();
    assert!(error.contains("version 2 of table \"main.t\" cannot be had: 2 of 2 files are gone"), "{error}");
    assert!(error.contains("VACUUM"), "{error}");
    let history = text(&session, "DESCRIBE HISTORY t").await.unwrap();
    assert_eq!(history.lines().count(), 4 + 7, "{history}");
    assert!(history.contains("RESTORE"), "{history}");
}

#[tokio::test]
async fn files_come_back_from_a_checkpoint_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path()).await;
    all(
        &session,
        &[
            "CREATE TABLE t (a INT, p VARCHAR) PARTITIONED BY (p) TBLPROPERTIES ('delta.checkpointInterval' = '2')",
            "INSERT INTO t VALUES (1, NULL), (2, 'x y')",
            "INSERT INTO t VALUES (3, 'z')",
        ],
    )
    .await;
    let log = folder.path().join("main/t/_delta_log");
    let checkpoint = log.join("00000000000000000002.checkpoint.parquet");
    let wait = async {
        while !checkpoint.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("a checkpoint is written");
    for version in 0..2 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let rows = text(&session, "SELECT * FROM t ORDER BY a").await.unwrap();
    all(&session, &["CREATE OR REPLACE TABLE t AS SELECT 5 AS a", "RESTORE TABLE t TO VERSION AS OF 2"]).await;
    for session in [session, self::session(folder.path()).await] {
        assert_eq!(text(&session, "SELECT * FROM t ORDER BY a").await.unwrap(), rows);
        // From the statistics.
        let bounds = text(&session, "SELECT min(a), max(a), count(*) FROM t").await.unwrap();
        assert!(bounds.contains("| 1        | 3        | 3 "), "{bounds}");
    }
    let commit = std::fs::read_to_string(log.join("00000000000000000004.json")).unwrap();
    assert!(commit.contains("\"p\":null") && commit.contains("numRecords"), "{commit}");
}

#[tokio::test]
async fn files_of_clones_are_known_until_the_clones_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let session = hourly(folder.path()).await;
    all(&session, &["CREATE TABLE c SHALLOW CLONE t VERSION AS OF 1", "CREATE TABLE d SHALLOW CLONE c"]).await;
    let engine = Engine::open(folder.path().to_str().unwrap(), EngineConfig::default()).await.unwrap();
    let lake = engine.lake();
    let used = async || {
        let mut used =
            Vec::from_iter(lake.files_used_by_clones(&lake.table("main", "t").await.unwrap()).await.unwrap());
        used.sort();
        used
    };
    let files = used().await;
    assert_eq!(files.len(), 1);
    assert!(folder.path().join("main/t").join(files[0].as_ref()).exists(), "{files:?}");
    // Whatever becomes of the clone's newest version, it may come back to its first one.
    all(&session, &["CREATE OR REPLACE TABLE c AS SELECT 1 AS a"]).await;
    assert_eq!(used().await, files);
    all(&session, &["DROP TABLE c"]).await;
    assert_eq!(used().await, files, "it can be brought back");
    all(&session, &["DROP TABLE c PURGE"]).await;
    assert_eq!(used().await, files, "the clone of the clone");
    all(&session, &["DROP TABLE d PURGE"]).await;
    assert!(used().await.is_empty());
}
