//! Rows with their addresses: whatever a scan leaves out, each row has the number that it has in its file.

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::{physical_plan::collect, prelude::SessionContext};
use deltalake::{DeltaTable, protocol::SaveMode};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    file::properties::{EnabledStatistics, WriterProperties},
};
use roaring::RoaringBitmap;
use url::Url;

use super::{features::hide_rows_1_and_4, location, open, random::Random};
use crate::Snapshot;

const TABLES: u64 = 4;
const FILTERS: usize = 12;
/// Bigger than a batch of a scan with `batch_size`.
const ROWS_PER_FILE: usize = 90;

/// Files of several row groups, of several pages each. `id` counts the rows of the table, `n` rises in each file.
async fn write(random: &mut Random, folder: &Path, partition_columns: &[&str]) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(23))
        .set_data_page_row_count_limit(5)
        .set_write_batch_size(5)
        .set_statistics_enabled(EnabledStatistics::Page)
        .build();
    for file in 0..3 {
        let ids = (0..ROWS_PER_FILE).map(|row| (file * ROWS_PER_FILE + row) as i64);
        let n = (0..ROWS_PER_FILE).map(|row| (random.below(4) != 0).then_some(row as i64)).collect::<Vec<_>>();
        let names = (0..ROWS_PER_FILE).map(|_| format!("name {}", random.below(7))).collect::<Vec<_>>();
        let parts = (0..ROWS_PER_FILE).map(|_| ["x y", "a/b=c%"][random.below(2)]).collect::<Vec<_>>();
        let batch = RecordBatch::try_from_iter(vec![
            ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
            ("n", Arc::new(Int64Array::from_iter(n)) as _),
            ("flag", Arc::new(BooleanArray::from_iter((0..ROWS_PER_FILE).map(|row| Some(row % 3 == 0)))) as _),
            ("name", Arc::new(StringArray::from(names)) as _),
            ("p", Arc::new(StringArray::from(parts)) as _),
        ]);
        std::fs::create_dir_all(folder).unwrap();
        let table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
        let write = table.write([batch.unwrap()]).with_save_mode(SaveMode::Append);
        let write = write.with_writer_properties(properties.clone());
        write.with_partition_columns(partition_columns.iter().copied()).await.unwrap();
    }
}

/// For each file of the index the values of `id` in the order of the file, hidden rows included.
fn stored_ids(snapshot: &Snapshot) -> Vec<Vec<i64>> {
    let index = snapshot.files().unwrap();
    let ids = |file: usize| {
        let path = location::resolve(snapshot.location(), index.path(file)).unwrap().path;
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(format!("/{path}")).unwrap()).unwrap();
        let batches = reader.build().unwrap().map(|batch| batch.unwrap());
        let ids = |batch: RecordBatch| {
            let ids = cast(batch.column_by_name("id").unwrap(), &DataType::Int64).unwrap();
            ids.as_primitive::<Int64Type>().values().to_vec()
        };
        batches.flat_map(ids).collect()
    };
    (0..index.len()).map(ids).collect()
}

fn filter(random: &mut Random) -> String {
    let n = random.below(ROWS_PER_FILE);
    let id = random.below(3 * ROWS_PER_FILE);
    random
        .pick(&[
            format!("n > {n}"),
            format!("n BETWEEN {n} AND {}", n + 4),
            format!("id IN ({id}, {}, {})", id + 30, id + 100),
            format!("name = 'name {}' AND n < {n}", n % 7),
            format!("flag AND id >= {id}"),
            "p = 'x y'".to_owned(),
            format!("p = 'a/b=c%' AND n = {n}"),
            "n IS NULL".to_owned(),
            "true".to_owned(),
        ])
        .clone()
}

async fn numbers(context: &SessionContext, sql: &str) -> Vec<Vec<i64>> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let rows = |batch: &RecordBatch| {
        let columns: Vec<Int64Array> =
            batch.columns().iter().map(|column| column.as_primitive::<Int64Type>().clone()).collect();
        (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row)).collect()).collect::<Vec<Vec<i64>>>()
    };
    batches.iter().flat_map(rows).collect()
}

