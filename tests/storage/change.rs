//! What DELETE, UPDATE and MERGE write: which files go, which come, and what other Delta readers see of it.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use boathouse_engine::{Engine, EngineConfig};
use boathouse_storage::{Lake, StorageOptions, store::StoreLayer};
use boathouse_tests::{
    TestLake,
    store::{Request, RequestKind, RequestLog},
};
use datafusion::prelude::SessionContext;
use deltalake::open_table;
use object_store::{ObjectStore, memory::InMemory};
use serde_json::Value;
use url::Url;

/// The actions of a version.
fn actions(table: &Path, version: u64) -> Vec<Value> {
    let text = fs::read_to_string(table.join(format!("_delta_log/{version:020}.json"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'a>(actions: &'a [Value], kind: &str) -> Vec<&'a Value> {
    actions.iter().filter_map(|action| action.get(kind)).collect()
}

/// The ids that the library's own reader sees, sorted.
async fn ids_by_the_library(table: &Path) -> Vec<i64> {
    let context = SessionContext::new();
    let opened = open_table(Url::from_directory_path(table).unwrap()).await.unwrap();
    opened.update_datafusion_session(&context.state()).unwrap();
    context.register_table("t", opened.table_provider().await.unwrap()).unwrap();
    let rows =
        context.sql("SELECT CAST(id AS BIGINT) AS id FROM t ORDER BY id").await.unwrap().collect().await.unwrap();
    use arrow::{array::AsArray, datatypes::Int64Type};
    rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test]
async fn only_files_with_rows_that_go_are_written_anew() {
    let lake = TestLake::folder().await;
    lake.run(
        "CREATE TABLE t (id INT, v VARCHAR);
         INSERT INTO t VALUES (1, 'a'), (2, 'b');
         INSERT INTO t VALUES (3, 'c'), (4, 'd');
         INSERT INTO t VALUES (5, 'e'), (6, 'f');
         DELETE FROM t WHERE id IN (2, 3, 4)",
    )
    .await;
    let table = lake.path().join("main/t");
    let log = actions(&table, 4);
    // The second file goes whole, of the first one row is left.
    let (removed, added) = (of_kind(&log, "remove"), of_kind(&log, "add"));
    assert_eq!((removed.len(), added.len()), (2, 1), "{log:#?}");
    assert!(added[0]["stats"].as_str().unwrap().contains("\"numRecords\":1"), "{log:#?}");
    let metrics = &of_kind(&log, "commitInfo")[0]["operationMetrics"];
    assert_eq!((&metrics["numDeletedRows"], &metrics["numCopiedRows"]), (&"3".into(), &"1".into()), "{log:#?}");
    assert_eq!(ids_by_the_library(&table).await, [1, 5, 6]);
}

#[tokio::test]
async fn nothing_is_committed_when_no_row_matches() {
    let lake = TestLake::folder().await;
    lake.run(
        "CREATE TABLE t (id INT); INSERT INTO t VALUES (1); DELETE FROM t WHERE id = 2; UPDATE t SET id = 3 WHERE id = 2;
         MERGE INTO t USING (SELECT 2 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
    )
    .await;
    assert!(!lake.path().join("main/t/_delta_log/00000000000000000002.json").exists());
}

#[tokio::test]
async fn rows_are_hidden_where_the_table_asks_for_deletion_vectors() {
    let lake = TestLake::folder().await;
    lake.run(
        "CREATE TABLE t (id INT, v VARCHAR) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');
         INSERT INTO t SELECT CAST(value AS INT), 'x' FROM generate_series(1, 5000) AS s (value);
         DELETE FROM t WHERE id % 7 = 0",
    )
    .await;
    let table = lake.path().join("main/t");
    let log = actions(&table, 2);
    let (removed, added) = (of_kind(&log, "remove"), of_kind(&log, "add"));
    assert_eq!((removed.len(), added.len()), (1, 1), "{log:#?}");
    assert_eq!(removed[0]["path"], added[0]["path"], "{log:#?}");
    assert_eq!(added[0]["deletionVector"]["cardinality"], 714, "{log:#?}");
    let stats: Value = serde_json::from_str(added[0]["stats"].as_str().unwrap()).unwrap();
    assert_eq!((&stats["numRecords"], &stats["tightBounds"]), (&5000.into(), &false.into()));
    let expected = |gone: &[i64]| (1..=5000).filter(|id| id % 7 != 0 && !gone.contains(id)).collect::<Vec<i64>>();
    assert_eq!(ids_by_the_library(&table).await, expected(&[]));
    // The next vector has the rows of the one before; an update hides the old row and adds the new one.
    lake.run("DELETE FROM t WHERE id BETWEEN 1 AND 3; UPDATE t SET v = 'y' WHERE id = 4").await;
    assert_eq!(ids_by_the_library(&table).await, expected(&[1, 2, 3]));
    assert_eq!(
        lake.text("SELECT count(*) AS n, min(id) AS low, max(v) AS high FROM t").await,
        "+------+-----+------+\n| n    | low | high |\n+------+-----+------+\n| 4283 | 4   | y    |\n+------+-----+------+"
    );
    lake.run("DELETE FROM t WHERE id > 4").await;
    assert_eq!(ids_by_the_library(&table).await, [4]);
}

#[tokio::test]
async fn what_a_failed_statement_wrote_is_deleted() {
    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE t (id INT, v VARCHAR); INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    let table = lake.path().join("main/t");
    let files = || fs::read_dir(&table).unwrap().map(|f| f.unwrap().file_name()).collect::<BTreeSet<_>>();
    let before = files();
    let error =
        lake.error("UPDATE t SET v = s.v FROM (VALUES (1, 'x'), (1, 'y')) AS s (id, v) WHERE t.id = s.id").await;
    assert!(error.contains("more than one row of the source"), "{error}");
    assert_eq!(files(), before);
    let error = lake.error("UPDATE t SET id = id * CAST(2000000000 AS BIGINT)").await;
    assert!(error.contains("column \"id\"") && error.contains("is 4000000000"), "{error}");
    assert_eq!(files(), before);
}

/// A statement that runs while others commit is run again on what they left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_at_once_are_all_counted() {
    const WRITERS: usize = 4;
    const EACH: usize = 5;
    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE t (id INT, n INT); INSERT INTO t VALUES (1, 0)").await;
    let writers = (0..WRITERS).map(|_| {
        let session = lake.engine().session();
        tokio::spawn(async move {
            for _ in 0..EACH {
                session.execute("UPDATE t SET n = n + 1 WHERE id = 1").await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let n = WRITERS * EACH;
    assert_eq!(lake.text("SELECT n FROM t").await, format!("+----+\n| n  |\n+----+\n| {n} |\n+----+"));
}

/// Statements open only the files in which a row can match: MERGE by the keys that its source has.
#[tokio::test]
async fn files_without_a_row_that_can_match_are_not_opened() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let log = Arc::new(RequestLog::default());
    let watch = log.layer();
    let layer: StoreLayer = Arc::new(move |_| watch(store.clone()));
    let lake = Lake::open_layered("memory:///lake", &StorageOptions::default(), Some(layer)).await.unwrap();
    let engine = Engine::on(lake, EngineConfig { threads: 2, ..EngineConfig::default() }).unwrap();
    let session = engine.session();
    let run = async |sql: &str| drop(session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")));
    run("CREATE TABLE t (id BIGINT, v VARCHAR)").await;
    run("CREATE TABLE s (id BIGINT, v VARCHAR)").await;
    for first in [0, 1000, 2000, 3000] {
        run(&format!("INSERT INTO t SELECT value, 'v' FROM generate_series({first}, {}) AS n (value)", first + 999))
            .await;
    }
    run("INSERT INTO s VALUES (1500, 'new'), (1999, 'new'), (3500, 'new')").await;
    let cases = [
        ("DELETE FROM t WHERE id = 2500", 1),
        ("UPDATE t SET v = 'w' WHERE id BETWEEN 990 AND 1010", 2),
        ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v", 2),
        ("MERGE INTO t USING s ON t.id = s.id AND s.id < 3000 WHEN MATCHED THEN UPDATE SET v = s.v", 1),
        (
            "MERGE INTO t USING (SELECT id + 1 AS id, v FROM s WHERE id < 1600) AS s ON t.id = s.id
             WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT *",
            1,
        ),
        ("MERGE INTO t USING (SELECT 3001 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE", 1),
        ("DELETE FROM t USING s WHERE t.id = s.id AND s.id > 3000", 1),
        ("UPDATE t SET v = s.v FROM s WHERE t.id = s.id + 100 AND s.id < 1600", 1),
    ];
    for (sql, expected) in cases {
        log.take();
        run(sql).await;
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        for Request { kind, path } in log.take() {
            if path.contains("main/t/") && path.ends_with(".parquet") {
                if kind == RequestKind::Get {
                    read.insert(path)
                } else {
                    written.insert(path)
                };
            }
        }
        // Each that was opened had a row that matched, and another one took its place.
        assert_eq!((read.len(), written.len()), (expected, expected), "{sql}: {read:#?} {written:#?}");
    }
}

#[tokio::test]
async fn many_small_files_that_are_touched_become_few() {
    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE t (id INT, v VARCHAR)").await;
    for id in 0..20 {
        lake.run(&format!("INSERT INTO t VALUES ({id}, 'a'), ({}, 'b')", id + 100)).await;
    }
    lake.run("UPDATE t SET v = concat(v, '!') WHERE id < 100; DELETE FROM t WHERE id > 105").await;
    let table = lake.path().join("main/t");
    let (updated, deleted) = (actions(&table, 21), actions(&table, 22));
    assert_eq!(of_kind(&updated, "remove").len(), 20);
    let written = of_kind(&updated, "add").len() + of_kind(&deleted, "add").len();
    assert!(written < 10, "{updated:#?} {deleted:#?}");
    assert_eq!(ids_by_the_library(&table).await, (0..20).chain(100..106).collect::<Vec<_>>());
    let text = lake.text("SELECT v, count(*) AS n FROM t GROUP BY v ORDER BY v").await;
    assert_eq!(text, "+----+----+\n| v  | n  |\n+----+----+\n| a! | 20 |\n| b  | 6  |\n+----+----+");
}
