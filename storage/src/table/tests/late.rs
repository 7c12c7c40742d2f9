//! What the reader learns of files only when it opens them, and when it asks for their pages.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::{DeltaTable, protocol::SaveMode};
use parquet::file::properties::WriterProperties;
use serde_json::json;
use url::Url;

use super::{append, open, rows, run};

/// With three columns, more entries than are made ahead.
const FILES: i64 = 11_000;

fn numbers(first: i64) -> RecordBatch {
    let names = (first..first + 10).map(|id| format!("n{id}"));
    RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from_iter_values(first..first + 10)) as ArrayRef),
        ("x", Arc::new(Int64Array::from_iter_values(first..first + 10))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
    ])
    .unwrap()
}

/// Many files of ten ids each. Only the first and the last are there: whoever opens another one fails.
async fn many(folder: &Path) {
    append(folder, vec![numbers(0)], &[]).await;
    let between = (1..FILES - 1).map(|file| {
        let (low, high) = (file * 10, file * 10 + 9);
        let stats = json!({"numRecords": 10, "minValues": {"id": low, "x": low}, "maxValues": {"id": high, "x": high},
            "nullCount": {"id": 0, "x": 0}});
        json!({"add": {"path": format!("not-there-{file}.parquet"), "partitionValues": {}, "size": 1000,
            "modificationTime": 0, "dataChange": true, "stats": stats.to_string()}})
        .to_string()
    });
    let commit = folder.join("_delta_log").join(format!("{:020}.json", 1));
    std::fs::write(commit, between.collect::<Vec<_>>().join("\n")).unwrap();
    append(folder, vec![numbers((FILES - 1) * 10)], &[]).await;
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test]
async fn files_too_many_to_describe_ahead_are_skipped_while_running() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path()).await;
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
    let last = FILES * 10 - 1;
    for (sql, expected, skipped) in [
        ("SELECT t.id FROM (VALUES (4)) AS k JOIN t ON t.id = k.column1", vec![4], FILES - 1),
        ("SELECT t.id FROM (VALUES (5), (109995)) AS k JOIN t ON t.id = k.column1", vec![5, 109_995], FILES - 2),
        ("SELECT t.id FROM (VALUES (-1)) AS k JOIN t ON t.id = k.column1", vec![], FILES),
        // The file with the first values comes first, so that all others are left out.
        ("SELECT id FROM t ORDER BY id LIMIT 2", vec![0, 1], FILES - 1),
        ("SELECT id FROM t ORDER BY id DESC LIMIT 2", vec![last, last - 1], FILES - 1),
    ] {
        let (batches, reports) = run(&context, sql).await;
        let mut found = ids(&batches);
        if !sql.contains("ORDER BY") {
            found.sort_unstable();
        }
        assert_eq!(found, expected, "{sql}");
        assert_eq!(reports[0].parts_skipped_while_running as i64, skipped, "{sql}");
    }
}

/// One file, pages of as many rows.
async fn paged(folder: &Path, rows: i64, page_rows: usize) -> SessionContext {
    std::fs::create_dir_all(folder).unwrap();
    let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef)]);
    let table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
    let pages = WriterProperties::builder().set_data_page_row_count_limit(page_rows).set_write_batch_size(page_rows);
    let properties = pages.set_dictionary_enabled(false).build();
    table.write([batch.unwrap()]).with_save_mode(SaveMode::Append).with_writer_properties(properties).await.unwrap();
    super::session(folder).await
}

#[tokio::test]
async fn pages_are_asked_for_only_in_files_that_have_several() {
    for (rows_stored, pruned) in
        [(20_000, "page_index_pages_pruned=0 total"), (20_001, "page_index_pages_pruned=20 total → 1 matched")]
    {
        let folder = tempfile::tempdir().unwrap();
        let context = paged(folder.path(), rows_stored, 1_000).await;
        let shown = rows(&context, "EXPLAIN ANALYZE SELECT id FROM t WHERE id BETWEEN 5000 AND 5005").await;
        assert!(shown.contains(pruned), "{rows_stored} rows: {shown}");
        let (batches, _) = run(&context, "SELECT id FROM t WHERE id BETWEEN 5000 AND 5005").await;
        assert_eq!(ids(&batches), (5000..=5005).collect::<Vec<_>>());
    }
}
