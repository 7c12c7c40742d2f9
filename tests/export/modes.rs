//! What becomes of rows that are there; what is refused; a server that goes away.

use crate::{database::Database, place::Place};

const TABLE: &str = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, s)";
const QUERY: &str = "SELECT * FROM t";
const ROWS: &str = "SELECT * FROM s.rows ORDER BY id, s";
const LEDGER: &str = "SELECT mart, target, version, mode, rows FROM s._boathouse_deliveries ORDER BY number";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replace_takes_the_place_of_all_rows_and_keeps_the_table() {
    let Some(database) = Database::start().await else { return };
    let place = Place::new(&database, TABLE, "table = \"s.rows\"", QUERY);
    place.run(&database);
    database.ask("CREATE INDEX by_text ON s.rows (s); INSERT INTO s.rows VALUES (9, 'mine')").await;
    place.sql(&database, "DELETE FROM t WHERE id = 1");
    let text = place.run(&database);
    assert!(text.contains("delivered  to warehouse: s.rows, 1 row, version 1"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["2|b"]);
    assert_eq!(database.ask("SELECT indexname FROM pg_indexes WHERE tablename = 'rows'").await, ["by_text"]);
    let text = place.run(&database);
    assert!(text.contains("up to date  to warehouse: s.rows, has version 1"), "{text}");
    assert_eq!(database.ask(LEDGER).await, ["m.rows|s.rows|0|replace|2", "m.rows|s.rows|1|replace|1"]);
    let (text, good) = place.mart(&database, &["export", "m.rows", "--to", "warehouse", "--again"]);
    assert!(good && text.contains("delivered  to warehouse: s.rows, 1 row, version 1"), "{text}");
    assert_eq!((database.ask(ROWS).await, database.ask(LEDGER).await.len()), (vec!["2|b".to_owned()], 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_changes_what_changed_and_append_adds_what_is_new() {
    let Some(database) = Database::start().await else { return };
    let place = Place::new(&database, TABLE, "table = \"s.rows\", mode = \"merge\", key = \"id\"", QUERY);
    place.run(&database);
    database.ask("UPDATE s.rows SET s = 'mine' WHERE id = 2; INSERT INTO s.rows VALUES (9, 'mine')").await;
    place.sql(&database, "UPDATE t SET s = 'A' WHERE id = 1; INSERT INTO t VALUES (3, 'c')");
    let text = place.run(&database);
    // Only what the mart changed is sent.
    assert!(text.contains("delivered  to warehouse: s.rows, 2 rows, version 1"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["1|A", "2|mine", "3|c", "9|mine"]);
    let (_, good) = place.mart(&database, &["export", "--again"]);
    assert!(good);
    assert_eq!(database.ask(ROWS).await, ["1|A", "2|b", "3|c", "9|mine"]);
    place.define("table = \"s.log\", mode = \"append\"", QUERY);
    place.run(&database);
    place.sql(&database, "INSERT INTO t VALUES (3, 'c'), (4, 'd')");
    let text = place.run(&database);
    assert!(text.contains("delivered  to warehouse: s.log, 2 rows, version 2"), "{text}");
    assert_eq!(database.ask("SELECT * FROM s.log ORDER BY id").await, ["1|A", "2|b", "3|c", "3|c", "4|d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_changes_nothing_and_is_told() {
    let Some(database) = Database::start().await else { return };
    let merge = "table = \"s.rows\", mode = \"merge\", key = \"id\"";
    let place = Place::new(&database, TABLE, merge, QUERY);
    database.ask("CREATE SCHEMA s; CREATE TABLE s.rows (id bigint, s text)").await;
    let (text, good) = place.mart(&database, &["run"]);
    assert!(!good && text.contains("m.rows  failed"), "{text}");
    assert!(text.contains("HINT: A merge needs a unique index over the columns of key"), "{text}");
    assert_eq!(database.ask("SELECT count(*) FROM s.rows").await, ["0"]);
    assert_eq!(database.ask(LEDGER).await, [""; 0]);
    database.ask("CREATE UNIQUE INDEX ON s.rows (id); ALTER TABLE s.rows DROP COLUMN s").await;
    let (text, _) = place.mart(&database, &["export"]);
    assert!(text.contains("HINT: The table has other columns than the mart"), "{text}");
    database.ask("ALTER TABLE s.rows ADD COLUMN s text").await;
    place.sql(&database, "INSERT INTO t VALUES (2, 'twice')");
    place.mart(&database, &["run"]);
    let (text, _) = place.mart(&database, &["export"]);
    assert!(text.contains("HINT: The rows of the mart are not unique in the columns of key"), "{text}");
    place.sql(&database, "DELETE FROM t WHERE s = 'twice'");
    place.run(&database);
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_gets_what_it_missed() {
    let Some(mut database) = Database::start().await else { return };
    let place = Place::new(&database, TABLE, "table = \"s.rows\", mode = \"append\"", QUERY);
    place.run(&database);
    database.end();
    place.sql(&database, "INSERT INTO t VALUES (3, 'c')");
    let (text, good) = place.mart(&database, &["run"]);
    assert!(!good && text.contains("m.rows  succeeded") && text.contains("m.rows  failed"), "{text}");
    assert!(text.contains("the database cannot be reached"), "{text}");
    place.sql(&database, "INSERT INTO t VALUES (4, 'd')");
    place.mart(&database, &["run"]);
    database.begin().await;
    let (text, good) = place.mart(&database, &["export"]);
    assert!(good && text.contains("delivered  to warehouse: s.rows, 2 rows, version 2"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b", "3|c", "4|d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_dropped_gets_all_rows() {
    let Some(database) = Database::start().await else { return };
    for mode in ["mode = \"append\"", "mode = \"merge\", key = \"id\""] {
        let place = Place::new(&database, TABLE, &format!("table = \"s.rows\", {mode}"), QUERY);
        place.run(&database);
        database.ask("DROP TABLE s.rows").await;
        place.sql(&database, "INSERT INTO t VALUES (3, 'c')");
        let text = place.run(&database);
        assert!(text.contains("delivered  to warehouse: s.rows, 3 rows, version 1"), "{mode}: {text}");
        assert_eq!(database.ask(ROWS).await, ["1|a", "2|b", "3|c"], "{mode}");
        database.ask("DROP SCHEMA s CASCADE").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_becomes_another_one_in_a_column_of_another_type() {
    let Some(database) = Database::start().await else { return };
    let table = "CREATE TABLE t AS SELECT 1 AS id, CAST('2.5' AS DOUBLE) AS f, CAST('1.25' AS DECIMAL(10, 2)) AS d,
        TIMESTAMP '2026-01-02 03:04:05' AS ts, 'four' AS s";
    database
        .ask("CREATE SCHEMA s; CREATE TABLE s.rows (id text, f real, d numeric, ts timestamp(0), s varchar(4))")
        .await;
    let place = Place::new(&database, table, "table = \"s.rows\"", QUERY);
    place.run(&database);
    assert_eq!(database.ask("SELECT * FROM s.rows").await, ["1|2.5|1.25|2026-01-02 03:04:05|four"]);
    for (column, narrow, wide) in [
        ("f", "integer", "double precision"),
        ("d", "numeric(10,1)", "numeric(10,2)"),
        ("ts", "date", "timestamp without time zone"),
    ] {
        database.ask(&format!("TRUNCATE s.rows; ALTER TABLE s.rows ALTER {column} TYPE {narrow} USING NULL")).await;
        let (text, good) = place.mart(&database, &["export", "--again"]);
        let expected = format!(
            "column \"{column}\" of \"s\".\"rows\" is {narrow}, which does not hold a value of {wide} as it is"
        );
        assert!(!good && text.contains(&expected), "{text}");
        assert_eq!(database.ask("SELECT * FROM s.rows").await, [""; 0]);
        database.ask(&format!("ALTER TABLE s.rows ALTER {column} TYPE {wide} USING NULL")).await;
    }
    let (text, good) = place.mart(&database, &["export", "--again"]);
    assert!(good, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_null_is_refused_and_not_added_each_time() {
    let Some(database) = Database::start().await else { return };
    let merge = "table = \"s.rows\", mode = \"merge\", key = \"id\"";
    let place = Place::new(&database, TABLE, merge, QUERY);
    database.ask("CREATE SCHEMA s; CREATE TABLE s.rows (id bigint UNIQUE, s text)").await;
    place.run(&database);
    place.sql(&database, "INSERT INTO t VALUES (NULL, 'none')");
    let (text, good) = place.mart(&database, &["run"]);
    assert!(!good && text.contains("a row has NULL in column \"id\" of the key"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b"]);
    place.sql(&database, "UPDATE t SET id = 3 WHERE id IS NULL");
    place.run(&database);
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b", "3|none"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_in_a_column_with_the_other_kind_of_zone_is_that_of_utc() {
    let Some(database) = Database::start().await else { return };
    let table = "CREATE TABLE t AS SELECT TIMESTAMP '2026-01-02 03:04:05' AS a,
        CAST('2026-01-02T03:04:05+00:00' AS TIMESTAMP WITH TIME ZONE) AS b";
    database.ask("ALTER DATABASE postgres SET timezone TO 'Asia/Tokyo'").await;
    database.ask("CREATE SCHEMA s; CREATE TABLE s.rows (a timestamptz, b timestamp)").await;
    let place = Place::new(&database, table, "table = \"s.rows\"", QUERY);
    place.run(&database);
    let rows = database.ask("SET TIME ZONE 'UTC'; SELECT * FROM s.rows").await;
    assert_eq!(rows, ["2026-01-02 03:04:05+00|2026-01-02 03:04:05"]);
}
