//! What the plan reads, and what it can answer without reading.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    util::pretty::pretty_format_batches,
};
use deltalake::{DeltaTable, protocol::SaveMode};
use parquet::file::properties::WriterProperties;
use url::Url;

use super::{append, open, rows, run, session};
use crate::StorageError;

fn orders(days: &[&str], first: i64) -> RecordBatch {
    let ids: Vec<i64> = (first..).take(days.len()).collect();
    RecordBatch::try_from_iter(vec![
        ("day", Arc::new(StringArray::from(days.to_vec())) as ArrayRef),
        ("id", Arc::new(Int64Array::from(ids))),
    ])
    .unwrap()
}

/// Four files: two days, two commits.
async fn four_files(folder: &std::path::Path) {
    append(folder, vec![orders(&["mon", "mon", "tue"], 0)], &["day"]).await;
    append(folder, vec![orders(&["mon", "tue", "tue"], 10)], &["day"]).await;
}

#[tokio::test]
async fn a_report_tells_what_was_skipped() {
    let folder = tempfile::tempdir().unwrap();
    four_files(folder.path()).await;
    let context = session(folder.path()).await;
    let (batches, reports) = run(&context, "SELECT id FROM t WHERE day = 'mon' AND id < 5").await;
    assert_eq!(pretty_format_batches(&batches).unwrap().to_string(), "+----+\n| id |\n+----+\n| 0  |\n| 1  |\n+----+");
    let report = &reports[0];
    assert_eq!((report.table.as_str(), report.version, reports.len()), ("main.t", 1, 1));
    assert_eq!((report.files, report.files_skipped_by_partition, report.files_skipped_by_statistics), (4, 2, 1));
    assert_eq!(report.files_read, 1);
    assert!(report.bytes_read > 0);
    let shown = rows(&context, "EXPLAIN ANALYZE SELECT id FROM t WHERE day = 'mon' AND id < 5").await;
    for count in ["files=4", "files_skipped_by_partition=2", "files_skipped_by_statistics=1", "files_read=1"] {
        assert!(shown.contains(count), "no {count} in\n{shown}");
    }
}

#[tokio::test]
async fn a_scan_without_files_still_reports() {
    let folder = tempfile::tempdir().unwrap();
    four_files(folder.path()).await;
    let context = session(folder.path()).await;
    let (batches, reports) = run(&context, "SELECT id FROM t WHERE day = 'sun'").await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    assert_eq!((reports[0].files_skipped_by_partition, reports[0].files_read), (4, 0));
}

#[tokio::test]
async fn each_scan_of_a_self_join_has_its_report() {
    let folder = tempfile::tempdir().unwrap();
    four_files(folder.path()).await;
    let context = session(folder.path()).await;
    let sql = "SELECT a.id FROM t a JOIN t b ON a.id = b.id WHERE a.day = 'mon'";
    let (_, reports) = run(&context, sql).await;
    assert_eq!(reports.len(), 2);
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    four_files(folder.path()).await;
    let context = session(folder.path()).await;
    for sql in ["SELECT count(*) FROM t", "SELECT min(id), max(id) FROM t", "SELECT count(*) FROM t WHERE day = 'mon'"]
    {
        let plan = rows(&context, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.contains("DataSourceExec"), "{sql} reads files:\n{plan}");
    }
    let counted = rows(&context, "SELECT count(*) AS n FROM t WHERE day = 'mon'").await;
    assert_eq!(counted, "+---+\n| n |\n+---+\n| 3 |\n+---+");
}

#[tokio::test]
async fn a_limit_stops_adding_files() {
    let folder = tempfile::tempdir().unwrap();
    four_files(folder.path()).await;
    let context = session(folder.path()).await;
    let (batches, reports) = run(&context, "SELECT id FROM t WHERE day = 'mon' LIMIT 1").await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(reports[0].files_read, 1);
    let (batches, reports) = run(&context, "SELECT id FROM t WHERE id >= 0 LIMIT 5").await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    assert_eq!(reports[0].files_read, 4);
}

#[tokio::test]
async fn a_limit_reads_pages_and_not_row_groups() {
    const ROWS: i64 = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let ids = Int64Array::from_iter_values((0..ROWS).map(|id| id * 7919 % ROWS));
    let batch = RecordBatch::try_from_iter(vec![("id", Arc::new(ids) as ArrayRef)]).unwrap();
    let table = DeltaTable::try_from_url(Url::from_directory_path(folder.path()).unwrap()).await.unwrap();
    // A dictionary would be read whole.
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    table.write([batch]).with_save_mode(SaveMode::Append).with_writer_properties(properties).await.unwrap();
    let context = session(folder.path()).await;
    let (batches, reports) = run(&context, "SELECT id FROM t").await;
    let (all, whole) = (arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap(), reports[0].bytes_read);
    for (limit, offset) in [(10, 0), (10, 20_000), (1, 0)] {
        let (batches, reports) = run(&context, &format!("SELECT id FROM t LIMIT {limit} OFFSET {offset}")).await;
        let read = arrow::compute::concat_batches(&all.schema(), &batches).unwrap();
        assert_eq!(read, all.slice(offset, limit), "LIMIT {limit} OFFSET {offset}");
        assert!(reports[0].bytes_read * 4 < whole, "{} of {whole} bytes", reports[0].bytes_read);
    }
    // Most of the rows, and more than there are.
    for limit in [150_000, ROWS as usize, 300_000] {
        let (batches, _) = run(&context, &format!("SELECT id FROM t LIMIT {limit}")).await;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, limit.min(ROWS as usize));
    }
}

