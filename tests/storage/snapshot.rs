//! Snapshots: exact freshness, cheap refresh, one load for many.

use boathouse_storage::{
    StorageError,
    write::{self, NewTable},
};
use boathouse_tests::store::{Request, RequestKind};
use deltalake::DeltaTable;

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, query, rows},
};

on_every_place!(
    a_query_sees_every_commit_that_ended_before_it,
    the_next_version_costs_only_its_own_commit,
    many_who_wait_load_the_log_once,
    a_table_made_anew_is_not_the_cached_one,
    old_versions_stay_readable,
    an_old_version_is_loaded_once,
);

async fn a_query_sees_every_commit_that_ended_before_it(place: Place) {
    let (writer, reader) = (place.open().await, place.open().await);
    write::create(&writer, &people("t"), &info()).await.unwrap();
    for id in 1..=4_u64 {
        insert(&writer, "t", &format!("SELECT {id} AS id")).await.unwrap();
        assert_eq!(reader.table("main", "t").await.unwrap().version(), id);
        assert_eq!(writer.table("main", "t").await.unwrap().version(), id);
    }
    assert_eq!(rows(&reader, "t").await, ["1", "2", "3", "4"]);
}

async fn the_next_version_costs_only_its_own_commit(place: Place) {
    let writer = place.open().await;
    let table =
        NewTable { properties: [("delta.checkpointInterval".to_owned(), "1000".to_owned())].into(), ..people("t") };
    write::create(&writer, &table, &info()).await.unwrap();
    for id in 1..=5 {
        insert(&writer, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let (reader, log) = place.watched().await;
    reader.table("main", "t").await.unwrap();
    log.take();
    // Unchanged: two looks at the log, nothing read.
    reader.table("main", "t").await.unwrap();
    let unchanged = on_log(log.take());
    assert!(unchanged.iter().all(|request| request.kind == RequestKind::Head), "{unchanged:?}");
    assert_eq!(unchanged.len(), 2, "{unchanged:?}");
    insert(&writer, "t", "SELECT 6 AS id").await.unwrap();
    assert_eq!(reader.table("main", "t").await.unwrap().version(), 6);
    reads_only(&on_log(log.take()), "00000000000000000006.json");
}

/// Nothing of the log was read but this file and the hint, with one listing and a few looks.
fn reads_only(requests: &[Request], file: &str) {
    let read = requests.iter().filter(|request| request.kind == RequestKind::Get);
    let others: Vec<_> =
        read.filter(|get| !get.path.ends_with(file) && !get.path.ends_with("_last_checkpoint")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(requests.iter().filter(|request| request.kind == RequestKind::List).count() <= 1, "{requests:?}");
    assert!(requests.len() <= 10, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_version_reads_no_checkpoint_again() {
    let place = Place::folder();
    let writer = place.open().await;
    let table =
        NewTable { properties: [("delta.checkpointInterval".to_owned(), "1000".to_owned())].into(), ..people("t") };
    write::create(&writer, &table, &info()).await.unwrap();
    for id in 1..=3 {
        insert(&writer, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let checkpoint = async || {
        let mut table = DeltaTable::try_from_url(writer.table_url("main", "t")).await.unwrap();
        table.load().await.unwrap();
        deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
    };
    checkpoint().await;
    let (reader, log) = place.watched().await;
    reader.table("main", "t").await.unwrap();
    log.take();
    insert(&writer, "t", "SELECT 4 AS id").await.unwrap();
    reader.table("main", "t").await.unwrap();
    reads_only(&on_log(log.take()), "00000000000000000004.json");
    // A checkpoint of a version that is loaded already changes nothing.
    checkpoint().await;
    insert(&writer, "t", "SELECT 5 AS id").await.unwrap();
    assert_eq!(reader.table("main", "t").await.unwrap().version(), 5);
    reads_only(&on_log(log.take()), "00000000000000000005.json");
    assert_eq!(rows(&reader, "t").await, ["1", "2", "3", "4", "5"]);
}

async fn many_who_wait_load_the_log_once(place: Place) {
    let writer = place.open().await;
    create_as(&writer, &people("t"), "SELECT 1 AS id").await.unwrap();
    let (reader, log) = place.watched().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let reader = reader.clone();
        waiting.spawn(async move { reader.table("main", "t").await.unwrap().version() });
    }
    while let Some(version) = waiting.join_next().await {
        assert_eq!(version.unwrap(), 0);
    }
    let requests = on_log(log.take());
    let reads = requests.iter().filter(|request| request.kind == RequestKind::Get && request.path.ends_with(".json"));
    assert!(reads.count() <= 2, "{requests:?}");
}

async fn a_table_made_anew_is_not_the_cached_one(place: Place) {
    let (lake, other) = (place.open().await, place.open().await);
    create_as(&lake, &people("t"), "SELECT 1 AS id, 'old' AS name").await.unwrap();
    let old = other.table("main", "t").await.unwrap();
    write::drop_table(&lake, "main", "t").await.unwrap();
    assert!(matches!(other.table("main", "t").await, Err(StorageError::TableNotFound { .. })));
    assert!(matches!(other.table_version("main", "t", 0).await, Err(StorageError::TableNotFound { .. })));
    create_as(&lake, &people("t"), "SELECT 2 AS id, 'new' AS name").await.unwrap();
    let new = other.table("main", "t").await.unwrap();
    assert_eq!((new.version(), old.version()), (0, 0));
    assert_ne!(new.id(), old.id());
    assert_eq!(rows(&other, "t").await, ["2 new"]);
    assert_eq!(other.table_version("main", "t", 0).await.unwrap().id(), new.id());
}

async fn old_versions_stay_readable(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    for id in 2..=4 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    for version in [2, 0, 3, 2] {
        let snapshot = lake.table_version("main", "t", version).await.unwrap();
        assert_eq!(snapshot.version(), version);
        assert_eq!(query(&lake, &snapshot, "SELECT count(*) FROM t").await, [(version + 1).to_string()]);
    }
    let missing = lake.table_version("main", "t", 9).await;
    assert!(matches!(missing, Err(StorageError::VersionOutside { version: 9, .. })), "{missing:?}");
    let located = lake.table_at(lake.table("main", "t").await.unwrap().location(), Some(1)).await.unwrap();
    assert_eq!((located.version(), located.name()), (1, "main.t"));
}

async fn an_old_version_is_loaded_once(place: Place) {
    let writer = place.open().await;
    create_as(&writer, &people("t"), "SELECT 1 AS id").await.unwrap();
    insert(&writer, "t", "SELECT 2 AS id").await.unwrap();
    let (reader, log) = place.watched().await;
    for loads in [true, false] {
        log.take();
        reader.table_version("main", "t", 0).await.unwrap();
        let requests = on_log(log.take());
        let read = requests.iter().any(|r| r.kind == RequestKind::Get && r.path.ends_with(".json"));
        assert_eq!(read, loads, "{requests:?}");
    }
}

fn on_log(requests: Vec<Request>) -> Vec<Request> {
    requests.into_iter().filter(|request| request.path.contains("_delta_log")).collect()
}
