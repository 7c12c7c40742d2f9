//! Structs with fields that are never NULL, which tables of other writers have: values come into them by every statement,
//! and a NULL is refused by the field's name.

use std::{fs, path::Path};

use boathouse_tests::TestLake;
use serde_json::{Value, json};

/// STRUCT<a BIGINT NOT NULL, b BIGINT>, as a log says it.
fn record() -> Value {
    let field =
        |name: &str, nullable: bool| json!({"name": name, "type": "long", "nullable": nullable, "metadata": {}});
    json!({"type": "struct", "fields": [field("a", false), field("b", true)]})
}

/// The log of a new table as another writer could have left it: such a struct alone, in an ARRAY and in a MAP.
fn make(folder: &Path) {
    let column = |name: &str, kind: Value| json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let list = json!({"type": "array", "elementType": record(), "containsNull": true});
    let map = json!({"type": "map", "keyType": "string", "valueType": record(), "valueContainsNull": true});
    let columns = [column("id", json!("long")), column("s", record()), column("l", list), column("m", map)];
    let schema = json!({"type": "struct", "fields": columns}).to_string();
    let format = json!({"provider": "parquet", "options": {}});
    let metadata = json!({"id": "5c1f3f44-0c2b-4a57-9f59-6a4f4e0f9f52", "format": format, "schemaString": schema,
        "partitionColumns": [], "configuration": {}, "createdTime": 1_700_000_000_000_i64});
    let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    fs::create_dir_all(folder.join("_delta_log")).unwrap();
    let log = format!("{protocol}\n{}\n", json!({ "metaData": metadata }));
    fs::write(folder.join("_delta_log/00000000000000000000.json"), log).unwrap();
}

/// A lake with the table `t`.
async fn lake() -> TestLake {
    let lake = TestLake::folder().await;
    make(&lake.path().join("main").join("t"));
    lake
}

/// The rows that are expected, in their order.
async fn holds(lake: &TestLake, expected: &[&str]) {
    let text = lake.text("SELECT id, s, l, m FROM t ORDER BY id").await;
    let rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_come_into_structs_with_fields_that_are_not_null() {
    let lake = lake().await;
    lake.run(
        "INSERT INTO t VALUES (1, named_struct('a', 1, 'b', 2), [named_struct('a', 1, 'b', NULL)],
           MAP {'k': named_struct('a', 1, 'b', 2)});
         INSERT INTO t (id) VALUES (2);
         INSERT INTO t SELECT value, named_struct('a', value, 'b', nullif(value, 3)), [named_struct('a', value, 'b', value)],
           MAP {'k': named_struct('a', value, 'b', value)} FROM generate_series(3, 3) AS g (value)",
    )
    .await;
    holds(
        &lake,
        &["1 {a: 1, b: 2} [{a: 1, b: }] {k: {a: 1, b: 2}}", "2   ", "3 {a: 3, b: } [{a: 3, b: 3}] {k: {a: 3, b: 3}}"],
    )
    .await;
    lake.run(
        "UPDATE t SET s.b = 5 WHERE id <> 2;
         UPDATE t SET s = named_struct('a', 20, 'b', id), l = [named_struct('a', id, 'b', 2)] WHERE id = 2;
         UPDATE t SET m = MAP {'x': named_struct('a', 8, 'b', NULL)} WHERE id = 3",
    )
    .await;
    let three = "3 {a: 3, b: 5} [{a: 3, b: 3}] {x: {a: 8, b: }}";
    holds(&lake, &["1 {a: 1, b: 5} [{a: 1, b: }] {k: {a: 1, b: 2}}", "2 {a: 20, b: 2} [{a: 2, b: 2}] ", three]).await;
    lake.run(
        "MERGE INTO t USING (SELECT value AS id, named_struct('a', value, 'b', 7) AS s, [named_struct('a', value, 'b', 7)] AS l,
             MAP {'m': named_struct('a', value, 'b', 7)} AS m FROM generate_series(1, 1) AS g (value)) AS n
           ON t.id = n.id WHEN MATCHED THEN UPDATE SET *;
         MERGE INTO t USING (SELECT 4 AS id) AS n ON t.id = n.id
           WHEN MATCHED THEN UPDATE SET s.b = 0
           WHEN NOT MATCHED THEN INSERT (id, s, l, m) VALUES (n.id, named_struct('a', 4, 'b', NULL), [named_struct('a', n.id, 'b', 4)],
             MAP {'k': named_struct('a', 4, 'b', 4)})
           WHEN NOT MATCHED BY SOURCE AND t.id = 2 THEN UPDATE SET s.b = 6;
         INSERT INTO t REPLACE WHERE id = 5 SELECT 5, named_struct('a', 5, 'b', 5), NULL, NULL",
    )
    .await;
    holds(
        &lake,
        &[
            "1 {a: 1, b: 7} [{a: 1, b: 7}] {m: {a: 1, b: 7}}",
            "2 {a: 20, b: 6} [{a: 2, b: 2}] ",
            three,
            "4 {a: 4, b: } [{a: 4, b: 4}] {k: {a: 4, b: 4}}",
            "5 {a: 5, b: 5}  ",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_in_a_field_that_is_not_null_is_refused_by_its_name() {
    let lake = lake().await;
    lake.run("INSERT INTO t VALUES (1, named_struct('a', 1, 'b', 2), NULL, NULL); INSERT INTO t (id) VALUES (2)").await;
    let null = "named_struct('a', CAST(NULL AS BIGINT), 'b', 1)";
    let merge = "MERGE INTO t USING (SELECT 9 AS id) AS n ON t.id = n.id WHEN NOT MATCHED THEN INSERT (id, s) VALUES";
    let refused = [
        (format!("INSERT INTO t (id, s) VALUES (3, {null})"), "s.a"),
        ("INSERT INTO t (id, s) VALUES (3, named_struct('a', NULL, 'b', 1))".to_owned(), "s.a"),
        (format!("INSERT INTO t (id, l) VALUES (3, [named_struct('a', 1, 'b', 1), {null}])"), "l.element.a"),
        (format!("INSERT INTO t (id, m) VALUES (3, MAP {{'k': {null}}})"), "m.value.a"),
        ("INSERT INTO t (id, s) SELECT id, named_struct('a', nullif(id, 2), 'b', 1) FROM t".to_owned(), "s.a"),
        ("UPDATE t SET s.a = NULL WHERE id = 1".to_owned(), "s.a"),
        ("UPDATE t SET s.a = nullif(id, 1) WHERE id = 1".to_owned(), "s.a"),
        // A struct that is NULL gets one of its fields only.
        ("UPDATE t SET s.b = 5".to_owned(), "s.a"),
        ("UPDATE t SET l = [named_struct('a', nullif(id, 2), 'b', 1)]".to_owned(), "l.element.a"),
        (format!("{merge} (n.id, named_struct('a', nullif(n.id, 9), 'b', 1))"), "s.a"),
    ];
    for (sql, field) in &refused {
        let error = lake.error(sql).await;
        let expected = format!("column \"{field}\" of table \"main.t\" is NOT NULL, but a value is missing");
        assert!(error.contains(&expected), "{sql}\n{error}");
    }
    holds(&lake, &["1 {a: 1, b: 2}  ", "2   "]).await;
}
