//! What changed is seen by the next statement.

use super::*;

#[tokio::test]
async fn a_repeated_query_is_answered_from_its_rows_until_a_commit() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 10)"]).await;
    let sql = "SELECT sum(a) AS s FROM t";
    assert!(!is_kept(&session, sql).await);
    assert!(text(&session, sql).await.contains("| 55 |"));
    let before = usage(&engine, "results").await;
    assert_eq!((before.entries, before.hits), (Some(1), 0));
    // Another session, and other space around the text.
    assert!(text(&engine.session(), " SELECT sum(a) AS s FROM t ;\n").await.contains("| 55 |"));
    assert_eq!(usage(&engine, "results").await.hits, 1);
    assert!(is_kept(&session, sql).await);
    assert!(text(&session, &format!("EXPLAIN ANALYZE {sql}")).await.contains("files_read=1"));

    run(&session, &["INSERT INTO t VALUES (45)"]).await;
    assert!(!is_kept(&session, sql).await);
    assert!(text(&session, sql).await.contains("| 100 |"));
    assert!(text(&session, sql).await.contains("| 100 |"));
    assert_eq!(usage(&engine, "results").await.hits, 2);
}

#[tokio::test]
async fn a_table_made_anew_with_the_same_versions_is_another_table() {
    let engine = engine().await;
    let session = engine.session();
    for number in 1..=5 {
        let fill = format!("INSERT INTO t VALUES ({number})");
        run(&session, &["CREATE TABLE t (a INT)", &fill]).await;
        for _ in 0..2 {
            assert!(text(&session, "SELECT a FROM t").await.contains(&format!("| {number} |")));
        }
        run(&session, &["DROP TABLE t"]).await;
        assert!(session.execute("SELECT a FROM t").await.is_err());
    }
    run(&session, &["CREATE OR REPLACE TABLE t AS SELECT 'text' AS a"]).await;
    assert!(text(&session, "SELECT a FROM t").await.contains("| text |"));
}

#[tokio::test]
async fn commits_of_other_processes_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let (ours, theirs) = (Engine::open(url, config()).await.unwrap(), Engine::open(url, config()).await.unwrap());
    let (session, other) = (ours.session(), theirs.session());
    run(&other, &["CREATE TABLE t (a BIGINT)"]).await;
    for number in 1..=5 {
        run(&other, &[&format!("INSERT INTO t VALUES ({number})")]).await;
        let expected = format!("| {} |", number * (number + 1) / 2);
        for _ in 0..2 {
            assert!(text(&session, "SELECT sum(a) AS s FROM t").await.contains(&expected));
        }
    }
    assert_eq!(usage(&ours, "results").await.hits, 5);
    run(&other, &["DROP TABLE t", "CREATE VIEW t AS SELECT 77 AS a"]).await;
    assert!(text(&session, "SELECT sum(a) AS s FROM t").await.contains("| 77 |"));
}

#[tokio::test]
async fn files_named_by_path_are_read_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    let (file, engine) = (file.to_str().unwrap(), engine().await);
    let session = engine.session();
    let queries = [
        format!("SELECT a FROM '{file}'"),
        format!("SELECT a FROM read_csv('{file}')"),
        "SELECT a FROM outside".to_owned(),
        "SELECT a FROM over".to_owned(),
        "SELECT outside.a FROM outside JOIN t ON true".to_owned(),
        "SELECT max((SELECT a FROM outside)) AS a FROM t".to_owned(),
    ];
    std::fs::write(file, "a\n1\n").unwrap();
    let external = format!("CREATE EXTERNAL TABLE outside STORED AS CSV LOCATION '{file}' OPTIONS ('header' 'true')");
    run(&session, &[&external, "CREATE VIEW over AS SELECT a FROM outside", "CREATE TABLE t AS SELECT 1 AS b"]).await;
    for number in 2..=5 {
        std::fs::write(file, format!("a\n{number}\n")).unwrap();
        for sql in &queries {
            for _ in 0..2 {
                assert!(text(&session, sql).await.contains(&format!("| {number} |")), "{sql}");
            }
            assert!(!is_kept(&session, sql).await, "{sql}");
        }
    }
}