#[tokio::test]
async fn null_and_odd_partition_values_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let odd = [Some("a b/c=d%20ü:"), None, Some("100%"), Some("#?&+")];
    let batch = RecordBatch::try_from_iter(vec![
        ("p", Arc::new(StringArray::from(odd.to_vec())) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![0, 1, 2, 3]))),
    ]);
    append(folder.path(), vec![batch.unwrap()], &["p"]).await;
    let context = session(folder.path()).await;
    for (id, value) in odd.iter().enumerate() {
        let filter = value.map_or("p IS NULL".to_owned(), |value| format!("p = '{value}'"));
        let (batches, reports) = run(&context, &format!("SELECT p, id FROM t WHERE {filter}")).await;
        assert_eq!(reports[0].files_read, 1, "{filter}");
        let found = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
        let ids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(found.column(1));
        assert_eq!(ids.value(0), id as i64);
    }
    assert_eq!(rows(&context, "SELECT count(*) AS n, count(p) AS p FROM t").await.lines().nth(3).unwrap(), "| 4 | 3 |");
}

#[tokio::test]
async fn a_column_that_older_files_lack_is_null() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), vec![orders(&["mon"], 0)], &[]).await;
    let newer = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("day", Arc::new(StringArray::from(vec!["tue"]))),
        ("extra", Arc::new(Int32Array::from(vec![7]))),
    ]);
    append(folder.path(), vec![newer.unwrap()], &[]).await;
    let context = session(folder.path()).await;
    let found = rows(&context, "SELECT extra, id FROM t ORDER BY id").await;
    assert_eq!(found, "+-------+----+\n| extra | id |\n+-------+----+\n|       | 0  |\n| 7     | 1  |\n+-------+----+");
    let found = rows(&context, "SELECT id FROM t WHERE extra IS NULL").await;
    assert_eq!(found, "+----+\n| id |\n+----+\n| 0  |\n+----+");
}

#[tokio::test]
async fn a_clone_reads_the_files_of_its_origin() {
    let lake = tempfile::tempdir().unwrap();
    let (origin, clone) = (lake.path().join("origin"), lake.path().join("clone"));
    four_files(&origin).await;
    std::fs::create_dir_all(clone.join("_delta_log")).unwrap();
    let mut log = String::new();
    for version in 0..2 {
        let commit = std::fs::read_to_string(origin.join(format!("_delta_log/{version:020}.json"))).unwrap();
        let root = format!("\"path\":\"file://{}/", origin.display());
        log.push_str(&commit.replace("\"path\":\"", &root));
        log.push('\n');
    }
    std::fs::write(clone.join("_delta_log/00000000000000000000.json"), log).unwrap();
    let context = session(&clone).await;
    let found = rows(&context, "SELECT count(DISTINCT id) AS n FROM t").await;
    assert_eq!(found, "+---+\n| n |\n+---+\n| 6 |\n+---+");
}

/// A table that lists a feature, with one column of a type.
async fn with_feature(feature: &str, kind: &str) -> (tempfile::TempDir, Result<(), StorageError>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("_delta_log")).unwrap();
    let log = format!(
        concat!(
            r#"{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,"#,
            r#""readerFeatures":["{0}"],"writerFeatures":["{0}"]}}}}"#,
            "\n",
            r#"{{"metaData":{{"id":"x","format":{{"provider":"parquet","options":{{}}}},"schemaString":"#,
            r#""{{\"type\":\"struct\",\"fields\":[{{\"name\":\"a\",\"type\":\"{1}\",\"nullable\":true,\"metadata\":{{}}}}]}}","#,
            r#""partitionColumns":[],"configuration":{{}},"createdTime":0}}}}"#,
        ),
        feature, kind
    );
    std::fs::write(folder.path().join("_delta_log/00000000000000000000.json"), log).unwrap();
    let provider = open(folder.path()).await.provider().map(drop);
    (folder, provider)
}

#[tokio::test]
async fn an_unknown_reader_feature_is_refused_by_name() {
    for (feature, kind) in [("variantType", "variant"), ("variantShredding", "long")] {
        let error = with_feature(feature, kind).await.1.unwrap_err();
        assert!(matches!(error, StorageError::UnsupportedFeature { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "table \"main.t\" needs features that are not supported: {feature}, reader version 3 of the protocol"
            )
        );
    }
}

#[tokio::test]
async fn a_feature_for_columns_that_are_not_there_asks_nothing_of_a_reader() {
    with_feature("variantType", "long").await.1.unwrap();
}
