//! Deletion vectors of every shape under everything that leaves out rows: the answers are those of a table that never had
//! the hidden rows, from the file itself and from its copy.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    compute::filter_record_batch,
    util::display::array_value_to_string,
};
use datafusion::{
    datasource::{MemTable, TableProvider},
    prelude::{SessionConfig, SessionContext},
};
use deltalake::{DeltaTable, protocol::SaveMode};
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;
use url::Url;

use super::{
    add_hot, append,
    features::rewrite_log,
    open,
    random::Random,
    vectors::{file_of, give},
};

const ROWS: i64 = 24_000;
const ROW_GROUP_ROWS: i64 = 3_000;
const PAGE_ROWS: usize = 250;
const COLUMNS: [&str; 4] = ["id", "g", "s", "z"];

/// `z` divides only where the row is visible.
const QUERIES: [&str; 36] = [
    "SELECT count(*) FROM t",
    "SELECT * FROM t ORDER BY id",
    "SELECT count(s), sum(g), min(id), max(id), min(z) FROM t",
    "SELECT id FROM t WHERE id BETWEEN 5990 AND 6010 ORDER BY id",
    "SELECT id, s FROM t WHERE id < 300 ORDER BY id",
    "SELECT id, s FROM t WHERE id >= 23990 ORDER BY id",
    "SELECT count(*) FROM t WHERE id >= 3000 AND id < 12000",
    "SELECT s, id FROM t WHERE id IN (0, 1, 2999, 3000, 3001, 8999, 9000, 12345, 23999) ORDER BY id",
    "SELECT id, s FROM t WHERE id < 10 OR id BETWEEN 8990 AND 9010 OR id > 23900 ORDER BY id",
    "SELECT s FROM t WHERE g < 240 ORDER BY s",
    "SELECT id FROM t WHERE g = 17 OR g = 18 ORDER BY id",
    "SELECT sum(g) FROM t WHERE s IS NULL AND id > 20000",
    "SELECT count(*) FROM t WHERE s LIKE 'k1%' AND id < 7000",
    "SELECT s, count(*), sum(g) FROM t WHERE id % 3 = 0 GROUP BY s ORDER BY s",
    "SELECT sum(100 / z) FROM t",
    "SELECT id, 100 / z AS q FROM t WHERE id > 11000 ORDER BY id",
    "SELECT count(*) FROM t WHERE 100 / z > 5",
    "SELECT id FROM t WHERE id < 500 AND 100 / z > 5 ORDER BY id",
    "SELECT id FROM t WHERE g < 100 AND 100 / z > 5 ORDER BY id",
    "SELECT CAST(g AS VARCHAR) || s FROM t WHERE id BETWEEN 2000 AND 4000 ORDER BY 1",
    "SELECT id FROM t ORDER BY id LIMIT 10",
    "SELECT id, s FROM t ORDER BY id DESC LIMIT 7",
    "SELECT g, id FROM t ORDER BY g, id LIMIT 5",
    "SELECT g FROM t WHERE id > 100 ORDER BY g DESC LIMIT 5",
    "SELECT id FROM t ORDER BY id OFFSET 4000 LIMIT 20",
    "SELECT count(*), min(z) FROM (SELECT id, z FROM t LIMIT 1)",
    "SELECT count(*), count(DISTINCT id), min(z) FROM (SELECT id, z FROM t LIMIT 5000)",
    "SELECT count(*), min(z) FROM (SELECT * FROM t LIMIT 100000)",
    "SELECT count(*), min(z), min(id) >= 3000 FROM (SELECT id, z FROM t WHERE id >= 3000 LIMIT 100)",
    "SELECT count(*), min(z) FROM (SELECT z FROM t WHERE id >= 6000 AND id < 12000 LIMIT 2500)",
    "SELECT count(*) FROM (SELECT 1 FROM t LIMIT 700)",
    "SELECT t.id, s FROM (VALUES (1), (5999), (6000), (17000)) AS k JOIN t ON t.id = k.column1 ORDER BY 1",
    "SELECT t.id FROM (SELECT column1 AS c FROM (VALUES (10), (11), (12))) AS k JOIN t ON t.g = k.c ORDER BY 1",
    "SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.g WHERE b.id < 40 ORDER BY 1",
    "SELECT count(*) FROM t WHERE id > (SELECT avg(id) FROM t)",
    "SELECT id FROM t WHERE id > 30000",
];

