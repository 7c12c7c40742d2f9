//! What a scan leaves out while the query runs, by filters that joins and TopK find, and how its work is split.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::{DeltaTable, protocol::SaveMode};
use parquet::file::properties::WriterProperties;
use url::Url;

use super::{append, features, open, rows, run, session};

fn events(day: &str, ids: std::ops::Range<i64>) -> RecordBatch {
    let count = (ids.end - ids.start) as usize;
    RecordBatch::try_from_iter(vec![
        ("day", Arc::new(StringArray::from(vec![day; count])) as ArrayRef),
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("name", Arc::new(StringArray::from_iter_values(ids.map(|id| format!("n{id:03}"))))),
    ])
    .unwrap()
}

/// Four files of ten rows, each with a day and a range of ids of its own.
async fn four_days(folder: &Path, partition_columns: &[&str]) {
    for (at, day) in ["mon", "tue", "wed", "thu"].iter().enumerate() {
        let first = at as i64 * 10;
        append(folder, vec![events(day, first..first + 10)], partition_columns).await;
    }
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test]
async fn a_join_skips_files_by_partition_and_by_bounds() {
    for partition_columns in [&["day"][..], &[]] {
        let folder = tempfile::tempdir().unwrap();
        four_days(folder.path(), partition_columns).await;
        let context = session(folder.path()).await;
        for (keys, on, found, skipped) in [
            ("('tue')", "t.day = k.column1", 10, 3),
            ("('none')", "t.day = k.column1", 0, 4),
            ("(12), (14)", "t.id = k.column1", 2, 3),
            ("(12), (31)", "t.id = k.column1", 2, 2),
            ("('n012')", "t.name = k.column1", 1, 3),
            // Nothing can match: the join does not even ask the scan.
            ("(CAST(NULL AS BIGINT))", "t.id = k.column1", 0, 0),
        ] {
            let sql = format!("SELECT t.id FROM (VALUES {keys}) AS k JOIN t ON {on}");
            let (batches, reports) = run(&context, &sql).await;
            assert_eq!(ids(&batches).len(), found, "{sql}");
            let report = &reports[0];
            assert_eq!((report.files_read, report.parts_skipped_while_running), (4, skipped), "{sql}\n{report:?}");
        }
        let shown = rows(&context, "EXPLAIN ANALYZE SELECT id FROM (VALUES (12)) AS k JOIN t ON id = column1").await;
        assert!(shown.contains("files_ranges_pruned_statistics=4 total → 1 matched"), "{shown}");
    }
}

#[tokio::test]
async fn a_top_of_few_skips_files() {
    let folder = tempfile::tempdir().unwrap();
    four_days(folder.path(), &[]).await;
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
    for (order, expected) in [("id DESC", [39, 38]), ("id", [0, 1]), ("name DESC", [39, 38])] {
        let (batches, reports) = run(&context, &format!("SELECT id FROM t ORDER BY {order} LIMIT 2")).await;
        assert_eq!(ids(&batches), expected, "{order}");
        assert!(reports[0].parts_skipped_while_running > 0, "{order}: {:?}", reports[0]);
    }
}

#[tokio::test]
async fn deleted_rows_stay_away_from_joins() {
    let folder = tempfile::tempdir().unwrap();
    sixty_rows_but_two(folder.path()).await;
    let context = session(folder.path()).await;
    for (keys, expected, skipped) in
        [("(0), (1), (4)", vec![0], 0), ("(1)", vec![], 0), ("(100)", vec![], 1), ("(5)", vec![5], 0)]
    {
        let sql = format!("SELECT id FROM (VALUES {keys}) AS k JOIN t ON id = column1");
        let (batches, reports) = run(&context, &sql).await;
        assert_eq!(ids(&batches), expected, "{sql}");
        assert_eq!(reports[0].parts_skipped_while_running, skipped, "{sql}");
    }
}

/// One file in six row groups, without the rows 1 and 4.
async fn sixty_rows_but_two(folder: &Path) {
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..60)) as ArrayRef),
        ("x", Arc::new(Int64Array::from_iter_values((0..60).map(|id| id * 2)))),
    ]);
    in_row_groups(folder, batch.unwrap()).await;
    features::hide_rows_1_and_4(folder);
}

/// One file in row groups of ten rows.
async fn in_row_groups(folder: &Path, batch: RecordBatch) {
    std::fs::create_dir_all(folder).unwrap();
    let table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    table.write([batch]).with_save_mode(SaveMode::Append).with_writer_properties(properties).await.unwrap();
}

