//! Runs that look at changed rows, beside the rows of the query.

use super::*;

/// What EXPLAIN MART tells under a word.
async fn told(engine: &Arc<Engine>, mart: &str, word: &str) -> String {
    let text = rows(engine, &format!("EXPLAIN MART {mart}")).await;
    let lines = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs the mart `m.t` the way that is told, and compares its rows with those of the query.
async fn runs(engine: &Arc<Engine>, query: &str, way: &str) {
    assert_eq!(told(engine, "m.t", "way").await, way, "{query}\n{}", rows(engine, "EXPLAIN MART m.t").await);
    execute(engine, "REFRESH MART m.t").await;
    went(engine, way).await;
    same(engine, query).await;
}

/// The mart has the rows of its query.
async fn same(engine: &Arc<Engine>, query: &str) {
    let query = format!("SELECT * FROM ({query}) AS q");
    for (one, other) in [("SELECT * FROM m.t", &*query), (&*query, "SELECT * FROM m.t")] {
        let differences = rows(engine, &format!("{one} EXCEPT ALL {other}")).await;
        assert_eq!(differences, "", "rows of {one} that are not of {other}");
    }
}

/// The last run went this way, and not another one because this could not be gone.
async fn went(engine: &Engine, way: &str) {
    let table = engine.lake().table("m", "t").await.unwrap();
    let last = engine.lake().history(&table, 1).await.unwrap().remove(0);
    let (operation, is_added) = (last.operation.as_deref(), last.is_blind_append == Some(true));
    match way {
        "append" => assert!(is_added, "{last:?}"),
        "merge" | "groups" => assert_eq!(operation, Some("MERGE"), "{last:?}"),
        _ => assert_ne!(operation, Some("MERGE"), "{last:?}"),
    }
}

async fn made(source: &str, query: &str) -> Arc<Engine> {
    let engine = engine().await;
    execute(&engine, source).await;
    execute(&engine, &format!("CREATE SCHEMA m; CREATE MART m.t AS {query}")).await;
    assert_eq!(told(&engine, "m.t", "why").await, "it was never run");
    runs(&engine, query, "full").await;
    assert_eq!(told(&engine, "m.t", "way").await, "skipped");
    engine
}

const T: &str = "CREATE TABLE t AS SELECT * FROM (VALUES ('a', 1, 1.5), ('b', 2, 2.5), ('c', 3, 3.5), (NULL, 4, 4.5), \
                 (NULL, 5, 5.5), ('a', NULL, 6.5)) AS v (k, x, y)";

#[tokio::test]
async fn rows_that_were_added_are_added() {
    let query = "SELECT k, x + 1 AS x FROM t WHERE x <> 3 UNION ALL SELECT 'u', id FROM u";
    let engine = made(&format!("{T}; CREATE TABLE u AS SELECT 7 AS id"), query).await;
    execute(&engine, "INSERT INTO t VALUES ('d', 3, 1), ('d', 8, 1), (NULL, 9, NULL)").await;
    runs(&engine, query, "append").await;
    execute(
        &engine,
        "INSERT INTO t VALUES ('e', 1, 1); INSERT INTO u VALUES (8), (9); INSERT INTO t VALUES ('e', 2, 1)",
    )
    .await;
    runs(&engine, query, "append").await;
    execute(&engine, "INSERT INTO t VALUES ('f', 3, 1)").await;
    runs(&engine, query, "append").await;
    assert_eq!(told(&engine, "m.t", "way").await, "skipped");
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.mart_runs WHERE mart = 'm.t'").await, "4");
    execute(&engine, "OPTIMIZE t").await;
    runs(&engine, query, "nothing to do").await;
    execute(&engine, "DELETE FROM t WHERE k = 'f'").await;
    assert_eq!(
        told(&engine, "m.t", "why").await,
        "rows of main.t were changed or deleted, and without GROUP BY theirs are not found again"
    );
    runs(&engine, query, "full").await;
}

#[tokio::test]
async fn groups_with_a_changed_row_are_made_anew_that_of_null_too() {
    for feed in ["false", "true"] {
        let query = "SELECT k, avg(y) AS y, count(DISTINCT x) AS n FROM t GROUP BY k HAVING count(*) < 9";
        let source = format!("{T}; ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = '{feed}')");
        let engine = made(&source, query).await;
        for sql in [
            "DELETE FROM t WHERE x = 4",
            "INSERT INTO t VALUES (NULL, 6, 0), ('d', 1, 2)",
            "UPDATE t SET k = 'c' WHERE k IS NULL AND x = 5",
            "DELETE FROM t WHERE k IS NULL",
            "UPDATE t SET k = NULL WHERE k = 'b'",
            "MERGE INTO t USING (VALUES ('d', 7), ('e', 8)) AS s (k, x) ON t.k = s.k \
             WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k, x) VALUES (s.k, s.x)",
        ] {
            execute(&engine, sql).await;
            runs(&engine, query, "groups").await;
        }
    }
}

#[tokio::test]
async fn counts_and_sums_are_put_together() {
    let query = "SELECT count(*) AS n, k, sum(x) AS x, min(x - 1) AS least, max(k) AS last FROM t GROUP BY k";
    let engine = made(T, query).await;
    execute(&engine, "INSERT INTO t VALUES ('d', NULL, NULL), ('a', 5, -1), (NULL, NULL, 1), ('d', 1, 7)").await;
    runs(&engine, query, "merge").await;
    execute(&engine, "INSERT INTO t VALUES ('d', 3, 9), ('g', NULL, NULL)").await;
    runs(&engine, query, "merge").await;
    // What was least may be gone.
    execute(&engine, "DELETE FROM t WHERE x = 1").await;
    runs(&engine, query, "groups").await;
    execute(&engine, "DELETE FROM t").await;
    runs(&engine, query, "groups").await;
    assert_eq!(rows(&engine, "SELECT * FROM m.t").await, "");
    execute(&engine, "INSERT INTO t VALUES ('d', 3, 9), ('g', NULL, NULL)").await;
    runs(&engine, query, "merge").await;
}

#[tokio::test]
async fn rows_that_went_are_taken_off_counts_and_sums() {
    let query = "SELECT k, count(*) AS n, count(x) AS known, sum(z) AS z FROM t GROUP BY k";
    let source = "CREATE TABLE t (k VARCHAR, x BIGINT, z DECIMAL(10, 2) NOT NULL);
        INSERT INTO t VALUES ('a', 1, 1.5), ('a', NULL, 2.5), ('b', 3, 3.5), (NULL, 4, 4.5), (NULL, NULL, 0.25)";
    let engine = made(source, query).await;
    for sql in [
        "DELETE FROM t WHERE x IS NULL",
        "UPDATE t SET z = z + 1, k = 'b' WHERE k = 'a'",
        "UPDATE t SET z = -z WHERE k IS NULL",
        "DELETE FROM t WHERE k IS NULL",
        "INSERT INTO t VALUES (NULL, 1, 1); DELETE FROM t WHERE k = 'b'; INSERT INTO t VALUES ('b', 1, 1)",
        "DELETE FROM t",
    ] {
        execute(&engine, sql).await;
        runs(&engine, query, "merge").await;
    }
    assert_eq!(rows(&engine, "SELECT * FROM m.t").await, "");
}

#[tokio::test]
async fn a_join_whose_sides_both_changed_is_not_read_whole() {
    let (added, summed) = (
        "SELECT t.id, u.name FROM t JOIN u ON u.k = t.k",
        "SELECT u.name, count(*) AS n FROM t JOIN u ON u.k = t.k GROUP BY u.name",
    );
    for (query, after_insert, after_delete) in [(added, "append", "full"), (summed, "merge", "merge")] {
        let source = "CREATE TABLE t AS SELECT value AS id, value % 3 AS k FROM generate_series(1, 9);
            CREATE TABLE u AS SELECT value AS k, 'n' || value AS name FROM generate_series(0, 1)";
        let engine = made(source, query).await;
        execute(
            &engine,
            "INSERT INTO u VALUES (2, 'two'), (7, 'seven'); INSERT INTO t VALUES (10, 7), (11, 2), (12, 8)",
        )
        .await;
        runs(&engine, query, after_insert).await;
        execute(&engine, "DELETE FROM u WHERE k = 2; DELETE FROM t WHERE k = 7; INSERT INTO t VALUES (13, 2)").await;
        runs(&engine, query, after_delete).await;
        execute(&engine, "INSERT INTO u VALUES (8, 'n1'), (8, NULL)").await;
        runs(&engine, query, after_insert).await;
    }
}

#[tokio::test]
async fn what_needs_all_rows_is_told_with_its_place_in_the_plan() {
    let engine = engine().await;
    execute(&engine, &format!("{T}; CREATE TABLE u AS SELECT 1 AS x; CREATE SCHEMA m")).await;
    let marts = [
        (
            "SELECT k, row_number() OVER (ORDER BY x) AS n FROM t",
            "a window function looks at other rows, too (WindowAggr: ",
        ),
        ("SELECT k FROM t ORDER BY x LIMIT 2", "which rows are the first depends on all of them (Limit: "),
        ("SELECT sum(x) AS x FROM t", "without GROUP BY all rows are one group (Aggregate: "),
        ("SELECT sum(x) AS x FROM t GROUP BY k", "t.k of the GROUP BY is no column of the mart (Aggregate: "),
        (
            "SELECT f, sum(x) AS x FROM (SELECT CAST(y AS DOUBLE) AS f, x FROM t) AS s GROUP BY f",
            "s.f of the GROUP BY is a Float64, by which rows of a table are not",
        ),
        (
            "SELECT u.x, t.k FROM u LEFT JOIN t ON t.x = u.x",
            "main.t changed, and so may rows that have no counterpart there",
        ),
        ("SELECT x FROM u WHERE x IN (SELECT x FROM t)", "a subquery reads main.t, which changed (Filter: "),
        (
            "SELECT k, n FROM (SELECT k, count(*) AS n FROM t GROUP BY k) AS s JOIN u ON n = u.x",
            "an aggregate within the query",
        ),
        ("SELECT k, now() AS at FROM t", "it calls a function that looks at more than its arguments"),
        ("SELECT k FROM t, system.marts", "it reads what has no versions"),
    ];
    for (at, (query, _)) in marts.iter().enumerate() {
        execute(&engine, &format!("CREATE MART m.t{at} AS {query}; REFRESH MART m.t{at}")).await;
    }
    execute(&engine, "INSERT INTO t VALUES ('a', 1, 1)").await;
    for (at, (query, why)) in marts.iter().enumerate() {
        let name = format!("m.t{at}");
        let found = (told(&engine, &name, "way").await, told(&engine, &name, "why").await);
        assert!(found.0 == "full" && found.1.starts_with(why), "{query}: {found:?}");
        execute(&engine, &format!("REFRESH MART {name}")).await;
    }
}

#[tokio::test]
async fn a_table_that_is_not_that_of_the_last_run_is_made_whole() {
    let query = "SELECT k, x FROM t";
    let engine = made(T, query).await;
    execute(&engine, "INSERT INTO t VALUES ('z', 1, 1); DELETE FROM m.t WHERE k = 'a'").await;
    assert!(told(&engine, "m.t", "why").await.starts_with("the rows of its table were changed since its last run"));
    runs(&engine, query, "full").await;
    execute(&engine, "DROP TABLE t; CREATE TABLE t AS SELECT 'new' AS k, 1 AS x; INSERT INTO t VALUES ('newer', 2)")
        .await;
    assert!(told(&engine, "m.t", "why").await.starts_with("a view or a table that it reads has another definition"));
    runs(&engine, query, "full").await;
    execute(&engine, "INSERT INTO t VALUES ('newest', 3)").await;
    runs(&engine, query, "append").await;
    let other = "SELECT k, x FROM t WHERE x > 1";
    execute(&engine, &format!("CREATE OR REPLACE MART m.t AS {other}")).await;
    assert!(told(&engine, "m.t", "why").await.starts_with("its definition is another one"));
    runs(&engine, other, "full").await;
    execute(&engine, "INSERT INTO t VALUES ('more', 4)").await;
    assert_eq!(told(&engine, "m.t", "source").await, "main.t: version 2 -> version 3: rows were added");
    execute(&engine, "REFRESH MART m.t FORCE; INSERT INTO t VALUES ('most', 5)").await;
    runs(&engine, other, "append").await;
}

#[tokio::test]
async fn a_test_that_fails_over_added_rows_publishes_nothing() {
    let engine = engine().await;
    let query = "SELECT k, x FROM t";
    execute(&engine, &format!("{T}; CREATE SCHEMA m; CREATE MART m.t WITH (test = (expect = 'x < 9')) AS {query}"))
        .await;
    execute(&engine, "DELETE FROM t WHERE x IS NULL; REFRESH MART m.t; INSERT INTO t VALUES ('a', 9, 0)").await;
    assert_eq!(told(&engine, "m.t", "way").await, "append");
    let error = engine.session().execute("REFRESH MART m.t").await.err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("the test \"expect(x < 9)\" failed")), "{error:?}");
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t").await, "5");
    execute(&engine, "DELETE FROM t WHERE x = 9").await;
    runs(&engine, query, "full").await;
}