/// What a vector hides of the large file.
fn shapes() -> Vec<(&'static str, Vec<i64>)> {
    let mut random = Random(0x5eed);
    let mut some = |once_in: usize| (0..ROWS).filter(|_| random.below(once_in) == 0).collect::<Vec<_>>();
    let (third, hundredth) = (some(3), some(100));
    let starts = some(2_000);
    vec![
        ("every second", (0..ROWS).step_by(2).collect()),
        ("every tenth", (0..ROWS).step_by(10).collect()),
        ("every thousandth", (999..ROWS).step_by(1000).collect()),
        ("the first", vec![0]),
        ("the last", vec![ROWS - 1]),
        ("one run over groups and pages", (7_001..9_123).collect()),
        ("whole groups", (ROW_GROUP_ROWS..3 * ROW_GROUP_ROWS).collect()),
        (
            "whole groups and single rows",
            (0..2 * ROW_GROUP_ROWS).chain((2 * ROW_GROUP_ROWS..ROWS).step_by(7)).collect(),
        ),
        ("long gaps among short ones", (0..ROWS).filter(|row| row % 5 == 1 || (row / 1_700) % 2 == 0).collect()),
        ("a third", third),
        ("a hundredth", hundredth),
        ("some runs", {
            let mut rows: Vec<i64> = starts.iter().flat_map(|start| *start..(*start + 300).min(ROWS)).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        }),
        ("all but one", (0..ROWS).filter(|row| *row != 13_131).collect()),
        ("all", (0..ROWS).collect()),
    ]
}

/// A column keeps its name or has another one in the files.
fn stored_name(name: &str, mapped: bool) -> String {
    if mapped { format!("stored-{name}") } else { name.to_owned() }
}

fn batch(ids: std::ops::Range<i64>, hidden: &RoaringTreemap, mapped: bool) -> RecordBatch {
    let ids: Vec<i64> = ids.collect();
    let number = |of: &dyn Fn(i64) -> i64| Arc::new(ids.iter().map(|id| of(*id)).collect::<Int64Array>()) as ArrayRef;
    let text = |id: &i64| (id % 11 != 5).then(|| format!("k{}", id % 37));
    let columns: [ArrayRef; 4] = [
        number(&|id| id),
        number(&|id| id * 7_919 % ROWS),
        Arc::new(ids.iter().map(text).collect::<StringArray>()),
        number(&|id| i64::from(!hidden.contains(id as u64))),
    ];
    RecordBatch::try_from_iter(COLUMNS.map(|name| stored_name(name, mapped)).into_iter().zip(columns)).unwrap()
}

/// A large file of many row groups and pages, of which a vector hides rows, and a small one without a vector. Returns the
/// rows that are left.
async fn write(folder: &Path, hidden: &[i64], mapped: bool) -> Vec<RecordBatch> {
    fs::create_dir_all(folder).unwrap();
    let hidden: RoaringTreemap = hidden.iter().map(|row| *row as u64).collect();
    let large = batch(0..ROWS, &hidden, mapped);
    let table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS as usize))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS);
    let write = table.write([large]).with_save_mode(SaveMode::Append).with_writer_properties(properties.build());
    write.await.unwrap();
    let (bytes, places) = file_of(std::slice::from_ref(&hidden));
    fs::write(folder.join("vectors"), bytes).unwrap();
    give(
        folder,
        0,
        &serde_json::json!({
            "storageType": "p", "pathOrInlineDv": Url::from_file_path(folder.join("vectors")).unwrap().to_string(),
            "offset": places[0].0, "sizeInBytes": places[0].1, "cardinality": hidden.len(),
        }),
    );
    append(folder, vec![batch(ROWS..ROWS + 500, &hidden, mapped)], &[]).await;
    if mapped {
        map_columns(folder);
    }
    let visible = (0..ROWS).map(|row| Some(!hidden.contains(row as u64))).collect();
    let large = filter_record_batch(&batch(0..ROWS, &hidden, false), &visible).unwrap();
    vec![large, batch(ROWS..ROWS + 500, &hidden, false)]
}

