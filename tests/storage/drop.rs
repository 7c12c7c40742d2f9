//! DROP TABLE and what a crash leaves of it.

use boathouse_storage::{StorageError, write};
use boathouse_tests::store::{Fate, RequestKind};

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, query, rows},
};

on_every_place!(
    a_dropped_table_is_gone_with_its_files,
    a_drop_that_was_cut_short_is_finished_by_the_next_statement,
    a_schema_that_was_dropped_halfway_is_finished_too,
);

async fn a_dropped_table_is_gone_with_its_files(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    create_as(&lake, &people("t2"), "SELECT 2 AS id").await.unwrap();
    insert(&lake, "t", "SELECT 3 AS id").await.unwrap();
    write::drop_table(&lake, "main", "t").await.unwrap();
    assert!(lake.catalog("main").await.unwrap().dropped_tables.is_empty());
    let again = write::drop_table(&lake, "main", "t").await;
    assert!(matches!(again, Err(StorageError::TableNotFound { .. })), "{again:?}");
    if let Some(folder) = &place.folder {
        assert!(!folder.path().join("main/t").exists());
    }
    assert_eq!(rows(&lake, "t2").await, ["2"]);
    assert_eq!(create_as(&lake, &people("t"), "SELECT 9 AS id").await.unwrap().version, 0);
    assert_eq!(rows(&lake, "t").await, ["9"]);
}

async fn a_drop_that_was_cut_short_is_finished_by_the_next_statement(place: Place) {
    // The process dies before the first file is deleted, or after some of the log's are.
    for deleted in [0, 1] {
        let (lake, log) = place.watched().await;
        create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
        insert(&lake, "t", "SELECT 2 AS id").await.unwrap();
        let old = lake.table("main", "t").await.unwrap();
        let mut left = deleted;
        log.set_rule(move |request| match request.kind {
            RequestKind::Delete if left == 0 => Fate::Refused,
            RequestKind::Delete => {
                left -= 1;
                Fate::Served
            }
            _ => Fate::Served,
        });
        assert!(write::drop_table(&lake, "main", "t").await.is_err());
        log.clear_rule();
        let other = place.open().await;
        let gone = other.table("main", "t").await;
        assert!(matches!(gone, Err(StorageError::TableNotFound { .. })), "{gone:?}");
        assert!(other.tables("main").await.unwrap().is_empty());
        assert!(other.catalog("main").await.unwrap().dropped_tables.contains_key("t"));
        if deleted == 0 {
            // A query that began before the drop goes on.
            assert_eq!(query(&lake, &old, "SELECT count(*) FROM t").await, ["2"]);
            write::create(&other, &people("t"), &info()).await.unwrap();
            assert!(rows(&lake, "t").await.is_empty());
            write::drop_table(&lake, "main", "t").await.unwrap();
        } else {
            let nothing = write::drop_table(&other, "main", "t").await;
            assert!(matches!(nothing, Err(StorageError::TableNotFound { .. })), "{nothing:?}");
        }
        assert!(other.catalog("main").await.unwrap().dropped_tables.is_empty());
    }
}

async fn a_schema_that_was_dropped_halfway_is_finished_too(place: Place) {
    let (lake, log) = place.watched().await;
    lake.create_schema("s", None).await.unwrap();
    let mut table = people("t");
    table.schema_name = "s".into();
    create_as(&lake, &table, "SELECT 1 AS id").await.unwrap();
    log.set_rule(|request| if request.kind == RequestKind::Delete { Fate::Refused } else { Fate::Served });
    assert!(lake.drop_schema("s", true).await.is_err());
    log.clear_rule();
    let other = place.open().await;
    assert_eq!(other.schemas().await.unwrap(), ["main"]);
    other.create_schema("s", None).await.unwrap();
    assert!(other.tables("s").await.unwrap().is_empty());
    assert_eq!(create_as(&other, &table, "SELECT 5 AS id").await.unwrap().version, 0);
    assert_eq!(query(&other, &other.table("s", "t").await.unwrap(), "SELECT id FROM t").await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_table_can_be_dropped() {
    let place = Place::folder();
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    let log = place.folder.as_ref().unwrap().path().join("main/t/_delta_log");
    std::fs::write(log.join("00000000000000000000.json"), "{ broken").unwrap();
    assert!(matches!(lake.table("main", "t").await, Err(StorageError::ReadTable { .. })));
    write::drop_table(&lake, "main", "t").await.unwrap();
    assert!(!log.exists());
    write::create(&lake, &people("t"), &info()).await.unwrap();
}
