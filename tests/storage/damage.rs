//! Logs that cannot be read: the error names the table and the cause, and all else goes on.

use std::{fs, path::PathBuf};

use boathouse_storage::{
    Lake, StorageError,
    write::{self, NewTable},
};

use boathouse_tests::store::{Fate, RequestKind};

use crate::place::{Place, chain, create_as, info, insert, people, rows};

/// A folder with a healthy table beside one that a test damages.
async fn damaged(damage: impl FnOnce(PathBuf)) -> (Place, std::sync::Arc<Lake>, StorageError) {
    let place = Place::folder();
    let lake = place.open().await;
    let table =
        NewTable { properties: [("delta.checkpointInterval".to_owned(), "1000".to_owned())].into(), ..people("t") };
    create_as(&lake, &table, "SELECT 1 AS id").await.unwrap();
    for id in 2..=4 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    create_as(&lake, &people("healthy"), "SELECT 1 AS id").await.unwrap();
    damage(place.folder.as_ref().unwrap().path().join("main/t/_delta_log"));
    let lake = place.open().await;
    let error = lake.table("main", "t").await.unwrap_err();
    assert_eq!(rows(&lake, "healthy").await, ["1"]);
    assert_eq!(lake.tables("main").await.unwrap(), ["healthy", "t"]);
    (place, lake, error)
}

fn names_the_table(error: &StorageError) {
    assert!(matches!(error, StorageError::ReadTable { table, .. } if table == "main.t"), "{error:?}");
    assert!(std::error::Error::source(error).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_json() {
    let (.., error) = damaged(|log| fs::write(log.join("00000000000000000002.json"), "{\"add\": {").unwrap()).await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_not_json_at_all() {
    let (.., error) =
        damaged(|log| fs::write(log.join("00000000000000000003.json"), [0, 159, 146, 150]).unwrap()).await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_missing_in_the_middle() {
    let (.., error) = damaged(|log| fs::remove_file(log.join("00000000000000000002.json")).unwrap()).await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_version_is_missing() {
    let (.., error) = damaged(|log| fs::remove_file(log.join("00000000000000000000.json")).unwrap()).await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_without_all_its_parts() {
    let (.., error) = damaged(|log| {
        let hint = r#"{"version":2,"size":9,"parts":2}"#;
        fs::write(log.join("_last_checkpoint"), hint).unwrap();
        fs::write(log.join("00000000000000000002.checkpoint.0000000001.0000000002.parquet"), "PAR1").unwrap();
        for version in 0..=2 {
            fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
        }
    })
    .await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_is_cut_off() {
    let (.., error) = damaged(|log| {
        fs::write(log.join("_last_checkpoint"), r#"{"version":2,"size":9}"#).unwrap();
        fs::write(log.join("00000000000000000002.checkpoint.parquet"), "PAR1 and no more").unwrap();
        for version in 0..=2 {
            fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
        }
    })
    .await;
    names_the_table(&error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_mended_is_read_again() {
    let (place, lake, error) =
        damaged(|log| fs::rename(log.join("00000000000000000002.json"), log.join("kept")).unwrap()).await;
    names_the_table(&error);
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    fs::rename(log.join("kept"), log.join("00000000000000000002.json")).unwrap();
    assert_eq!(rows(&lake, "t").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_comes_while_the_table_is_cached() {
    let place = Place::folder();
    let lake = place.open().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    lake.table("main", "t").await.unwrap();
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    fs::write(log.join("00000000000000000001.json"), "nonsense").unwrap();
    let error = lake.table("main", "t").await.unwrap_err();
    names_the_table(&error);
    assert!(!chain(&error).is_empty());
    fs::remove_file(log.join("00000000000000000001.json")).unwrap();
    assert_eq!(lake.table("main", "t").await.unwrap().version(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_cannot_be_written_are_named() {
    let place = Place::folder();
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    let protocol =
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["rowTracking","domainMetadata"]}}"#;
    fs::write(log.join("00000000000000000001.json"), protocol).unwrap();
    assert_eq!(rows(&lake, "t").await, ["1"]);
    let error = insert(&lake, "t", "SELECT 2 AS id").await.unwrap_err();
    assert!(
        matches!(&error, StorageError::UnsupportedFeature { features, .. } if features.contains("rowTracking")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_is_not_a_damaged_table() {
    let place = Place::folder();
    create_as(&*place.open().await, &people("t"), "SELECT 1 AS id").await.unwrap();
    let (lake, log) = place.watched().await;
    log.set_rule(|request| match request.kind {
        RequestKind::Get if request.path.ends_with(".json") => Fate::Refused,
        _ => Fate::Served,
    });
    let error = lake.table("main", "t").await.unwrap_err();
    assert!(matches!(error, StorageError::TableUnreachable { .. }), "{error:?}");
    assert!(chain(&error).contains("injected failure"), "{}", chain(&error));
    log.clear_rule();
    assert_eq!(rows(&lake, "t").await, ["1"]);
}
