//! Files that were written in order say so, to scans and to other readers.

use std::sync::Arc;

use boathouse_storage::{
    Lake,
    maintain::{self, Optimize},
    table::in_stored_order,
    write::{self, NewTable},
};
use datafusion::{
    parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::metadata::SortingColumn},
    physical_plan::ExecutionPlanProperties,
};

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, query, session},
};

on_every_place!(an_order_is_known_from_commits_and_from_checkpoints);

/// The order that scans of `t` can have.
async fn order(lake: &Lake) -> Option<String> {
    let (session, table) = (session(lake), lake.table("main", "t").await.unwrap());
    let scan = table.provider().unwrap().scan(&session.state(), None, &[], None).await.unwrap();
    Some(in_stored_order(&scan)?.output_ordering()?.to_string())
}

async fn zorder(lake: &Lake, columns: &[&str]) {
    let table = lake.table("main", "t").await.unwrap();
    let request = Optimize { zorder: columns.iter().map(|name| (*name).to_owned()).collect(), ..Optimize::default() };
    maintain::optimize(lake, &table, &request, Arc::new(session(lake).state()), &info()).await.unwrap();
}

async fn an_order_is_known_from_commits_and_from_checkpoints(place: Place) {
    let lake = place.open().await;
    let properties = [("delta.checkpointInterval".to_owned(), "4".to_owned())];
    let table = NewTable { properties: properties.into(), ..people("t") };
    write::create(&lake, &table, &info()).await.unwrap();
    insert(&lake, "t", "SELECT value AS id, 'x' AS name FROM generate_series(5, 1, -1)").await.unwrap();
    assert_eq!(order(&lake).await, None, "as they came");
    zorder(&lake, &["id"]).await;
    // A write of a few rows, beside the file with smaller ids.
    insert(&lake, "t", "SELECT value AS id, 'x' AS name FROM generate_series(9, 6, -1) ORDER BY id").await.unwrap();
    lake.idle().await;
    let expected = Some("id@0 ASC NULLS LAST".to_owned());
    assert_eq!(order(&lake).await, expected);
    insert(&lake, "t", "SELECT value AS id, 'y' AS name FROM generate_series(12, 10, -1)").await.unwrap();
    lake.idle().await;
    assert_eq!(order(&lake).await, None, "one file of them is not sorted");
    zorder(&lake, &["id"]).await;
    lake.idle().await;
    assert_eq!(order(&lake).await, expected);
    let other = place.open().await;
    assert_eq!(order(&other).await, expected, "from the checkpoint");
    let table = other.table("main", "t").await.unwrap();
    assert_eq!(query(&other, &table, "SELECT id FROM t").await.len(), 12);
    zorder(&other, &["id", "name"]).await;
    assert_eq!(order(&other).await, None, "a curve of two columns is no order");
}

#[tokio::test]
async fn footers_have_the_order_for_other_readers() {
    let place = Place::folder();
    let lake = place.open().await;
    let rows = "SELECT 100000 - value AS id, 'a name' AS name FROM generate_series(1, 90000)";
    create_as(&lake, &people("t"), &format!("{rows} ORDER BY id")).await.unwrap();
    let folder = place.folder.as_ref().unwrap().path().join("main/t");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
    let footer = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
    let order = vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }];
    assert!(footer.metadata().row_groups().iter().all(|group| group.sorting_columns() == Some(&order)));
}
