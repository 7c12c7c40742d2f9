//! Copies of files: read instead of them, made when they are worth it, never believed blindly.

use std::{fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;

use super::{add_hot, append, rows, run};

async fn numbers(folder: &Path, files: i64) {
    for file in 0..files {
        let batch = RecordBatch::try_from_iter(vec![
            ("id", Arc::new(Int64Array::from_iter_values(file * 100..file * 100 + 50)) as ArrayRef),
            ("name", Arc::new(StringArray::from_iter_values((0..50).map(|n| format!("name {n}"))))),
        ]);
        append(folder, vec![batch.unwrap()], &[]).await;
    }
}

fn copies(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn copies_are_read_and_reported() {
    let (folder, hot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let context = SessionContext::new();
    let kept = add_hot(&context, folder.path(), hot.path()).await;
    assert_eq!(copies(hot.path()).len(), 3);
    let (batches, reports) = run(&context, "SELECT name FROM hot WHERE id >= 120 AND name <> 'name 30'").await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 78);
    assert_eq!((reports[0].files_read, reports[0].files_hot), (2, 2));
    assert!(reports[0].bytes_read > 0);
    let shown = rows(&context, "EXPLAIN ANALYZE SELECT name FROM hot WHERE id >= 120").await;
    assert!(shown.contains("files_hot=2"), "{shown}");
    let usage = kept.usage();
    assert_eq!((usage.entries, usage.hits, usage.misses), (3, 4, 0));
    let bytes: u64 = copies(hot.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(usage.bytes, bytes);
}
