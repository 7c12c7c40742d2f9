//! A table whose columns became wider: old files keep their types, and their statistics.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::*,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion::{datasource::MemTable, prelude::SessionContext};

use super::{add_hot, append, open, rows, run};

/// Name, type of the old file, type of the table, for every change that the protocol allows.
fn columns() -> Vec<(&'static str, DataType, DataType)> {
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    vec![
        ("byte_int", DataType::Int8, DataType::Int32),
        ("short_long", DataType::Int16, DataType::Int64),
        ("int_long", DataType::Int32, DataType::Int64),
        ("float_double", DataType::Float32, DataType::Float64),
        ("byte_double", DataType::Int8, DataType::Float64),
        ("int_double", DataType::Int32, DataType::Float64),
        ("int_decimal", DataType::Int32, DataType::Decimal128(12, 2)),
        ("long_decimal", DataType::Int64, DataType::Decimal128(21, 1)),
        ("precision", DataType::Decimal128(5, 2), DataType::Decimal128(20, 2)),
        ("scale", DataType::Decimal128(5, 2), DataType::Decimal128(9, 4)),
        ("date_local", DataType::Date32, local),
        ("part", DataType::Int32, DataType::Int64),
    ]
}

/// Rows 0 to 4 in the narrow types, or 5 to 9 in the wide ones; every fifth row is NULL.
fn batch(wide: bool) -> RecordBatch {
    let numbers: Int64Array =
        (0..5).map(|row| (row != 3).then_some(if wide { row + 5 } else { row })).collect::<Int64Array>();
    let numbers: ArrayRef = Arc::new(numbers);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(if wide { 5..10 } else { 0..5 }));
    let mut made = vec![("id", ids)];
    for (name, old, new) in columns() {
        let kind = if wide { &new } else { &old };
        let values = match kind {
            DataType::Date32 => cast(&cast(&numbers, &DataType::Int32).unwrap(), kind).unwrap(),
            DataType::Timestamp(_, _) => {
                let days = cast(&cast(&numbers, &DataType::Int32).unwrap(), &DataType::Date32).unwrap();
                cast(&days, kind).unwrap()
            }
            kind => cast(&numbers, kind).unwrap(),
        };
        made.push((name, values));
    }
    RecordBatch::try_from_iter(made).unwrap()
}

fn commit(folder: &Path, version: usize) -> std::path::PathBuf {
    folder.join(format!("_delta_log/{version:020}.json"))
}

/// Version 0 has the narrow file; version 1 widens the columns and adds the wide file.
pub(super) async fn widened(folder: &Path, partition_columns: &[&str]) -> SchemaRef {
    let (narrow, wide) = (batch(false), batch(true));
    append(folder, vec![narrow], partition_columns).await;
    let other = tempfile::tempdir().unwrap();
    append(other.path(), vec![wide.clone()], partition_columns).await;
    copy_data(other.path(), folder);
    let log = fs::read_to_string(commit(other.path(), 0)).unwrap();
    let features =
        r#""readerFeatures":["typeWidening","timestampNtz"],"writerFeatures":["typeWidening","timestampNtz"]"#;
    let mut lines = vec![format!(r#"{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,{features}}}}}"#)];
    lines.extend(log.lines().filter(|line| !line.starts_with(r#"{"protocol""#)).map(str::to_owned));
    fs::write(commit(folder, 1), lines.join("\n")).unwrap();
    wide.schema()
}

fn copy_data(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_name() == "_delta_log" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_data(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Without the names of the columns, which hold the table's and make the columns wide.
fn body(table: &str) -> Vec<String> {
    table.lines().skip(3).filter(|line| line.starts_with('|')).map(|line| line.replace(' ', "")).collect()
}

#[tokio::test]
async fn old_files_are_read_in_the_types_of_the_table() {
    for partition_columns in [&[][..], &["part"]] {
        let folder = tempfile::tempdir().unwrap();
        let schema = widened(folder.path(), partition_columns).await;
        let context = SessionContext::new();
        let snapshot = open(folder.path()).await;
        context.register_table("t", snapshot.provider().unwrap()).unwrap();
        let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let all: Vec<RecordBatch> = [batch(false), batch(true)]
            .iter()
            .map(|batch| {
                let columns = batch.columns().iter().zip(schema.fields());
                let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
                RecordBatch::try_new(schema.clone(), columns).unwrap()
            })
            .collect();
        context.register_table("m", Arc::new(MemTable::try_new(schema.clone(), vec![all]).unwrap())).unwrap();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut questions = vec![format!("SELECT {} FROM {{}} ORDER BY id", names.join(", "))];
        for (name, _, kind) in columns() {
            let value = |n: i64| match kind {
                DataType::Timestamp(_, _) => format!("TIMESTAMP '1970-01-0{}'", n + 1),
                _ => n.to_string(),
            };
            for filter in [
                format!("{name} = {}", value(2)),
                format!("{name} > {}", value(1)),
                format!("{name} < {}", value(7)),
                format!("{name} IN ({}, {})", value(4), value(6)),
                format!("{name} IS NULL"),
            ] {
                questions.push(format!("SELECT id FROM {{}} WHERE {filter} ORDER BY id"));
            }
            questions.push(format!("SELECT min({name}), max({name}), count({name}) FROM {{}}"));
            questions.push(format!("SELECT a.id FROM {{}} AS a JOIN {{}} AS b ON a.{name} = b.{name} ORDER BY a.id"));
        }
        let copied = tempfile::tempdir().unwrap();
        let _hot = add_hot(&context, folder.path(), copied.path()).await;
        let (_, reports) = run(&context, &questions[0].replace("{}", "hot")).await;
        assert_eq!(reports[0].files_hot, reports[0].files_read);
        for question in questions {
            let expected = rows(&context, &question.replace("{}", "m")).await;
            for table in ["t", "hot"] {
                let got = rows(&context, &question.replace("{}", table)).await;
                assert_eq!(body(&got), body(&expected), "{table}: {question}");
            }
        }
    }
}
