//! OPTIMIZE and VACUUM: fewer files and the same rows; nothing that anyone may still read is deleted.

use std::sync::Arc;

use boathouse_storage::{
    Lake, StorageError,
    maintain::{self, Optimize, Optimized, Vacuum},
    write::{self, NewTable},
};
use boathouse_tests::store::{Fate, RequestKind};
use object_store::{ObjectStoreExt, path::Path};

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, query, rows, session},
};

on_every_place!(
    many_small_files_become_one_and_no_row_changes,
    a_compaction_goes_on_behind_appends_and_not_behind_one_of_its_own_kind,
    vacuum_deletes_what_nobody_needs_and_nothing_else,
    the_history_tells_what_a_restore_brought_back,
);

async fn optimize(lake: &Lake, request: &Optimize) -> Result<Optimized, StorageError> {
    let table = lake.table("main", "t").await?;
    maintain::optimize(lake, &table, request, Arc::new(session(lake).state()), &info()).await
}

async fn many_small_files_become_one_and_no_row_changes(place: Place) {
    let lake = place.open().await;
    let table = NewTable { partition_columns: vec!["name".into()], ..people("t") };
    create_as(&lake, &table, "SELECT value AS id, concat('p', value % 2) AS name FROM generate_series(0, 99)")
        .await
        .unwrap();
    for id in 100..106 {
        insert(&lake, "t", &format!("SELECT {id} AS id, 'p0' AS name")).await.unwrap();
    }
    let before = rows(&lake, "t").await;
    let old = lake.table("main", "t").await.unwrap();
    let done = optimize(&lake, &Optimize::default()).await.unwrap();
    let new = lake.table("main", "t").await.unwrap();
    assert_eq!(new.file_count(), 2, "{done:?}");
    assert_eq!((done.version, new.version()), (Some(7), 7));
    assert_eq!(done.files_removed as usize - done.files_added as usize, old.file_count() - new.file_count());
    assert_eq!(rows(&lake, "t").await, before);
    // Another process sees the same, and there is nothing left to do.
    let other = place.open().await;
    assert_eq!(rows(&other, "t").await, before);
    assert_eq!(optimize(&other, &Optimize::default()).await.unwrap(), Optimized::default());
    let zorder = Optimize { zorder: vec!["id".into()], ..Optimize::default() };
    assert_eq!(optimize(&other, &zorder).await.unwrap().files_added, 2);
    assert_eq!(rows(&lake, "t").await, before);
    // Queries on the old version go on.
    assert_eq!(query(&lake, &old, "SELECT * FROM t").await, before);
}

async fn the_history_tells_what_a_restore_brought_back(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT value AS id, 'old' AS name FROM generate_series(1, 5)").await.unwrap();
    insert(&lake, "t", "SELECT 6 AS id, 'more' AS name").await.unwrap();
    // One file of six rows takes the place of two.
    optimize(&lake, &Optimize::default()).await.unwrap();
    let (optimized, before) = (lake.table("main", "t").await.unwrap(), rows(&lake, "t").await);
    let restored = maintain::restore(&lake, &optimized, 0, &info()).await.unwrap();
    assert_eq!((restored.version, restored.rows_inserted, restored.rows_deleted), (3, 5, 6));
    let table = lake.table("main", "t").await.unwrap();
    let history = lake.history(&table, 1).await.unwrap();
    let metric = |name: &str| history[0].metrics[name].parse::<u64>().unwrap();
    assert_eq!(history[0].operation.as_deref(), Some("RESTORE"));
    assert_eq!((metric("numRestoredFiles"), metric("numRemovedFiles"), metric("numOfFilesAfterRestore")), (1, 1, 1));
    assert_eq!((metric("numOutputRows"), metric("numDeletedRows")), (5, 6));
    assert_eq!(metric("restoredFilesSize"), table.size_bytes());
    assert_eq!(metric("tableSizeAfterRestore"), table.size_bytes());
    assert_eq!(metric("removedFilesSize"), optimized.size_bytes());
    assert_ne!(rows(&lake, "t").await, before);
}

