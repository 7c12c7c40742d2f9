//! Random tables and random filters: leaving out files must never change the rows.

use std::{path::Path, sync::Arc};

use arrow::{
    array::*,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    util::pretty::pretty_format_batches,
};
use datafusion::{datasource::MemTable, prelude::SessionContext};

use super::{add_hot, append, rows, run, session};

const TABLES: u64 = 6;
const FILTERS_PER_TABLE: usize = 24;

/// A small generator whose seed is printed, so that a failure can be repeated.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("tiny", DataType::Int8),
        ("small", DataType::Int16),
        ("int", DataType::Int32),
        ("big", DataType::Int64),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("flag", DataType::Boolean),
        ("name", DataType::Utf8),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("local", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("price", DataType::Decimal128(10, 2)),
        ("huge", DataType::Decimal128(38, 6)),
    ]
}

/// One value as SQL text, near the `base` of its file so that files differ. `None` is NULL.
fn value(random: &mut Random, kind: &DataType, base: usize) -> Option<String> {
    if random.below(6) == 0 {
        return None;
    }
    let n = (base * 3 + random.below(5)) as i64 - 12;
    let micros = *random.pick(&["000000", "123000", "123001", "999999", "000999"]);
    let text = match kind {
        DataType::Float32 | DataType::Float64 => match random.below(12) {
            0 => "'NaN'".into(),
            1 => "'-0.0'".into(),
            2 => "'inf'".into(),
            _ => format!("{n}.5"),
        },
        DataType::Boolean => (n % 2 == 0).to_string(),
        DataType::Utf8 => match random.below(4) {
            0 => format!("'{}{n}'", "long common beginning of a text, ".repeat(1 + random.below(2))),
            1 => "'a b/c=d%20ü:'".into(),
            _ => format!("'k{n:+03}'"),
        },
        DataType::Date32 => format!("'{}-0{}-11'", 1970 + n, 1 + random.below(9)),
        DataType::Timestamp(_, None) => format!("'{}-01-02T03:04:05.{micros}'", 1970 + n / 2),
        DataType::Timestamp(_, _) => format!("'{}-01-02T03:04:05.{micros}Z'", 1970 + n / 2),
        DataType::Decimal128(38, _) => format!("'{n}23456789012345678901234567.{micros}'"),
        DataType::Decimal128(_, _) => format!("'{n}.25'"),
        _ => n.to_string(),
    };
    Some(text)
}

fn typed(text: Option<&str>, kind: &DataType) -> String {
    let name = match kind {
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map_or("None".into(), |zone| format!("Some(\"{zone}\")"));
            return format!("arrow_cast({}, 'Timestamp(Microsecond, {zone})')", text.unwrap_or("NULL"));
        }
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        _ => "VARCHAR".to_owned(),
    };
    format!("CAST({} AS {name})", text.unwrap_or("NULL"))
}

/// One file's rows: `id` and all the columns.
async fn batch(
    random: &mut Random,
    context: &SessionContext,
    schema: &SchemaRef,
    first: usize,
    base: usize,
) -> RecordBatch {
    let count = 1 + random.below(8);
    let texts: Vec<Vec<Option<String>>> =
        (0..count).map(|_| columns().iter().map(|(_, kind)| value(random, kind, base)).collect()).collect();
    let mut arrays: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values((first..first + count).map(|id| id as i64)))];
    for (at, (_, kind)) in columns().iter().enumerate() {
        let list: Vec<String> = texts.iter().map(|row| typed(row[at].as_deref(), kind)).collect();
        let sql = format!(
            "SELECT {}",
            list.iter().enumerate().map(|(i, v)| format!("{v} AS c{i}")).collect::<Vec<_>>().join(", ")
        );
        let values = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let cells: Vec<ArrayRef> = values[0].columns().iter().map(|c| arrow::compute::cast(c, kind).unwrap()).collect();
        let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
        arrays.push(arrow::compute::concat(&cells).unwrap());
    }
    RecordBatch::try_new(schema.clone(), arrays).unwrap()
}