/// The library takes a footer for good while path, size and time of its file are the same.
#[tokio::test]
async fn a_parquet_file_that_took_the_place_of_another_is_read_by_its_own_footer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let engine = engine().await;
    let session = engine.session();
    let made = std::time::SystemTime::now();
    for (name, rows) in [("a", "(1), (2), (3), (4)"), ("b", "(5), (6), (7), (8)")] {
        let copy = format!("COPY (SELECT column1 AS v FROM (VALUES {rows})) TO '{}.parquet'", path(name));
        run(&session, &[&copy]).await;
        std::fs::File::options()
            .write(true)
            .open(path(&format!("{name}.parquet")))
            .unwrap()
            .set_modified(made)
            .unwrap();
    }
    let length = |name: &str| std::fs::metadata(path(name)).unwrap().len();
    assert_eq!(length("a.parquet"), length("b.parquet"), "the test needs files of one size");
    let sql = format!("SELECT min(v) AS low, count(*) AS n FROM '{}'", path("a.parquet"));
    assert!(text(&session, &sql).await.contains("| 1   | 4 |"));
    std::fs::rename(path("b.parquet"), path("a.parquet")).unwrap();
    assert!(text(&session, &sql).await.contains("| 5   | 4 |"));
}

#[tokio::test]
async fn a_delta_table_elsewhere_is_kept_by_its_version() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = Engine::open(folder.path().to_str().unwrap(), config()).await.unwrap();
    let other = Engine::open(elsewhere.path().to_str().unwrap(), config()).await.unwrap();
    let (session, writer) = (engine.session(), other.session());
    run(&writer, &["CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE u AS SELECT 5 AS a"]).await;
    let external = |table| {
        let location = elsewhere.path().join("main").join(table);
        format!("CREATE OR REPLACE EXTERNAL TABLE far STORED AS DELTA LOCATION '{}'", location.to_str().unwrap())
    };
    run(&session, &[&external("t")]).await;
    let sql = "SELECT sum(a) AS s FROM far";
    for number in 1..=3 {
        for _ in 0..2 {
            assert!(text(&session, sql).await.contains(&format!("| {number} |")));
        }
        assert!(is_kept(&session, sql).await);
        run(&writer, &["INSERT INTO t VALUES (1)"]).await;
    }
    run(&session, &["DROP TABLE far", &external("u")]).await;
    assert!(text(&session, sql).await.contains("| 5 |"));
}

#[tokio::test]
async fn settings_and_names_tell_queries_apart() {
    let engine = engine().await;
    let (one, two) = (engine.session(), engine.session());
    run(&one, &["CREATE SCHEMA s", "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE s.t AS SELECT 2 AS a"]).await;
    run(&one, &["CREATE TABLE at AS SELECT CAST('2024-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE) AS x"]).await;
    run(&two, &["USE s", "SET time_zone = '+02:00'"]).await;
    let midnight =
        "SELECT count(*) AS n FROM main.at WHERE x = CAST('2024-01-01T00:00:00' AS TIMESTAMP WITH TIME ZONE)";
    for _ in 0..2 {
        assert!(text(&one, "SELECT a FROM t").await.contains("| 1 |"));
        assert!(text(&two, "SELECT a FROM t").await.contains("| 2 |"));
        assert!(text(&one, midnight).await.contains("| 1 |"));
        assert!(text(&two, midnight).await.contains("| 0 |"));
    }
    run(&two, &["RESET ALL"]).await;
    assert!(text(&two, "SELECT a FROM t").await.contains("| 1 |"));
    assert!(text(&two, midnight).await.contains("| 1 |"));
    // A view takes the place of a table, and a table that of a view.
    run(&one, &["DROP TABLE t", "CREATE VIEW t AS SELECT a + 10 AS a FROM s.t"]).await;
    assert!(text(&one, "SELECT a FROM t").await.contains("| 12 |"));
    assert!(is_kept(&one, "SELECT a FROM t").await);
    run(&one, &["CREATE OR REPLACE VIEW t AS SELECT a + 20 AS a FROM s.t"]).await;
    assert!(text(&one, "SELECT a FROM t").await.contains("| 22 |"));
    run(&one, &["INSERT INTO s.t VALUES (3)"]).await;
    assert!(text(&one, "SELECT a FROM t ORDER BY a").await.contains("| 23 |"));
    run(&one, &["DROP VIEW t", "CREATE TABLE t AS SELECT 4 AS a"]).await;
    assert!(text(&one, "SELECT a FROM t").await.contains("| 4 |"));
}

