//! INSERT and COPY, and the enforcement of the table's schema.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use boathouse_storage::{
    Lake, StorageError,
    write::{self, Check, CommitInfo, Committed, Generated, NewTable, Rules},
};
use boathouse_tests::store::{Fate, RequestKind};
use datafusion::prelude::{col, lit};
use deltalake::{
    DeltaTable,
    kernel::{DataType as DeltaType, StructField},
};

use crate::{
    on_every_place,
    place::{
        Place, chain, columns, create_as, info, insert, insert_by_rules, insert_into, people, query, rows, session,
    },
};

on_every_place!(
    rows_go_in_by_name_and_come_back,
    what_does_not_fit_is_refused_before_a_file_is_written,
    a_null_in_the_rows_is_refused_before_the_commit,
    appends_of_many_tasks_and_processes_lose_no_row,
    a_commit_whose_answer_was_lost_is_made_once,
    a_commit_that_was_refused_is_an_error,
);

async fn rows_go_in_by_name_and_come_back(place: Place) {
    let lake = place.open().await;
    let table = NewTable {
        schema: columns(&[
            ("id", DataType::Int64, false),
            ("part", DataType::Utf8, true),
            ("price", DataType::Decimal128(12, 4), true),
            ("day", DataType::Date32, true),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            ("ratio", DataType::Float64, true),
        ]),
        partition_columns: vec!["part".into()],
        ..people("t")
    };
    write::create(&lake, &table, &info()).await.unwrap();
    let sql = "SELECT CAST(2.5 AS DECIMAL(5, 2)) AS price, CAST(1 AS INT) AS id, 'a b/c' AS part,
        TIMESTAMP '2024-01-02 03:04:05.678901' AS at, CAST(0.5 AS FLOAT) AS ratio, '2024-02-03' AS day";
    let first = insert(&lake, "t", sql).await.unwrap();
    assert_eq!((first.version, first.rows_inserted), (1, 1));
    let second = insert(&lake, "t", "SELECT column1 AS id, column2 AS part FROM (VALUES (2, NULL), (3, ''))").await;
    assert_eq!(second.unwrap().rows_inserted, 2);
    let snapshot = lake.table("main", "t").await.unwrap();
    assert_eq!(
        query(&lake, &snapshot, "SELECT * FROM t WHERE id = 1").await,
        ["1 a b/c 2.5000 2024-02-03 2024-01-02T03:04:05.678901 0.5"]
    );
    assert_eq!(query(&lake, &snapshot, "SELECT id FROM t WHERE part IS NULL OR part = ''").await, ["2", "3"]);
    // No row is a commit, too: the statement happened.
    let none = insert(&lake, "t", "SELECT 1 AS id WHERE false").await.unwrap();
    assert_eq!((none.version, none.rows_inserted), (3, 0));
}

async fn what_does_not_fit_is_refused_before_a_file_is_written(place: Place) {
    let (lake, log) = place.watched().await;
    let table = NewTable {
        schema: columns(&[("id", DataType::Int32, false), ("d", DataType::Date32, true), ("s", DataType::Utf8, true)]),
        ..people("t")
    };
    write::create(&lake, &table, &info()).await.unwrap();
    log.take();
    let cases = [
        ("SELECT 1 AS id, 2 AS nme", "table \"main.t\" has no column \"nme\""),
        ("SELECT 1 AS id, 2 AS s, 3 AS \"S\"", "table \"main.t\" has no column \"S\""),
        ("SELECT 'x' AS s", "column \"id\" of table \"main.t\" is NOT NULL"),
        ("SELECT NULL AS id", "column \"id\" of table \"main.t\" is NOT NULL"),
        (
            "SELECT value AS id FROM generate_series(1, 2)",
            "column \"id\" of table \"main.t\" is INT, but the value given is BIGINT",
        ),
        ("SELECT 3000000000 AS id", "the value given is the BIGINT 3000000000"),
        ("SELECT 2.5 AS id", "the value given is the DOUBLE 2.5"),
        ("SELECT true AS id", "the value given is the BOOLEAN true"),
        ("SELECT 1 AS id, '2024-02-30' AS d", "is DATE, but the value given is the VARCHAR '2024-02-30'"),
        (
            "SELECT 1 AS id, CAST(value AS VARCHAR) AS d FROM generate_series(1, 2)",
            "is DATE, but the value given is VARCHAR",
        ),
        ("SELECT column1 AS id FROM (VALUES (1), (2.5))", "the value given is the DOUBLE 2.5"),
    ];
    for (sql, text) in cases {
        let error = insert(&lake, "t", sql).await.unwrap_err().to_string();
        assert!(error.contains(text), "{sql}: {error}");
    }
    let written = log
        .take()
        .into_iter()
        .filter(|request| !matches!(request.kind, RequestKind::Get | RequestKind::Head | RequestKind::List));
    assert_eq!(written.collect::<Vec<_>>(), []);
    assert_eq!(lake.table("main", "t").await.unwrap().version(), 0);
}