fn filter(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.below(3) > 0 {
        let (left, right) = (filter(random, depth - 1), filter(random, depth - 1));
        return match random.below(5) {
            0 | 1 => format!("({left} AND {right})"),
            2 | 3 => format!("({left} OR {right})"),
            _ => format!("NOT ({left})"),
        };
    }
    let all = columns();
    let (name, kind) = random.pick(&all);
    let base = random.below(6);
    let literal = |random: &mut Random| loop {
        if let Some(text) = value(random, kind, base) {
            return typed(Some(&text), kind);
        }
    };
    match random.below(9) {
        0 => format!("{name} IS NULL"),
        1 => format!("{name} IS NOT NULL"),
        2 => format!("{name} IN ({}, {}, {})", literal(random), literal(random), literal(random)),
        3 => format!("{name} NOT IN ({}, {})", literal(random), literal(random)),
        4 => format!("{name} BETWEEN {} AND {}", literal(random), literal(random)),
        5 if kind == &DataType::Utf8 => {
            format!("{name} LIKE '{}%'", random.pick(&["k+", "k-0", "long common", "a b/c=d"]))
        }
        _ => format!("{name} {} {}", random.pick(&["=", "<>", "<", "<=", ">", ">="]), literal(random)),
    }
}

/// Writes a random table of a few files and the same rows in memory.
async fn table(random: &mut Random, folder: &Path, partition_columns: &[&str]) -> SessionContext {
    let plain = SessionContext::new();
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    fields.extend(columns().into_iter().map(|(name, kind)| Field::new(name, kind, true)));
    let schema = Arc::new(Schema::new(fields));
    let mut batches = vec![];
    let mut first = 0;
    for base in 0..5 {
        let batch = batch(random, &plain, &schema, first, base).await;
        first += batch.num_rows();
        append(folder, vec![batch.clone()], partition_columns).await;
        batches.push(batch);
    }
    let context = session(folder).await;
    if random.below(2) == 0 {
        context.sql("SET datafusion.execution.parquet.pushdown_filters = true").await.unwrap();
    }
    let memory = MemTable::try_new(schema, vec![batches]).unwrap();
    context.register_table("memory", Arc::new(memory)).unwrap();
    context
}

#[tokio::test]
async fn leaving_out_files_never_changes_the_rows() {
    let partitionings: [&[&str]; 6] =
        [&[], &["name"], &["day", "int"], &["at"], &["price", "flag"], &["local", "huge"]];
    for seed in 1..=TABLES {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let folder = tempfile::tempdir().unwrap();
        let partition_columns = partitionings[seed as usize % partitionings.len()];
        let context = table(&mut random, folder.path(), partition_columns).await;
        let copies = tempfile::tempdir().unwrap();
        add_hot(&context, folder.path(), copies.path()).await;
        let mut read_hot = 0;
        for _ in 0..FILTERS_PER_TABLE {
            let filter = filter(&mut random, 2);
            let got = rows(&context, &format!("SELECT id FROM t WHERE {filter} ORDER BY id")).await;
            let expected = rows(&context, &format!("SELECT id FROM memory WHERE {filter} ORDER BY id")).await;
            assert_eq!(got, expected, "seed {seed}, partitioned by {partition_columns:?}, WHERE {filter}");
            let sql = format!("SELECT id FROM hot WHERE {filter} ORDER BY id");
            println!("seed {seed}: {sql}");
            let (found, reports) = run(&context, &sql).await;
            let found = pretty_format_batches(&found).unwrap().to_string();
            assert_eq!(found, expected, "copies, seed {seed}, partitioned by {partition_columns:?}, WHERE {filter}");
            assert!(reports.iter().all(|report| report.files_hot <= report.files_read));
            read_hot += reports.iter().map(|report| report.files_hot).sum::<usize>();
        }
        assert!(read_hot > 0, "seed {seed}: no copy was read");
        let columns = columns().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        for question in [
            format!("SELECT id, {columns} FROM {{}} ORDER BY id"),
            "SELECT count(*) AS a, count(name) AS b, min(int) AS c, max(int) AS d, min(day) AS e, max(big) AS f, \
             min(price) AS g, max(at) AS h, min(name) AS i, max(huge) AS j, max(double) AS k FROM {}"
                .into(),
        ] {
            let got = rows(&context, &question.replace("{}", "t")).await;
            let expected = rows(&context, &question.replace("{}", "memory")).await;
            assert_eq!(got, expected, "seed {seed}, {question}");
            assert_eq!(
                rows(&context, &question.replace("{}", "hot")).await,
                expected,
                "copies, seed {seed}, {question}"
            );
        }
    }
}
