//! What SQL files cannot set up: links on the disk, a second lake, files of a size.

use std::{path::Path, sync::Arc};

use url::Url;

use crate::{Engine, EngineConfig, ErrorKind, FileAccess, Outcome, Session};

async fn session(lake: &Path, access: FileAccess) -> Arc<Session> {
    let config = EngineConfig { file_access: access, threads: 2, ..EngineConfig::default() };
    Engine::create(&lake.display().to_string(), config).await.unwrap().session()
}

async fn rows(session: &Session, sql: &str) -> usize {
    match session.execute(sql).await.unwrap() {
        Outcome::Rows(rows) => rows.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum(),
        other => panic!("{sql}: {other:?}"),
    }
}

async fn refused(session: &Session, sql: &str) -> ErrorKind {
    match session.execute(sql).await {
        Err(error) => error.kind,
        Ok(Outcome::Rows(rows)) => rows.collect().await.unwrap_err().kind,
        Ok(other) => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test]
async fn a_link_does_not_lead_out_of_the_allowed_folders() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().canonicalize().unwrap();
    let allowed = root.join("allowed");
    std::fs::create_dir(&allowed).unwrap();
    std::fs::write(allowed.join("in.csv"), "a\n1\n").unwrap();
    std::fs::write(root.join("out.csv"), "a\n2\n").unwrap();
    std::os::unix::fs::symlink(root.join("out.csv"), allowed.join("link.csv")).unwrap();
    std::os::unix::fs::symlink(&root, allowed.join("up")).unwrap();
    std::os::unix::fs::symlink(root.join("new.csv"), allowed.join("dangling.csv")).unwrap();

    let under = FileAccess::Under(vec![Url::from_directory_path(&allowed).unwrap()]);
    let session = session(&root.join("lake"), under).await;
    let at = |path: &str| format!("{}/{path}", allowed.display());
    assert_eq!(rows(&session, &format!("SELECT * FROM '{}'", at("in.csv"))).await, 1);
    for path in ["link.csv", "*.csv", "up/out.csv", "../out.csv", "in.csv/../../out.csv"] {
        assert_eq!(refused(&session, &format!("SELECT * FROM '{}'", at(path))).await, ErrorKind::Denied, "{path}");
    }
    for path in ["up/new.csv", "../new.csv"] {
        assert_eq!(refused(&session, &format!("COPY (SELECT 1) TO '{}'", at(path))).await, ErrorKind::Denied, "{path}");
    }
    assert_eq!(refused(&session, &format!("COPY (SELECT 1) TO '{}'", at("dangling.csv"))).await, ErrorKind::InvalidSql);
    assert!(!root.join("new.csv").exists());
}

#[tokio::test]
async fn a_table_of_another_lake_is_read_where_it_is() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().canonicalize().unwrap();
    let other = session(&root.join("other"), FileAccess::Anywhere).await;
    other.execute("CREATE TABLE t AS SELECT 1 AS a").await.unwrap();

    let session = session(&root.join("lake"), FileAccess::Anywhere).await;
    let create = format!("CREATE EXTERNAL TABLE t STORED AS DELTA LOCATION '{}'", root.join("other/main/t").display());
    session.execute(&create).await.unwrap();
    assert_eq!(rows(&session, "SELECT a FROM t").await, 1);
    other.execute("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(rows(&session, "SELECT a FROM t").await, 2);
    session.execute("DROP TABLE t").await.unwrap();
    assert_eq!(rows(&other, "SELECT a FROM t").await, 2);
}

#[tokio::test]
async fn nothing_is_written_into_the_lake_by_path() {
    let all = tempfile::tempdir().unwrap();
    let lake = all.path().canonicalize().unwrap().join("lake");
    let session = session(&lake, FileAccess::Anywhere).await;
    let copy = format!("COPY (SELECT 1) TO '{}/main/t/_delta_log/00000000000000000000.json'", lake.display());
    assert_eq!(refused(&session, &copy).await, ErrorKind::Denied);
}

#[tokio::test]
async fn many_rows_go_out_and_come_back_in_several_batches() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().canonicalize().unwrap();
    let session = session(&root.join("lake"), FileAccess::Anywhere).await;
    let file = |name: &str| root.join(name).display().to_string();
    let query = "SELECT value AS n, concat('row \"', value, '\"\n') AS t FROM generate_series(1, 30000)";
    session.execute(&format!("COPY ({query}) TO '{}'", file("a.csv.gz"))).await.unwrap();
    session.execute("CREATE TABLE t (n BIGINT NOT NULL, t VARCHAR)").await.unwrap();
    let copied = session.execute(&format!("COPY t FROM '{}'", file("a.csv.gz"))).await.unwrap();
    assert!(matches!(copied, Outcome::Changed { inserted: 30000, .. }), "{copied:?}");
    let same = format!("SELECT n, t FROM t INTERSECT ({query})");
    assert_eq!(rows(&session, &same).await, 30000);

    std::fs::write(root.join("b.csv"), "n,t\n1,\"a\nb\"\nx,last\n").unwrap();
    let error = session.execute(&format!("COPY t FROM '{}'", file("b.csv"))).await.unwrap_err();
    assert!(error.message.contains("line 4"), "{error}");
    assert_eq!(rows(&session, "SELECT n FROM t").await, 30000);
}

#[tokio::test]
async fn a_failed_export_leaves_nothing() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().canonicalize().unwrap();
    let session = session(&root.join("lake"), FileAccess::Anywhere).await;
    let query = "SELECT 1 / (20000 - value) AS n FROM generate_series(1, 30000)";
    for target in ["x.parquet", "x.csv", "folder/"] {
        let copy = format!("COPY ({query}) TO '{}/{target}'", root.display());
        assert_eq!(refused(&session, &copy).await, ErrorKind::InvalidSql, "{target}");
    }
    let left: Vec<String> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lake")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