#[tokio::test]
async fn execute_reads_the_newest_tables_and_its_values_tell_it_apart() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT value AS a FROM generate_series(1, 4)"]).await;
    run(&session, &["PREPARE p AS SELECT count(*) AS n FROM t WHERE a <= $1"]).await;
    for _ in 0..2 {
        assert!(text(&session, "EXECUTE p(2)").await.contains("| 2 |"));
        assert!(text(&session, "EXECUTE p(3)").await.contains("| 3 |"));
    }
    assert_eq!(usage(&engine, "results").await.hits, 2);
    assert_eq!(usage(&engine, "plans").await.hits, 3);
    assert!(is_kept(&session, "EXECUTE p(3)").await);
    assert!(!is_kept(&session, "EXECUTE p(4)").await);
    run(&session, &["INSERT INTO t VALUES (0)"]).await;
    assert!(text(&session, "EXECUTE p(2)").await.contains("| 3 |"));
    // The text of a PREPARE is no query.
    let error = session.execute("PREPARE p AS SELECT count(*) AS n FROM t WHERE a <= $1").await.unwrap_err();
    assert!(error.message.contains("already exists"), "{error}");
    run(&session, &["DROP TABLE t", "CREATE TABLE t (a VARCHAR)", "INSERT INTO t VALUES ('2'), ('10')"]).await;
    assert!(text(&session, "EXECUTE p('10')").await.contains("| 1 |"));
}

/// A statement bound to a version keeps reading it, whatever is newest.
#[tokio::test]
async fn pinned_versions_are_read_as_they_were() {
    let engine = engine().await;
    let session = engine.session();
    run(&session, &["CREATE TABLE t AS SELECT 1 AS a"]).await;
    let sql = "SELECT count(*) AS n FROM t";
    let old = session.prepare(sql).await.unwrap();
    run(&session, &["INSERT INTO t VALUES (2)"]).await;
    for _ in 0..2 {
        assert!(text(&session, sql).await.contains("| 2 |"));
        let again = session.prepare_at(sql, old.pins()).await.unwrap();
        for prepared in [&old, &again] {
            let Outcome::Rows(rows) = session.run(prepared, &[]).await.unwrap() else { panic!("no rows") };
            let rows = pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string();
            assert!(rows.contains("| 1 |"), "{rows}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_a_writer_never_see_less_than_was_there_before_they_asked() {
    let engine = engine().await;
    run(&engine.session(), &["CREATE TABLE t (a BIGINT)"]).await;
    let written = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (session, written) = (engine.session(), written.clone());
            tokio::spawn(async move {
                loop {
                    let least = written.load(std::sync::atomic::Ordering::SeqCst);
                    let batches = all(&session, "SELECT count(*) AS n FROM t").await.unwrap();
                    let counts = batches[0].column(0).as_any().downcast_ref::<datafusion::arrow::array::Int64Array>();
                    let count = counts.unwrap().value(0);
                    assert!(count >= least, "{count} rows after {least} were committed");
                    if least >= 20 {
                        return;
                    }
                }
            })
        })
        .collect();
    let session = engine.session();
    for number in 1..=20 {
        run(&session, &["INSERT INTO t VALUES (1)"]).await;
        written.store(number, std::sync::atomic::Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