async fn a_compaction_goes_on_behind_appends_and_not_behind_one_of_its_own_kind(place: Place) {
    let (lake, log) = place.watched().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    for id in 0..4 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let old = lake.table("main", "t").await.unwrap();
    insert(&lake, "t", "SELECT 4 AS id").await.unwrap();
    let compact = |table| {
        let state = Arc::new(session(&lake).state());
        let lake = lake.clone();
        async move { maintain::optimize(&lake, &table, &Optimize::default(), state, &info()).await }
    };
    compact(old.clone()).await.unwrap();
    assert_eq!(rows(&lake, "t").await.len(), 5);
    let late = compact(old).await;
    assert!(matches!(late, Err(StorageError::Conflict { .. })), "{late:?}");
    assert_eq!(rows(&lake, "t").await, ["0", "1", "2", "3", "4"]);
    // What the late one wrote is gone again.
    let written = log.take().into_iter().filter(|request| matches!(request.kind, RequestKind::Delete)).count();
    assert_eq!(written, 1);
}

async fn vacuum_deletes_what_nobody_needs_and_nothing_else(place: Place) {
    let (lake, log) = place.watched().await;
    write::create(&lake, &people("t"), &info()).await.unwrap();
    for id in 0..3 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    // Files of a write that died: data, and a deletion vector. And what is none of the table's.
    let store = lake.stores().get_store(lake.url()).unwrap();
    let folder = Path::from_url_path(lake.table_url("main", "t").path()).unwrap();
    let stray = ["part-x.parquet", "name=1/part-y.parquet", "deletion_vector_x.bin", "_change_data/cdc-x.parquet"];
    let foreign = ["_hidden/x.parquet", ".x.crc", "inner/_delta_log/00000000000000000000.json", "inner/part-z.parquet"];
    for file in stray.iter().chain(&foreign) {
        store.put(&folder.clone().join_all(file), "x".into()).await.unwrap();
    }
    let before = rows(&lake, "t").await;
    optimize(&lake, &Optimize::default()).await.unwrap();
    let too_short = maintain::vacuum(&lake, "main", "t", &Vacuum { retain_hours: Some(0), ..Vacuum::default() }).await;
    assert!(matches!(too_short, Err(StorageError::RetentionTooShort { hours: 0, .. })), "{too_short:?}");
    // Within the retention nothing goes, strays included: they may belong to a write that is under way.
    for request in [Vacuum::default(), Vacuum { retain_hours: Some(1), any_retention: true, ..Vacuum::default() }] {
        assert_eq!(maintain::vacuum(&lake, "main", "t", &request).await.unwrap().files, []);
    }
    let all = Vacuum { retain_hours: Some(0), any_retention: true, dry_run: true, ..Vacuum::default() };
    let listed = maintain::vacuum(&lake, "main", "t", &all).await.unwrap();
    assert_eq!(listed.files.len(), 3 + stray.len(), "{listed:?}");
    assert!(stray.iter().all(|file| listed.files.iter().any(|(path, _)| path == file)), "{listed:?}");
    // A store that fails leaves a table that can be vacuumed again.
    log.set_rule(|request| if request.kind == RequestKind::Delete { Fate::Refused } else { Fate::Served });
    let all = Vacuum { dry_run: false, ..all };
    maintain::vacuum(&lake, "main", "t", &all).await.unwrap_err();
    log.clear_rule();
    assert_eq!(maintain::vacuum(&lake, "main", "t", &all).await.unwrap(), listed);
    assert_eq!(maintain::vacuum(&lake, "main", "t", &all).await.unwrap().files, []);
    let other = place.open().await;
    assert_eq!(rows(&other, "t").await, before);
    for file in foreign {
        store.head(&folder.clone().join_all(file)).await.unwrap();
    }
}

trait Join {
    fn join_all(self, path: &str) -> Path;
}

impl Join for Path {
    fn join_all(self, path: &str) -> Path {
        path.split('/').fold(self, |folder, part| folder.join(part))
    }
}
