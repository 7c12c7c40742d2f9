//! Identity columns and commits that tell their times, where several write at once.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};
use boathouse_storage::{
    Lake, StorageError,
    write::{self, Altered, Change, IDENTITY_BY_DEFAULT, IDENTITY_START, IDENTITY_STEP, NewTable, Numbers, Rules},
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use crate::{
    on_every_place,
    place::{Place, info, insert, insert_by_rules, people, rows, session},
};

on_every_place!(no_two_rows_get_one_number,);

fn numbered() -> NewTable {
    let keys = [(IDENTITY_START, "1"), (IDENTITY_STEP, "1"), (IDENTITY_BY_DEFAULT, "false")];
    let metadata = keys.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    let id = Field::new("id", DataType::Int64, true).with_metadata(metadata);
    NewTable { schema: Arc::new(Schema::new(vec![id, Field::new("name", DataType::Utf8, true)])), ..people("t") }
}

/// Begins again when another one took the numbers first, as a statement does.
async fn add(lake: &Lake) {
    for _ in 0..200 {
        let target = lake.table("main", "t").await.unwrap();
        let identities = target.rule_texts().identities.into_iter().map(Numbers::new).collect();
        let rules = Rules { identities, ..Rules::default() };
        match insert_by_rules(lake, &target, "SELECT 'x' AS name UNION ALL SELECT 'y'", &rules).await {
            Ok(_) => return,
            Err(StorageError::Conflict { .. }) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("others were always faster");
}

async fn no_two_rows_get_one_number(place: Place) {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 3;
    let lake = place.open().await;
    write::create(&lake, &numbered(), &info()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let lake = place.open().await;
        writers.spawn(async move {
            for _ in 0..ROUNDS {
                add(&lake).await;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let numbers: BTreeSet<String> =
        rows(&lake, "t").await.iter().filter_map(|row| row.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(numbers.len(), 2 * WRITERS * ROUNDS);
    // A write that does not know of the numbers would leave them out.
    let target = lake.table("main", "t").await.unwrap();
    let without = insert_by_rules(&lake, &target, "SELECT 'z' AS name", &Rules::default()).await;
    assert!(matches!(without, Err(StorageError::Internal { .. })), "{without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_later_than_the_one_before_whatever_the_clock_says() {
    const FUTURE_MS: i64 = 9_000_000_000_000;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let inner = store.clone();
    let layer: boathouse_storage::store::StoreLayer = Arc::new(move |_| inner.clone());
    let lake = Lake::open_layered("memory:///lake", &Default::default(), Some(layer)).await.unwrap();
    let properties = [("delta.enableInCommitTimestamps".to_owned(), "true".to_owned())].into();
    write::create(&lake, &NewTable { properties, ..people("t") }, &info()).await.unwrap();
    // Another writer, whose clock is ahead.
    let ahead = format!("{{\"commitInfo\":{{\"inCommitTimestamp\":{FUTURE_MS},\"operation\":\"WRITE\"}}}}\n");
    let path = |version: u64| Path::from(format!("lake/main/t/_delta_log/{version:020}.json"));
    store.put(&path(1), ahead.into()).await.unwrap();
    for _ in 0..2 {
        insert(&lake, "t", "SELECT 1 AS id").await.unwrap();
    }
    for (version, time) in [(2, FUTURE_MS + 1), (3, FUTURE_MS + 2)] {
        let commit = store.get(&path(version)).await.unwrap().bytes().await.unwrap();
        let first = commit.split(|byte| *byte == b'\n').next().unwrap();
        let first: serde_json::Value = serde_json::from_slice(first).unwrap();
        assert_eq!(first["commitInfo"]["inCommitTimestamp"], time);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_no_business_of_who_takes_none() {
    let place = Place::memory();
    let lake = place.open().await;
    write::create(&lake, &numbered(), &info()).await.unwrap();
    add(&lake).await;
    let before = lake.table("main", "t").await.unwrap();
    add(&lake).await;
    // A definition that rests on the one before would take the mark back.
    let change = Change::CommentTable { comment: Some("people".into()) };
    let altered = Altered::try_new(&before, &[change]).unwrap();
    let altered = write::alter(&lake, altered, "CHANGE TABLE COMMENT", &info()).await;
    assert!(matches!(altered, Err(StorageError::Conflict { .. })), "{altered:?}");
    // Rows that came since are another matter than those that go.
    let session = session(&lake);
    let target = before.addressed().unwrap();
    let removed = write::remove_files(&lake, &target, "DELETE", &[], Arc::new(session.state()), &info()).await.unwrap();
    assert_eq!(removed.deleted, 2);
    assert_eq!(rows(&lake, "t").await.len(), 2);
    add(&lake).await;
    assert_eq!(rows(&lake, "t").await.iter().filter(|row| row.starts_with('5') || row.starts_with('6')).count(), 2);
}

/// Version and time from which on the commits of a table tell their times, and what the newest one says.
async fn beginning(lake: &Lake, table: &str) -> (Option<u64>, bool) {
    let snapshot = lake.table("main", table).await.unwrap();
    let property = |name: &str| snapshot.properties().get(&format!("delta.inCommitTimestampEnablement{name}")).cloned();
    let from = property("Version").map(|version| version.parse().unwrap());
    assert_eq!(from.is_some(), property("Timestamp").is_some());
    let history = lake.history(&snapshot, 100).await.unwrap();
    let rises = history.windows(2).all(|pair| pair[0].timestamp_ms > pair[1].timestamp_ms);
    if let (Some(from), Some(time)) = (from, property("Timestamp")) {
        let first = history.iter().find(|version| version.version == from).unwrap();
        assert_eq!(first.timestamp_ms.to_string(), time);
    }
    (from, rises)
}

async fn set(lake: &Lake, on: bool) {
    let (key, value) = ("delta.enableInCommitTimestamps".to_owned(), on.to_string());
    let snapshot = lake.table("main", "t").await.unwrap();
    let altered = Altered::try_new(&snapshot, &[Change::SetProperty { key, value }]).unwrap();
    write::alter(lake, altered, "SET TBLPROPERTIES", &info()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_says_since_when_its_commits_tell_their_times() {
    let place = Place::folder();
    let lake = place.open().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    insert(&lake, "t", "SELECT 1 AS id").await.unwrap();
    assert_eq!(beginning(&lake, "t").await, (None, true));
    set(&lake, true).await;
    insert(&lake, "t", "SELECT 2 AS id").await.unwrap();
    assert_eq!(beginning(&lake, "t").await, (Some(2), true));
    // Version 4 does not tell its time, so that a restored definition must not say that all since 2 do.
    set(&lake, false).await;
    assert_eq!(beginning(&lake, "t").await.0, None);
    let snapshot = lake.table("main", "t").await.unwrap();
    boathouse_storage::maintain::restore(&lake, &snapshot, 3, &info()).await.unwrap();
    insert(&lake, "t", "SELECT 3 AS id").await.unwrap();
    assert_eq!(beginning(&lake, "t").await, (Some(5), true));
    // What is on stays on from where it was.
    let snapshot = lake.table("main", "t").await.unwrap();
    boathouse_storage::maintain::restore(&lake, &snapshot, 3, &info()).await.unwrap();
    assert_eq!(beginning(&lake, "t").await, (Some(5), true));
    // A clone begins with its first version.
    let snapshot = lake.table("main", "t").await.unwrap();
    write::shallow_clone(&lake, &snapshot, "main", "c", &info()).await.unwrap();
    insert(&lake, "c", "SELECT 4 AS id").await.unwrap();
    assert_eq!(beginning(&lake, "c").await, (None, true));
}