/// Files that tell which rows went may be deleted between two runs.
#[tokio::test]
async fn a_run_is_full_where_deleted_rows_cannot_be_read_any_more() {
    let source = "CREATE TABLE t AS SELECT value % 3 AS k, value AS x FROM generate_series(1, 9);
        ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')";
    for query in ["SELECT k, avg(x) AS x FROM t GROUP BY k", "SELECT k, count(*) AS n, count(x) AS x FROM t GROUP BY k"]
    {
        let engine = made(source, query).await;
        let session = engine.session();
        for sql in ["DELETE FROM t WHERE x = 4", "SET vacuum_retention_check = false", "VACUUM t RETAIN 0 HOURS"] {
            session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        // It is found out when they are read.
        assert_ne!(told(&engine, "m.t", "way").await, "full");
        execute(&engine, "REFRESH MART m.t").await;
        same(&engine, query).await;
        let table = engine.lake().table("m", "t").await.unwrap();
        let last = engine.lake().history(&table, 1).await.unwrap().remove(0);
        assert_eq!(last.operation.as_deref(), Some("WRITE"), "a full run overwrites the rows");
        assert_eq!(told(&engine, "m.t", "way").await, "skipped");
    }
}

#[tokio::test]
async fn groups_are_made_of_the_files_that_may_have_them() {
    let engine = engine().await;
    let rows_of =
        |file: u32| format!("SELECT {file} * 100 + value % 100 AS k, random() AS x FROM generate_series(1, 20000)");
    execute(&engine, &format!("CREATE TABLE t AS {}", rows_of(0))).await;
    for file in 1..8 {
        execute(&engine, &format!("INSERT INTO t {}", rows_of(file))).await;
    }
    let query = "SELECT k, median(x) AS x FROM t GROUP BY k";
    execute(&engine, &format!("CREATE SCHEMA m; CREATE MART m.t AS {query}")).await;
    runs(&engine, query, "full").await;
    execute(&engine, "INSERT INTO t VALUES (107, 0.5), (105, 0.25)").await;
    assert_eq!(told(&engine, "m.t", "way").await, "groups");
    let bytes = || engine.lake().usage().store.bytes_read;
    let before = bytes();
    execute(&engine, "REFRESH MART m.t").await;
    went(&engine, "groups").await;
    let (read, whole) = (bytes() - before, engine.lake().table("main", "t").await.unwrap().size_bytes());
    assert!(read < whole / 2, "{read} bytes were read, the table has {whole}");
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.mart_runs WHERE mart = 'm.t'").await, "2");
    let differences = "SELECT * FROM m.t EXCEPT ALL SELECT k, median(x) FROM t GROUP BY k";
    assert_eq!(rows(&engine, differences).await, "");
}
