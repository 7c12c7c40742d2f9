//! How a log is read: what it costs, and what happens when something in it is not as it should be.

use std::fs;

use boathouse_storage::{
    Lake, StorageError,
    write::{self, NewTable},
};
use boathouse_tests::store::RequestKind;
use deltalake::DeltaTable;

use crate::place::{Place, chain, create_as, info, insert, people, query, rows};

/// A table `t` with the ids 1 to 4 and no checkpoint.
async fn four_rows(lake: &Lake) {
    let table =
        NewTable { properties: [("delta.checkpointInterval".to_owned(), "1000".to_owned())].into(), ..people("t") };
    create_as(lake, &table, "SELECT 1 AS id").await.unwrap();
    for id in 2..=4 {
        insert(lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
}

async fn checkpoint(lake: &Lake) {
    let mut table = DeltaTable::try_from_url(lake.table_url("main", "t")).await.unwrap();
    table.load().await.unwrap();
    deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_checkpoint_is_passed_over_while_the_commits_are_whole() {
    let place = Place::folder();
    four_rows(&*place.open().await).await;
    checkpoint(&*place.open().await).await;
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    let file = log.join("00000000000000000003.checkpoint.parquet");
    let whole = fs::read(&file).unwrap();
    for damaged in [b"PAR1 and no more".to_vec(), vec![], whole[..whole.len() / 2].to_vec(), {
        let mut bytes = whole.clone();
        let middle = bytes.len() / 3;
        bytes[4..middle].fill(0xA5);
        bytes
    }] {
        fs::write(&file, damaged).unwrap();
        let lake = place.open().await;
        assert_eq!(rows(&lake, "t").await, ["1", "2", "3", "4"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_lies_is_not_believed() {
    let place = Place::folder();
    four_rows(&*place.open().await).await;
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    for hint in [r#"{"version":99,"size":1}"#, r#"{"version":2,"size":1}"#, r#"{"version":-1}"#, "nonsense", ""] {
        fs::write(log.join("_last_checkpoint"), hint).unwrap();
        let lake = place.open().await;
        assert_eq!(rows(&lake, "t").await, ["1", "2", "3", "4"], "{hint}");
        let old = lake.table_version("main", "t", 1).await.unwrap();
        assert_eq!(query(&lake, &old, "SELECT id FROM t ORDER BY id").await, ["1", "2"], "{hint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_the_version_and_the_file() {
    let place = Place::folder();
    four_rows(&*place.open().await).await;
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    let commit = log.join("00000000000000000002.json");
    let whole = fs::read(&commit).unwrap();
    for damaged in [&b"{\"add\": {"[..], &b""[..], &whole[..whole.len() - 5]] {
        fs::write(&commit, damaged).unwrap();
        let error = place.open().await.table("main", "t").await.unwrap_err();
        assert!(matches!(&error, StorageError::ReadTable { table, .. } if table == "main.t"), "{error:?}");
        let text = chain(&error);
        assert!(text.contains("version 2") && text.contains("00000000000000000002.json"), "{text}");
    }
    fs::remove_file(&commit).unwrap();
    let text = chain(&place.open().await.table("main", "t").await.unwrap_err());
    assert!(text.contains("version 2") && text.contains("missing"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_that_lie_about_their_type_change_no_answer() {
    let place = Place::folder();
    four_rows(&*place.open().await).await;
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    let absurd = [
        r#""stats":"nonsense""#,
        r#""stats":"{\"numRecords\":\"1\",\"minValues\":{\"id\":\"x\"},\"maxValues\":{\"id\":[]}}""#,
        r#""stats":"{\"numRecords\":-1,\"minValues\":{\"id\":9},\"maxValues\":{\"id\":-9},\"nullCount\":{\"id\":99}}""#,
        r#""stats":{"numRecords":1}"#,
    ];
    for (version, absurd) in absurd.into_iter().enumerate() {
        let file = log.join(format!("{version:020}.json"));
        let text = fs::read_to_string(&file).unwrap();
        let from = text.find(r#""stats":"#).unwrap();
        // The statistics are a string: it ends at the first quote that is not escaped.
        let inner = &text[from + 9..];
        let end = inner.char_indices().find(|(at, c)| *c == '"' && !inner[..*at].ends_with('\\')).unwrap().0;
        fs::write(&file, format!("{}{absurd}{}", &text[..from], &inner[end + 1..])).unwrap();
    }
    let lake = place.open().await;
    let snapshot = lake.table("main", "t").await.unwrap();
    for (sql, expected) in [
        ("SELECT count(*), min(id), max(id) FROM t", "4 1 4"),
        ("SELECT count(*) FROM t WHERE id IS NULL", "0"),
        ("SELECT count(*) FROM t WHERE id IS NOT NULL", "4"),
        ("SELECT count(*) FROM t WHERE id = 3", "1"),
        ("SELECT count(*) FROM t WHERE id > 1 AND id < 4", "2"),
    ] {
        assert_eq!(query(&lake, &snapshot, sql).await, [expected], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_costs_as_many_requests_on_a_long_log_as_on_a_short_one() {
    let place = Place::memory();
    let (lake, log) = place.watched().await;
    let table =
        NewTable { properties: [("delta.checkpointInterval".to_owned(), "1000".to_owned())].into(), ..people("t") };
    write::create(&lake, &table, &info()).await.unwrap();
    let mut costs = Vec::new();
    for id in 1..=40 {
        log.take();
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
        costs.push(log.take().iter().filter(|request| request.path.contains("_delta_log")).count());
    }
    // The first one loads the table.
    assert_eq!(costs[3], costs[39], "{costs:?}");
    assert!(costs[39] <= 16, "{costs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_never_reads_what_only_writes_need() {
    let place = Place::folder();
    four_rows(&*place.open().await).await;
    checkpoint(&*place.open().await).await;
    insert(&*place.open().await, "t", "SELECT 5 AS id").await.unwrap();
    let (lake, log) = place.watched().await;
    assert_eq!(rows(&lake, "t").await.len(), 5);
    let requests: Vec<_> = log.take().into_iter().filter(|request| request.path.contains("_delta_log")).collect();
    let commits = requests.iter().filter(|r| r.kind == RequestKind::Get && r.path.ends_with(".json"));
    assert_eq!(commits.count(), 1, "{requests:?}");
    assert_eq!(requests.iter().filter(|r| r.kind == RequestKind::List).count(), 1, "{requests:?}");
    let usage = lake.cache_usages().await.into_iter().find(|usage| usage.name == "snapshots").unwrap();
    assert_eq!((usage.hits, usage.misses), (0, 1));
}
