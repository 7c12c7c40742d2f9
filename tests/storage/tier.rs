//! The cold tier: what is old moves and stays what it is; what moved is known from the log; writers win.

use std::sync::Arc;

use boathouse_storage::{
    Lake, Snapshot, StorageError,
    maintain::{self, Optimize, Optimized, Pace, Partition, PartitionTiers, TierPolicy},
    table::in_stored_order,
    write::NewTable,
};
use datafusion::{
    arrow::datatypes::DataType,
    parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Compression},
};

use crate::{
    on_every_place,
    place::{Place, columns, create_as, info, insert, people, query, rows, session},
};

on_every_place!(
    what_is_old_moves_once_and_no_row_changes,
    a_move_goes_on_behind_appends_and_not_behind_a_change_of_its_files,
    files_without_partitions_are_as_old_as_their_youngest_row,
);

/// 2024-04-01, in milliseconds since 1970.
const NOW_MS: i64 = 1_711_929_600_000;

fn days(partitioned: bool) -> NewTable {
    let policy = [("boathouse.tier.coldAfter", "30 days"), ("boathouse.tier.on", "day")];
    let properties = policy.into_iter().chain([("delta.checkpointInterval", "4")]);
    NewTable {
        schema: columns(&[("id", DataType::Int64, false), ("day", DataType::Date32, true)]),
        partition_columns: if partitioned { vec!["day".into()] } else { vec![] },
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..people("t")
    }
}

fn tiers(lake: &Lake, table: &Snapshot) -> Vec<PartitionTiers> {
    let policy = TierPolicy::of(table).unwrap().unwrap();
    maintain::tiers_of(lake, table, Some(&policy), NOW_MS).unwrap()
}

/// Files of each partition: warm, cold, and old among the warm.
fn files(lake: &Lake, table: &Snapshot) -> Vec<(String, u64, u64, u64)> {
    let told =
        |tiers: PartitionTiers| (tiers.partition.to_string(), tiers.warm.files, tiers.cold.files, tiers.old.files);
    tiers(lake, table).into_iter().map(told).collect()
}

async fn cool(lake: &Lake, table: &Arc<Snapshot>, partition: &Partition) -> Result<Optimized, StorageError> {
    let policy = TierPolicy::of(table).unwrap().unwrap();
    let (state, pace) = (Arc::new(session(lake).state()), Pace::default());
    maintain::cool(lake, table, partition, (&policy, NOW_MS), (state, &pace), &info()).await
}

/// Moves what is old of all partitions, each at the newest version.
async fn cool_all(lake: &Lake) -> u64 {
    let mut moved = 0;
    for tiers in tiers(lake, &lake.table("main", "t").await.unwrap()) {
        let newest = lake.table("main", "t").await.unwrap();
        moved += cool(lake, &newest, &tiers.partition).await.unwrap().files_removed;
    }
    moved
}

async fn optimize(lake: &Lake, request: &Optimize) -> Optimized {
    let table = lake.table("main", "t").await.unwrap();
    maintain::optimize(lake, &table, request, Arc::new(session(lake).state()), &info()).await.unwrap()
}

async fn what_is_old_moves_once_and_no_row_changes(place: Place) {
    let lake = place.open().await;
    let day = |day: &str, id: u32| format!("SELECT {id} AS id, {day} AS day");
    create_as(&lake, &days(true), &day("DATE '2024-01-01'", 1)).await.unwrap();
    // On the last of these days some rows may be younger than 30 days: it is not over.
    for (at, written) in ["DATE '2024-01-01'", "DATE '2024-02-29'", "DATE '2024-03-02'", "NULL"].iter().enumerate() {
        insert(&lake, "t", &day(written, 2 + at as u32)).await.unwrap();
    }
    let before = rows(&lake, "t").await;
    let told = |day: &str, warm, cold, old| (format!("day={day}"), warm, cold, old);
    let table = lake.table("main", "t").await.unwrap();
    let stays = [told("2024-03-02", 1, 0, 0)];
    let by_day = |table: &Snapshot| {
        let mut all = files(&lake, table);
        all.sort();
        all
    };
    let first = [told("2024-01-01", 2, 0, 2), told("2024-02-29", 1, 0, 1)];
    let null = [told("NULL", 1, 0, 0)];
    assert_eq!(by_day(&table), [&first[..], &stays, &null].concat());
    assert_eq!(cool_all(&lake).await, 3);
    let cold = [told("2024-01-01", 0, 1, 0), told("2024-02-29", 0, 1, 0)];
    assert_eq!(by_day(&lake.table("main", "t").await.unwrap()), [&cold[..], &stays, &null].concat());
    assert_eq!(rows(&lake, "t").await, before);
    assert_eq!(cool_all(&lake).await, 0, "a second time");
    if let Some(s3) = &place.s3 {
        assert!(s3.has_cold_objects());
    }
    // Late rows of an old day lie beside its cold ones, and follow them.
    insert(&lake, "t", &day("DATE '2024-01-01'", 8)).await.unwrap();
    for request in [Optimize::default(), Optimize { zorder: vec!["id".into()], ..Optimize::default() }] {
        optimize(&lake, &request).await;
        assert_eq!(by_day(&lake.table("main", "t").await.unwrap())[0], told("2024-01-01", 1, 1, 1), "{request:?}");
    }
    assert_eq!(cool_all(&lake).await, 1);
    let late = [told("2024-01-01", 0, 2, 0), cold[1].clone()];
    lake.idle().await;
    // From commits and from a checkpoint.
    for lake in [&lake, &place.open().await] {
        let table = lake.table("main", "t").await.unwrap();
        assert_eq!(by_day(&table), [&late[..], &stays, &null].concat());
        // Under which class they were put stands with them.
        let class = lake.cold_storage_class(table.location()).map(str::to_owned);
        let classes = tiers(lake, &table).into_iter().flat_map(|tiers| tiers.cold_classes.into_keys());
        assert_eq!(classes.collect::<Vec<_>>(), [class.clone(), class]);
    }
    // Small cold files become larger ones, which are cold.
    optimize(&lake, &Optimize::default()).await;
    let table = lake.table("main", "t").await.unwrap();
    assert_eq!(by_day(&table), [&cold[..], &stays, &null].concat());
    assert_eq!(query(&lake, &table, "SELECT count(*) FROM t").await, [format!("{}", before.len() + 1)]);
    let history = lake.history(&table, 100).await.unwrap();
    assert!(history.iter().any(|version| version.operation.as_deref() == Some("TIER")), "{history:?}");
}