#[tokio::test]
async fn an_address_is_where_the_row_lies_whatever_is_left_out() {
    let (mut found, mut asked) = (0, 0);
    for seed in 1..=TABLES {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let folder = tempfile::tempdir().unwrap();
        let partition_columns: &[&str] = if seed % 2 == 0 { &["p"] } else { &[] };
        write(&mut random, folder.path(), partition_columns).await;
        if seed > 2 {
            hide_rows_1_and_4(folder.path());
        }
        let snapshot = open(folder.path()).await;
        let stored = stored_ids(&snapshot);
        for pushdown in ["true", "false"] {
            let context = SessionContext::new();
            for (setting, value) in
                [("parquet.pushdown_filters", pushdown), ("batch_size", "16"), ("target_partitions", "3")]
            {
                context.sql(&format!("SET datafusion.execution.{setting} = {value}")).await.unwrap();
            }
            context.sql("SET datafusion.optimizer.repartition_file_min_size = 1").await.unwrap();
            let addressed = snapshot.addressed().unwrap();
            let (file, row) = (addressed.file_column().to_owned(), addressed.row_column().to_owned());
            context.register_table("a", addressed.provider()).unwrap();
            context.register_table("t", snapshot.provider().unwrap()).unwrap();
            for _ in 0..FILTERS {
                let filter = filter(&mut random);
                let about = format!("seed {seed}, pushdown {pushdown}, WHERE {filter}");
                let rows = numbers(&context, &format!("SELECT id, {file}, {row} FROM a WHERE {filter}")).await;
                asked += 1;
                found += rows.len();
                for row in &rows {
                    assert_eq!(stored[row[1] as usize][row[2] as usize], row[0], "{about}: {row:?}");
                }
                let alone = numbers(&context, &format!("SELECT {file}, {row} FROM a WHERE {filter}")).await;
                let mut ids: Vec<i64> = alone.iter().map(|row| stored[row[0] as usize][row[1] as usize]).collect();
                ids.sort_unstable();
                let expected = numbers(&context, &format!("SELECT id FROM t WHERE {filter} ORDER BY id")).await;
                assert_eq!(ids, expected.concat(), "{about}");
            }
        }
    }
    assert!(found > asked, "the filters find hardly any row");
}

#[tokio::test]
async fn survivors_are_all_visible_rows_but_those_that_go() {
    for seed in 1..=TABLES {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let folder = tempfile::tempdir().unwrap();
        write(&mut random, folder.path(), &[]).await;
        if seed % 2 == 0 {
            hide_rows_1_and_4(folder.path());
        }
        let snapshot = open(folder.path()).await;
        let stored = stored_ids(&snapshot);
        let mut gone = BTreeMap::new();
        for (file, ids) in stored.iter().enumerate().take(2) {
            let rows = (0..ids.len() as u32).filter(|_| random.below(3) == 0);
            gone.insert(file, RoaringBitmap::from_iter(rows));
        }
        let context = SessionContext::new();
        let plan = snapshot.survivors(&context.state(), &gone).await.unwrap();
        assert_eq!(plan.schema(), snapshot.schema());
        let batches = collect(plan, context.task_ctx()).await.unwrap();
        let ids = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        let mut left: Vec<i64> = batches.iter().flat_map(ids).collect();
        left.sort_unstable();
        context.register_table("t", snapshot.provider().unwrap()).unwrap();
        let visible = numbers(&context, "SELECT id FROM t ORDER BY id").await.concat();
        let goes = |id: &i64| {
            gone.iter().any(|(file, rows)| rows.iter().any(|row| stored[*file][row as usize] == *id))
                || stored[2].contains(id)
        };
        assert_eq!(left, visible.into_iter().filter(|id| !goes(id)).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_row_is_described_by_its_values() {
    let folder = tempfile::tempdir().unwrap();
    write(&mut Random(7), folder.path(), &[]).await;
    let snapshot = open(folder.path()).await;
    let (context, id) = (SessionContext::new(), stored_ids(&snapshot)[1][40]);
    let described = snapshot.describe_row(&context.state(), 1, 40).await.unwrap();
    assert!(described.starts_with(&format!("id = {id}, n = ")), "{described}");
    assert_eq!(snapshot.count_rows(&context.state(), 1).await.unwrap(), ROWS_PER_FILE as u64);
}