/// A hundred rows, `x` = `id` but for NaN in row 55 and the NaN that is smaller than all numbers in row 57.
async fn with_nan(folder: &Path) {
    let value = |id: i64| match id {
        55 => f64::NAN,
        57 => -f64::NAN,
        id => id as f64,
    };
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..100)) as ArrayRef),
        ("x", Arc::new(Float64Array::from_iter_values((0..100).map(value)))),
    ]);
    in_row_groups(folder, batch.unwrap()).await;
}

#[tokio::test]
async fn nan_keeps_no_other_filter_from_skipping() {
    let folder = tempfile::tempdir().unwrap();
    with_nan(folder.path()).await;
    for every_row in [false, true] {
        let context = session(folder.path()).await;
        let set = format!("SET datafusion.execution.parquet.pushdown_filters = {every_row}");
        context.sql(&set).await.unwrap();
        for (filter, expected, groups) in [
            ("x > 1000 AND id < 60", vec![55], 6),
            ("x < 0 AND id BETWEEN 51 AND 58", vec![57], 1),
            ("x <> 51 AND id > 50 AND id < 54", vec![52, 53], 1),
            ("(x > 1000 OR id = 3)", vec![3, 55], 10),
            ("x IS NOT NULL AND id = 55", vec![55], 1),
            ("NOT (x <= 1000)", vec![55], 10),
        ] {
            let sql = format!("SELECT id FROM t WHERE {filter} ORDER BY id");
            let (batches, _) = run(&context, &sql).await;
            assert_eq!(ids(&batches), expected, "{sql}");
            let shown = rows(&context, &format!("EXPLAIN ANALYZE {sql}")).await;
            let read = shown.contains(&format!("row_groups_pruned_statistics=10 total → {groups} matched"));
            assert!(read, "not {groups} row groups: {sql}\n{shown}");
        }
    }
}

#[tokio::test]
async fn joins_and_tops_find_nan() {
    let folder = tempfile::tempdir().unwrap();
    with_nan(folder.path()).await;
    let context = session(folder.path()).await;
    for (sql, expected) in [
        ("SELECT id FROM t ORDER BY x DESC LIMIT 2", vec![55, 99]),
        ("SELECT id FROM t ORDER BY x LIMIT 2", vec![57, 0]),
        ("SELECT id FROM (VALUES (CAST('NaN' AS DOUBLE))) AS k JOIN t ON x = column1", vec![55]),
        ("SELECT id FROM (VALUES (CAST(7 AS DOUBLE))) AS k JOIN t ON x = column1", vec![7]),
    ] {
        let (batches, _) = run(&context, sql).await;
        assert_eq!(ids(&batches), expected, "{sql}");
    }
}

#[tokio::test]
async fn one_large_file_is_read_by_several_streams() {
    let folder = tempfile::tempdir().unwrap();
    with_nan(folder.path()).await;
    let mut config = SessionConfig::new().with_target_partitions(4).with_batch_size(8);
    config.options_mut().optimizer.repartition_file_min_size = 0;
    let context = SessionContext::new_with_config(config);
    context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
    let plan = rows(&context, "EXPLAIN SELECT max(x), sum(id) FROM t").await;
    assert!(plan.contains("file_groups={4 groups"), "{plan}");
    let (batches, _) = run(&context, "SELECT id FROM t WHERE id % 7 = 1 ORDER BY id").await;
    assert_eq!(ids(&batches), (0..100).filter(|id| id % 7 == 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_split_file_hides_its_deleted_rows() {
    let folder = tempfile::tempdir().unwrap();
    sixty_rows_but_two(folder.path()).await;
    let expected: Vec<i64> = (0..60).filter(|id| ![1, 4].contains(id)).collect();
    for partitions in [1, 3, 6, 7] {
        let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(8);
        config.options_mut().optimizer.repartition_file_min_size = 0;
        let context = SessionContext::new_with_config(config);
        context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
        let (batches, _) = run(&context, "SELECT id FROM t WHERE x >= 0 ORDER BY id").await;
        assert_eq!(ids(&batches), expected, "{partitions} streams");
        let (batches, _) = run(&context, "SELECT id FROM t WHERE x < 30 ORDER BY id").await;
        assert_eq!(ids(&batches), expected[..13], "{partitions} streams");
        let plan = rows(&context, "EXPLAIN SELECT sum(id) FROM t").await;
        let groups = if partitions == 1 { "{1 group:".to_owned() } else { format!("{{{partitions} groups:") };
        assert!(plan.contains(&groups), "{plan}");
    }
}