async fn a_null_in_the_rows_is_refused_before_the_commit(place: Place) {
    let lake = place.open().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    let error = insert(&lake, "t", "SELECT nullif(value, 77) AS id FROM generate_series(1, 100)").await.unwrap_err();
    assert!(
        matches!(&error, StorageError::NullValue { table, column } if table == "main.t" && column == "id"),
        "{error:?}"
    );
    let error = insert(&lake, "t", "SELECT 10 / (value - 5) AS id FROM generate_series(1, 10)").await.unwrap_err();
    assert!(matches!(&error, StorageError::Query { .. }) && chain(&error).contains("Divide by zero"), "{error:?}");
    assert_eq!(lake.table("main", "t").await.unwrap().version(), 0);
}

async fn appends_of_many_tasks_and_processes_lose_no_row(place: Place) {
    const TASKS: usize = 6;
    const APPENDS: usize = 3;
    let lake = place.open().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    let lakes = [lake.clone(), place.open().await];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let lake = lakes[task % 2].clone();
        tasks.spawn(async move {
            for append in 0..APPENDS {
                let sql = format!("SELECT {} AS id, 'x' AS name", task * APPENDS + append);
                insert(&lake, "t", &sql).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let snapshot = lake.table("main", "t").await.unwrap();
    // Those of one process share commits.
    let commits = snapshot.version() as usize;
    assert!((APPENDS..=TASKS * APPENDS).contains(&commits), "{commits}");
    let found = query(&lake, &snapshot, "SELECT count(*), count(DISTINCT id), sum(id) FROM t").await;
    let n = TASKS * APPENDS;
    assert_eq!(found, [format!("{n} {n} {}", n * (n - 1) / 2)]);
}

async fn a_commit_whose_answer_was_lost_is_made_once(place: Place) {
    let (lake, log) = place.watched().await;
    for fate in [Fate::AnswerLost, Fate::Repeated] {
        let is_commit = |path: &str| path.contains("_delta_log/") && path.ends_with(".json");
        let name = format!("t{fate:?}");
        log.set_rule(move |request| match request.kind {
            RequestKind::Create if is_commit(&request.path) => fate,
            _ => Fate::Served,
        });
        let made = write::create(&lake, &people(&name), &info()).await.unwrap();
        assert_eq!(made.version, 0);
        let done = insert(&lake, &name, "SELECT 1 AS id, 'once' AS name").await.unwrap();
        assert_eq!((done.version, done.rows_inserted), (1, 1));
        log.clear_rule();
        let snapshot = lake.table("main", &name).await.unwrap();
        assert_eq!(snapshot.version(), 1, "{fate:?}");
        assert_eq!(rows(&lake, &name).await, ["1 once"]);
    }
}

async fn a_commit_that_was_refused_is_an_error(place: Place) {
    let (lake, log) = place.watched().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    log.set_rule(|request| match request.kind {
        RequestKind::Create if request.path.contains("_delta_log/") => Fate::Refused,
        _ => Fate::Served,
    });
    let failed = insert(&lake, "t", "SELECT 1 AS id").await.unwrap_err();
    assert!(
        matches!(failed, StorageError::Undecided { version: 1, .. }) && chain(&failed).contains("injected"),
        "{failed:?}"
    );
    log.clear_rule();
    assert_eq!(lake.table("main", "t").await.unwrap().version(), 0);
    assert_eq!(insert(&lake, "t", "SELECT 1 AS id").await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nanoseconds_go_in_when_they_are_whole_microseconds() {
    let lake = Place::memory().open().await;
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    let table = NewTable { schema: columns(&[("at", at, true)]), ..people("t") };
    write::create(&lake, &table, &info()).await.unwrap();
    let nanos = |digits: &str| {
        format!("SELECT to_timestamp_nanos('2024-01-01T00:00:00.{digits}') AS at FROM generate_series(1, 2)")
    };
    // A column of nanoseconds, not a constant: to_timestamp of a column.
    let column = |digits: &str| {
        format!(
            "SELECT arrow_cast(value * 0 + 1700000000000000{digits}, 'Timestamp(ns)') AS at FROM generate_series(1, 2)"
        )
    };
    assert_eq!(insert(&lake, "t", &column("000")).await.unwrap().rows_inserted, 2);
    let error = insert(&lake, "t", &column("001")).await.unwrap_err();
    assert!(error.to_string().contains("nanoseconds after them"), "{error}");
    assert!(insert(&lake, "t", &nanos("123456000")).await.is_ok());
    assert!(insert(&lake, "t", &nanos("123456789")).await.is_err());
    assert!(insert(&lake, "t", "SELECT CAST(now() AS TIMESTAMP) AS at").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constraints_and_generated_columns_of_other_writers_hold() {
    let place = Place::folder();
    let lake = place.open().await;
    let folder = place.folder.as_ref().unwrap().path().join("main").join("t");
    std::fs::create_dir_all(&folder).unwrap();
    let url = url::Url::from_directory_path(&folder).unwrap();
    let generated =
        StructField::new("double", DeltaType::LONG, true).with_metadata([("delta.generationExpression", "id * 2")]);
    DeltaTable::try_from_url(url)
        .await
        .unwrap()
        .create()
        .with_columns([StructField::new("id", DeltaType::LONG, true), generated])
        .await
        .unwrap()
        .add_constraint()
        .with_constraint("positive", "id > 0")
        .await
        .unwrap();
    let target = lake.table("main", "t").await.unwrap();
    let texts = target.rule_texts();
    assert_eq!(texts.checks, [("constraint \"positive\"".to_owned(), "id > 0".to_owned())]);
    assert_eq!(texts.generated, [("double".to_owned(), "id * 2".to_owned())]);
    let (name, sql) = (texts.checks[0].0.clone(), texts.checks[0].1.clone());
    let rules = Rules {
        checks: vec![Check { rule: name, sql, expr: col("id").gt(lit(0_i64)) }],
        generated: vec![Generated { column: "double".into(), sql: "id * 2".into(), expr: col("id") * lit(2_i64) }],
        ..Rules::default()
    };
    // A write that brings no rules is not carried out.
    let forgotten = insert(&lake, "t", "SELECT 4 AS id, 8 AS double").await.unwrap_err();
    assert!(matches!(forgotten, StorageError::Internal { .. }), "{}", chain(&forgotten));
    for sql in ["SELECT 4 AS id", "SELECT 10 AS double, 5 AS id"] {
        let written = insert_by_rules(&lake, &target, sql, &rules).await;
        written.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
    assert_eq!(rows(&lake, "t").await, ["4 8", "5 10"]);
    let broken = [
        ("SELECT 4 AS id, 9 AS double", "generated column \"double\"", "id = 4, double = 9"),
        ("SELECT value AS id FROM generate_series(-1, 5)", "constraint \"positive\"", "id = -1"),
        ("SELECT nullif(value, 2) AS id FROM generate_series(1, 2)", "constraint \"positive\"", "id = NULL"),
    ];
    for (sql, what, values) in broken {
        match insert_by_rules(&lake, &target, sql, &rules).await.unwrap_err() {
            StorageError::RuleViolated { rule, row, .. } => {
                assert_eq!((rule, row), (what.to_owned(), format!("The row has {values}.")), "{sql}");
            }
            other => panic!("{sql}: {}", chain(&other)),
        }
    }
    assert_eq!(rows(&lake, "t").await, ["4 8", "5 10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_follows_in_the_background_and_the_table_loads_from_it() {
    let place = Place::folder();
    let lake = place.open().await;
    let table =
        NewTable { properties: BTreeMap::from([("delta.checkpointInterval".into(), "5".into())]), ..people("t") };
    write::create(&lake, &table, &info()).await.unwrap();
    for id in 1..=5 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let hint = place.folder.as_ref().unwrap().path().join("main/t/_delta_log/_last_checkpoint");
    let written = async {
        while !hint.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), written).await.expect("a checkpoint");
    for version in 0..5 {
        std::fs::remove_file(hint.with_file_name(format!("{version:020}.json"))).unwrap();
    }
    let other = place.open().await;
    assert_eq!(rows(&other, "t").await.len(), 5);
    insert(&other, "t", "SELECT 6 AS id").await.unwrap();
    assert_eq!(rows(&lake, "t").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_a_table_that_was_made_anew_is_a_conflict() {
    let lake = Place::memory().open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    let old = lake.table("main", "t").await.unwrap();
    write::drop_table(&lake, "main", "t").await.unwrap();
    create_as(&lake, &people("t"), "SELECT 2 AS id").await.unwrap();
    let late = insert_into(&lake, &old, "SELECT 3 AS id").await;
    assert!(matches!(late, Err(StorageError::Conflict { .. })), "{late:?}");
    assert_eq!(rows(&lake, "t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_known_behind_a_checkpoint_and_in_another_process() {
    let place = Place::folder();
    let lake = place.open().await;
    let table =
        NewTable { properties: BTreeMap::from([("delta.checkpointInterval".into(), "3".into())]), ..people("t") };
    write::create(&lake, &table, &info()).await.unwrap();
    let first = insert_once(&lake, "SELECT 1 AS id UNION ALL SELECT 2 AS id", "key").await.unwrap();
    assert_eq!((first.version, first.rows_inserted), (1, 2));
    for id in 3..=4 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let hint = place.folder.as_ref().unwrap().path().join("main/t/_delta_log/_last_checkpoint");
    let written = async {
        while !hint.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), written).await.expect("a checkpoint");
    std::fs::remove_file(hint.with_file_name(format!("{:020}.json", 0))).unwrap();
    let other = place.open().await;
    assert_eq!(insert_once(&other, "SELECT 9 AS id", "key").await.unwrap(), first);
    assert_eq!(rows(&other, "t").await, ["1", "2", "3", "4"]);
    // What it did is no longer known: it is not done again.
    std::fs::remove_file(hint.with_file_name(format!("{:020}.json", 1))).unwrap();
    let other = place.open().await;
    let forgotten = insert_once(&other, "SELECT 9 AS id", "key").await;
    assert!(matches!(forgotten, Err(StorageError::KeyForgotten { .. })), "{forgotten:?}");
}

async fn insert_once(lake: &Lake, sql: &str, key: &str) -> Result<Committed, StorageError> {
    let target = lake.table("main", "t").await?;
    let session = session(lake);
    let plan = session.state().create_logical_plan(sql).await.unwrap();
    let info = CommitInfo { idempotency_key: Some(key.to_owned()), ..info() };
    write::append(lake, &target, plan, &Rules::default(), std::sync::Arc::new(session.state()), &info).await
}
