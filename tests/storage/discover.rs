//! Tables found because they lie there.

use std::sync::Arc;

use arrow::{array::Int64Array, record_batch::RecordBatch};
use boathouse_storage::{StorageError, write};
use deltalake::DeltaTable;
use url::Url;

use crate::{
    on_every_place,
    place::{Place, columns, create_as, info, people, rows},
};

on_every_place!(tables_are_listed_by_their_folders);

async fn tables_are_listed_by_their_folders(place: Place) {
    let (lake, other) = (place.open().await, place.open().await);
    assert!(lake.tables("main").await.unwrap().is_empty());
    for name in ["b", "a", "c"] {
        write::create(&lake, &people(name), &info()).await.unwrap();
    }
    assert_eq!(other.tables("main").await.unwrap(), ["a", "b", "c"]);
    write::drop_table(&other, "main", "b").await.unwrap();
    assert_eq!(lake.tables("main").await.unwrap(), ["a", "c"]);
    let missing = lake.table("main", "b").await;
    assert!(matches!(missing, Err(StorageError::TableNotFound { ref table }) if table == "main.b"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_writer_puts_into_the_folder_is_there() {
    let place = Place::folder();
    let lake = place.open().await;
    let root = place.folder.as_ref().unwrap().path();
    std::fs::create_dir_all(root.join("other/not_a_table")).unwrap();
    std::fs::create_dir_all(root.join(".hidden/t/_delta_log")).unwrap();
    let folder = root.join("other").join("numbers");
    std::fs::create_dir_all(&folder).unwrap();
    let batch = |n: i64| {
        let schema = columns(&[("n", arrow::datatypes::DataType::Int64, true)]);
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![n]))]).unwrap()
    };
    let table = DeltaTable::try_from_url(Url::from_directory_path(&folder).unwrap()).await.unwrap();
    let table = table.write([batch(1)]).await.unwrap();
    assert_eq!(lake.schemas().await.unwrap(), ["main", "other"]);
    assert_eq!(lake.tables("other").await.unwrap(), ["numbers"]);
    assert_eq!(lake.table("other", "numbers").await.unwrap().version(), 0);
    table.write([batch(2)]).await.unwrap();
    let snapshot = lake.table("other", "numbers").await.unwrap();
    assert_eq!(crate::place::query(&lake, &snapshot, "SELECT * FROM t").await, ["1", "2"]);
    assert!(lake.catalog("other").await.unwrap().views.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_appears_in_a_dropped_schema_brings_it_back() {
    let place = Place::folder();
    let lake = place.open().await;
    lake.create_schema("s", None).await.unwrap();
    lake.drop_schema("s", false).await.unwrap();
    assert_eq!(lake.schemas().await.unwrap(), ["main"]);
    let folder = place.folder.as_ref().unwrap().path().join("s").join("t");
    std::fs::create_dir_all(&folder).unwrap();
    let schema = columns(&[("n", arrow::datatypes::DataType::Int64, true)]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let table = DeltaTable::try_from_url(Url::from_directory_path(&folder).unwrap()).await.unwrap();
    table.write([batch]).await.unwrap();
    assert_eq!(lake.schemas().await.unwrap(), ["main", "s"]);
    assert_eq!(lake.tables("s").await.unwrap(), ["t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_elsewhere_is_read_by_its_location() {
    let (here, elsewhere) = (Place::folder(), Place::folder());
    let (lake, other) = (here.open().await, elsewhere.open().await);
    create_as(&other, &people("t"), "SELECT 1 AS id, 'x' AS name").await.unwrap();
    let location = other.table_url("main", "t");
    let snapshot = lake.table_at(&location, None).await.unwrap();
    assert_eq!(snapshot.name(), location.as_str());
    assert_eq!(crate::place::query(&lake, &snapshot, "SELECT * FROM t").await, ["1 x"]);
    assert_eq!(rows(&other, "t").await, ["1 x"]);
    let nothing = lake.table_at(&other.table_url("main", "nothing"), None).await;
    assert!(matches!(nothing, Err(StorageError::TableNotFound { .. })), "{nothing:?}");
    let web = lake.table_at(&Url::parse("https://example.org/t").unwrap(), None).await.unwrap_err();
    assert!(web.to_string().contains("http is not a store"), "{web}");
}
