//! What joins find out is decided while copies are read: the rows are those of the originals.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    physical_plan::{ExecutionPlan, collect},
    prelude::SessionContext,
};

use super::{add_hot, append, features, open, rows, run};

const FILES: i64 = 3;
const ROWS_PER_FILE: i64 = 2_000;

/// Rows of three files; every key column but `id` has NULLs in some file only.
async fn sales(folder: &Path) {
    for file in 0..FILES {
        let ids = file * ROWS_PER_FILE..(file + 1) * ROWS_PER_FILE;
        let unless = |id: i64, every: i64| file == 0 || id % every != 0;
        let numbers = |every, modulo| ids.clone().map(move |id| unless(id, every).then_some(id as i32 % modulo));
        let words = ids.clone().map(|id| unless(id, 7).then(|| format!("w{}", id % 499)));
        let batch = RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids.clone().map(|id| id * 7919 % 6007))) as ArrayRef, true),
            ("shop", Arc::new(Int32Array::from_iter(numbers(5, 701))), true),
            ("word", Arc::new(StringArray::from_iter(words)), true),
            ("day", Arc::new(Date32Array::from_iter(numbers(11, 900))), true),
            ("x", Arc::new(Int64Array::from_iter_values(ids.clone())), true),
        ]);
        append(folder, vec![batch.unwrap()], &[]).await;
    }
}

/// The table as `t`, and as `hot` over copies of all its files; `keys` are more than a list of values would hold.
async fn both(folder: &Path, copies: &Path) -> SessionContext {
    let context = SessionContext::new();
    context.register_table("t", open(folder).await.provider().unwrap()).unwrap();
    add_hot(&context, folder, copies).await;
    let keys = "CREATE TABLE keys AS SELECT value * 13 AS id, CAST(value AS INT) AS shop, 'w' || value AS word,
        CAST(CAST(value AS INT) AS DATE) AS day FROM generate_series(100, 419) AS made(value)
        UNION ALL SELECT NULL, NULL, NULL, NULL";
    context.sql(keys).await.unwrap().collect().await.unwrap();
    context
}

#[tokio::test]
async fn joins_over_copies_give_the_rows_of_the_originals() {
    let folder = tempfile::tempdir().unwrap();
    sales(folder.path()).await;
    for hidden in [false, true] {
        if hidden {
            features::hide_rows_1_and_4(folder.path());
        }
        let copies = tempfile::tempdir().unwrap();
        let context = both(folder.path(), copies.path()).await;
        for on in [
            "keys.id = s.id",
            "keys.shop = s.shop",
            "keys.word = s.word",
            "keys.day = s.day",
            "keys.id = s.x AND keys.shop = s.shop",
            "keys.shop = s.shop AND keys.word = s.word",
            "keys.shop IS NOT DISTINCT FROM s.shop",
        ] {
            for shape in [
                "SELECT x, s.word FROM keys JOIN {s} AS s ON {on}",
                "SELECT x, keys.id FROM keys LEFT JOIN {s} AS s ON {on}",
                "SELECT x, keys.id FROM keys RIGHT JOIN {s} AS s ON {on}",
                "SELECT x FROM {s} AS s WHERE EXISTS (SELECT 1 FROM keys WHERE {on})",
                "SELECT x FROM {s} AS s WHERE NOT EXISTS (SELECT 1 FROM keys WHERE {on})",
                "SELECT x FROM {s} AS s WHERE shop NOT IN (SELECT shop FROM keys WHERE shop > 200) AND x % 2 = 0",
                "SELECT shop FROM {s} AS s ORDER BY shop DESC NULLS FIRST LIMIT 1500",
                "SELECT id FROM keys WHERE EXISTS (SELECT 1 FROM {s} AS s WHERE {on})",
                "SELECT x, day FROM {s} AS s WHERE x % 3 = 1 AND day < '1970-09-01' AND EXISTS (SELECT 1 FROM keys WHERE {on})",
            ] {
                let sql = |table| shape.replace("{s}", table).replace("{on}", on);
                let (found, reports) = run(&context, &sql("hot")).await;
                let expected = sorted(&rows(&context, &sql("t")).await);
                assert_eq!(sorted(&pretty_format_batches(&found).unwrap().to_string()), expected, "{}", sql("hot"));
                assert_eq!(reports.iter().map(|report| report.files_hot).max(), Some(3), "{}", sql("hot"));
            }
        }
    }
}

fn sorted(table: &str) -> Vec<String> {
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn rows_that_a_join_does_not_want_stay_in_their_copies() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sales(folder.path()).await;
    let context = both(folder.path(), copies.path()).await;
    for on in ["keys.id = s.id", "keys.word = s.word"] {
        let sql = format!("SELECT x FROM keys JOIN hot AS s ON {on}");
        let wanted: usize = run(&context, &sql.replace("hot", "t")).await.0.iter().map(RecordBatch::num_rows).sum();
        assert!((200..4_000).contains(&wanted), "{wanted}");
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let found = collect(plan.clone(), context.task_ctx()).await.unwrap();
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), wanted, "{sql}");
        assert_eq!(rows_of_copies(plan.as_ref()), wanted, "{sql}");
    }
}

/// Rows that came up from the scan of the copies.
fn rows_of_copies(plan: &dyn ExecutionPlan) -> usize {
    let metrics = plan.metrics().unwrap_or_default();
    let read = metrics.sum_by_name("files_hot").and_then(|_| metrics.output_rows());
    read.unwrap_or(0) + plan.children().iter().map(|input| rows_of_copies(input.as_ref())).sum::<usize>()
}