/// Tells the log that the columns have other names than their files say.
fn map_columns(folder: &Path) {
    let field = |(at, name): (usize, &&str)| {
        let kind = if *name == "s" { "string" } else { "long" };
        serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {
            "delta.columnMapping.id": at + 1, "delta.columnMapping.physicalName": stored_name(name, true)}})
    };
    let fields: Vec<_> = COLUMNS.iter().enumerate().map(field).collect();
    let schema = serde_json::json!({"type": "struct", "fields": fields}).to_string();
    rewrite_log(folder, |line| {
        let mut action: serde_json::Value = serde_json::from_str(&line).unwrap();
        if action["protocol"].is_object() {
            for features in ["readerFeatures", "writerFeatures"] {
                action["protocol"][features] = serde_json::json!(["deletionVectors", "columnMapping"]);
            }
        }
        if action["metaData"].is_object() {
            action["metaData"]["schemaString"] = schema.clone().into();
            action["metaData"]["configuration"] =
                serde_json::json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "4"});
        }
        action.to_string()
    });
}

fn sessions() -> [(&'static str, SessionContext); 3] {
    let session = |partitions, batch_rows, pushdown| {
        let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_rows);
        let mut config = config.set_bool("datafusion.execution.parquet.pushdown_filters", pushdown);
        config.options_mut().optimizer.repartition_file_min_size = 0;
        SessionContext::new_with_config(config)
    };
    [
        ("one stream", session(1, 8192, false)),
        ("split files, small batches", session(5, 700, false)),
        ("filters in the decoder", session(3, 1000, true)),
    ]
}

/// The rows of a query as text, in their order.
async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let batches = context.sql(sql).await.unwrap().collect().await.map_err(|error| error.to_string())?;
    let mut rows = vec![];
    for batch in batches {
        let text = |column: &ArrayRef, row| array_value_to_string(column, row).unwrap();
        let row = |row| batch.columns().iter().map(|column| text(column, row)).collect::<Vec<_>>().join(" ");
        rows.extend((0..batch.num_rows()).map(row));
    }
    Ok(rows)
}

/// The query with another table in the place of `t`.
fn of(table: &str, sql: &str) -> String {
    let (from, join) = (format!("FROM {table} AS t"), format!("JOIN {table} AS t"));
    let sql = sql.replace("FROM t", &from).replace("JOIN t", &join);
    sql.replace("AS t AS", "AS")
}

#[tokio::test]
async fn hidden_rows_are_never_seen_and_others_never_missed() {
    let mut faults = vec![];
    for (at, (shape, hidden)) in shapes().into_iter().enumerate() {
        let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let left = write(folder.path(), &hidden, at % 2 == 1).await;
        let memory = MemTable::try_new(left[0].schema(), vec![left]).unwrap();
        let memory: Arc<dyn TableProvider> = Arc::new(memory);
        for (turn, (about, context)) in sessions().into_iter().enumerate() {
            context.register_table("m", memory.clone()).unwrap();
            context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
            let _hot = add_hot(&context, folder.path(), copied.path()).await;
            // Each session asks its share: with the shapes they change places.
            for sql in QUERIES.iter().skip((at + turn) % 3).step_by(3) {
                let expected = answer(&context, &of("m", sql)).await;
                assert!(expected.is_ok(), "{sql}: {expected:?}");
                for sql in [of("t", sql), of("hot", sql)] {
                    let got = answer(&context, &sql).await;
                    if got != expected {
                        faults.push(format!("{shape}, {about}: {sql}\n{}", difference(&got, &expected)));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
}

/// Where they differ first.
fn difference(got: &Result<Vec<String>, String>, expected: &Result<Vec<String>, String>) -> String {
    let (Ok(got), Ok(expected)) = (got, expected) else { return format!("{got:?}") };
    let at = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
    let counts = format!("{} rows instead of {}", got.len(), expected.len());
    format!("{counts}, row {at}: {:?} instead of {:?}", got.get(at), expected.get(at))
}