async fn a_move_goes_on_behind_appends_and_not_behind_a_change_of_its_files(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &days(true), "SELECT 1 AS id, DATE '2024-01-01' AS day").await.unwrap();
    let old = lake.table("main", "t").await.unwrap();
    let partition = tiers(&lake, &old)[0].partition.clone();
    insert(&lake, "t", "SELECT 2 AS id, DATE '2024-01-01' AS day").await.unwrap();
    assert_eq!(cool(&lake, &old, &partition).await.unwrap().files_removed, 1);
    assert_eq!(files(&lake, &lake.table("main", "t").await.unwrap()), [("day=2024-01-01".into(), 1, 1, 1)]);
    let before = rows(&lake, "t").await;
    let late = cool(&lake, &old, &partition).await;
    assert!(matches!(late, Err(StorageError::Conflict { .. })), "{late:?}");
    assert_eq!(rows(&lake, "t").await, before);
}

async fn files_without_partitions_are_as_old_as_their_youngest_row(place: Place) {
    let lake = place.open().await;
    // Of one file the rows are in order, of another one row is young, of the third nothing is known.
    let first = "SELECT value AS id, DATE '2024-01-01' AS day FROM generate_series(5, 1, -1) ORDER BY id";
    create_as(&lake, &days(false), first).await.unwrap();
    insert(&lake, "t", "SELECT 6 AS id, DATE '2024-01-01' AS day UNION ALL SELECT 7, DATE '2024-03-31'").await.unwrap();
    insert(&lake, "t", "SELECT 8 AS id, CAST(NULL AS DATE) AS day").await.unwrap();
    let before = rows(&lake, "t").await;
    assert_eq!(files(&lake, &lake.table("main", "t").await.unwrap()), [(String::new(), 3, 0, 1)]);
    assert_eq!(cool_all(&lake).await, 1);
    assert_eq!(files(&lake, &lake.table("main", "t").await.unwrap()), [(String::new(), 2, 1, 0)]);
    assert_eq!(rows(&lake, "t").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_files_are_dense_have_page_indexes_and_keep_the_order_of_their_rows() {
    let place = Place::folder();
    let lake = place.open().await;
    let sorted = "SELECT value AS id, DATE '2024-01-01' AS day FROM generate_series(90000, 1, -1) ORDER BY id";
    create_as(&lake, &days(false), sorted).await.unwrap();
    assert_eq!(cool_all(&lake).await, 1);
    let table = lake.table("main", "t").await.unwrap();
    let scan = table.provider().unwrap().scan(&session(&lake).state(), None, &[], None).await.unwrap();
    let scan = in_stored_order(&scan).unwrap();
    assert_eq!(scan.properties().output_ordering().unwrap().to_string(), "id@0 ASC NULLS LAST");
    let folder = place.folder.as_ref().unwrap().path().join("main/t");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let dense: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .map(|path| ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap())
        .filter(|file| matches!(file.metadata().row_group(0).column(0).compression(), Compression::ZSTD(_)))
        .collect();
    let [dense] = &dense[..] else { panic!("{} dense files", dense.len()) };
    let group = dense.metadata().row_group(0);
    assert!(group.columns().iter().all(|column| column.column_index_offset().is_some()));
    assert!(group.sorting_columns().is_some());
}
