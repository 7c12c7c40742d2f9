//! Two versions of a mart, compared.

use std::sync::Arc;

use super::{engine, execute, project, run};
use crate::{
    Engine,
    mart::{Diff, DiffOptions, diff},
};

const ALL: DiffOptions = DiffOptions { from: None, to: None, samples: 9 };

/// What differs after a change of the table `t`, for a mart that the block and the query say.
async fn changed(engine: &Arc<Engine>, block: &str, query: &str, change: &str) -> Diff {
    let project = project(engine, &[("m.d", &format!("/*---\n{block}\n---*/\n{query}"))]).await;
    run(&project).await;
    execute(engine, change).await;
    run(&project).await;
    diff(engine, "m.d", ALL).await.unwrap()
}

fn counts(diff: &Diff) -> (u64, u64, u64) {
    (diff.added, diff.removed, diff.changed)
}

const TABLE: &str = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (2, 'b'), (NULL, 'n')) AS v (id, x)";

#[tokio::test]
async fn without_a_key_rows_are_counted_as_often_as_they_are_there() {
    let engine = engine().await;
    execute(&engine, TABLE).await;
    let change = "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (NULL, 'n'), (2, 'b'), (3, NULL)";
    let diff = changed(&engine, "", "SELECT id, x FROM t", change).await;
    assert_eq!((diff.from, diff.to, diff.rows, counts(&diff)), (0, 1, (4, 6), (3, 1, 0)));
    // Each once, however often it came.
    assert_eq!(diff.samples, ["+ id: 2, x: b", "+ id: 3, x: NULL", "+ id: NULL, x: n", "- id: 1, x: a"]);
    assert_eq!((diff.key.len(), diff.columns.len()), (0, 0));
}

#[tokio::test]
async fn with_a_key_a_row_that_went_and_one_that_came_are_one_that_changed() {
    let engine = engine().await;
    execute(&engine, TABLE).await;
    let block = "strategy = \"merge\"\nkey = \"id\"";
    let change =
        "UPDATE t SET x = 'z' WHERE id IS NULL; UPDATE t SET x = NULL WHERE id = 2; INSERT INTO t VALUES (3, 'c')";
    let diff = changed(&engine, block, "SELECT DISTINCT id, x FROM t", change).await;
    assert_eq!((diff.rows, diff.key.clone(), counts(&diff)), ((3, 4), vec!["id".to_owned()], (1, 0, 2)));
    assert_eq!(diff.samples, ["+ id: 3, x: c", "~ id: 2: x b -> NULL", "~ id: NULL: x n -> z"]);
}

#[tokio::test]
async fn a_key_of_scd2_is_told_apart_by_when_its_state_began() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, x)").await;
    let block = "strategy = \"scd2\"\nkey = \"id\"";
    let project = project(&engine, &[("m.d", &format!("/*---\n{block}\n---*/\nSELECT id, x FROM t"))]).await;
    run(&project).await;
    execute(&engine, "DELETE FROM t WHERE id = 2").await;
    run(&project).await;
    let diff = diff(&engine, "m.d", ALL).await.unwrap();
    // The state of the key ended, which is a change of its row.
    assert_eq!((diff.rows, counts(&diff)), ((2, 2), (0, 0, 1)));
    assert_eq!(diff.key, ["id", "valid_from"]);
}

#[tokio::test]
async fn columns_of_one_version_alone_are_told_of() {
    let engine = engine().await;
    execute(&engine, TABLE).await;
    let first = project(&engine, &[("m.d", "SELECT id, x, 1 AS old, 2 AS kind FROM t")]).await;
    run(&first).await;
    let second = project(&engine, &[("m.d", "SELECT id, x, 'two' AS kind, true AS fresh FROM t")]).await;
    run(&second).await;
    let found = diff(&engine, "m.d", ALL).await.unwrap();
    assert_eq!(counts(&found), (0, 0, 0));
    assert_eq!(
        found.columns,
        [
            "column old BIGINT went",
            "column kind was BIGINT and is VARCHAR; it is not compared",
            "column fresh BOOLEAN came"
        ]
    );
    let none = DiffOptions { from: Some(0), to: Some(0), ..ALL };
    assert_eq!(diff(&engine, "m.d", none).await.unwrap().rows, (4, 4));
}

#[tokio::test]
async fn a_compacted_table_is_compared_with_the_run_before_its_last_one() {
    let engine = engine().await;
    execute(&engine, TABLE).await;
    let made = changed(&engine, "", "SELECT id, x FROM t", "DELETE FROM t WHERE id = 1").await;
    assert_eq!((made.from, made.to, counts(&made)), (0, 1, (0, 1, 0)));
    execute(&engine, "ALTER TABLE m.d SET TBLPROPERTIES ('my.note' = 'x')").await;
    let later = diff(&engine, "m.d", ALL).await.unwrap();
    assert_eq!((later.from, later.to, counts(&later)), (0, 2, (0, 1, 0)));
    // With no run before, with the last one.
    let of_first = DiffOptions { from: None, to: Some(1), ..ALL };
    execute(&engine, "CREATE MART m.once AS SELECT 1 AS a; REFRESH MART m.once; INSERT INTO m.once VALUES (2)").await;
    let once = diff(&engine, "m.once", of_first).await.unwrap();
    assert_eq!((once.from, once.to, counts(&once)), (0, 1, (1, 0, 0)));
}
