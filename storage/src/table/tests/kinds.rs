//! Files that are out of the ordinary, read from the original and from a copy: no rows, no statistics, deletion vectors
//! on both, columns found by their ids.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;

use super::{
    add_hot, append,
    features::{hide_rows_1_and_4, rewrite_log},
    open, rows, run,
};

/// The same answer from originals and copies: the rows, one a line, and how many files came from copies.
async fn both(folder: &Path, question: &str) -> (String, usize) {
    let copied = tempfile::tempdir().unwrap();
    let context = SessionContext::new();
    context.register_table("t", open(folder).await.provider().unwrap()).unwrap();
    let _hot = add_hot(&context, folder, copied.path()).await;
    let expected = rows(&context, &question.replace("{}", "t")).await;
    let question = question.replace("{}", "hot");
    assert_eq!(rows(&context, &question).await, expected, "{question}");
    (expected, run(&context, &question).await.1[0].files_hot)
}

/// The rows of a table of text.
fn body(table: &str) -> Vec<&str> {
    table.lines().skip(3).filter(|line| line.starts_with('|')).collect()
}

async fn six_rows(folder: &Path) {
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e", "f"]))),
    ]);
    append(folder, vec![batch.unwrap()], &[]).await;
}

/// Without the statistics of every file of the first commit.
fn forget_statistics(folder: &Path) {
    rewrite_log(folder, |line| {
        let Some(mut action) = serde_json::from_str::<serde_json::Value>(&line).ok().filter(|a| a["add"].is_object())
        else {
            return line;
        };
        action["add"].as_object_mut().unwrap().remove("stats");
        action.to_string()
    });
}

#[tokio::test]
async fn files_without_statistics_are_copied_too() {
    for hidden in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        six_rows(folder.path()).await;
        forget_statistics(folder.path());
        if hidden {
            hide_rows_1_and_4(folder.path());
        }
        let question = "SELECT id, name FROM {} WHERE id > 0 AND name <> 'd' ORDER BY id";
        let (found, hot) = both(folder.path(), question).await;
        assert_eq!((body(&found).len(), hot), (if hidden { 2 } else { 4 }, 1), "{found}");
        let (found, _) = both(folder.path(), "SELECT count(*) AS n FROM {}").await;
        assert_eq!(body(&found), [if hidden { "| 4 |" } else { "| 6 |" }]);
    }
}

/// Adds a data file of our own making.
fn add_file(folder: &Path, version: usize, name: &str, batch: &RecordBatch) {
    let file = fs::File::create(folder.join(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let size = fs::metadata(folder.join(name)).unwrap().len();
    let stats = format!(r#"{{\"numRecords\":{}}}"#, batch.num_rows());
    let add = format!(
        r#"{{"add":{{"path":"{name}","partitionValues":{{}},"size":{size},"modificationTime":0,"dataChange":true,"stats":"{stats}"}}}}"#
    );
    fs::write(folder.join(format!("_delta_log/{version:020}.json")), add).unwrap();
}

#[tokio::test]
async fn a_file_without_rows_is_read_and_gets_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    six_rows(folder.path()).await;
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
    add_file(folder.path(), 1, "empty.parquet", &RecordBatch::new_empty(Arc::new(schema)));
    let (found, hot) = both(folder.path(), "SELECT id FROM {} WHERE name >= 'a' ORDER BY id").await;
    assert_eq!((body(&found).len(), hot), (6, 1));
}

#[tokio::test]
async fn columns_are_found_by_their_ids_in_copies_too() {
    let folder = tempfile::tempdir().unwrap();
    six_rows(folder.path()).await;
    let column = |name: &str, kind: &str, id: usize| {
        let metadata = format!(r#""delta.columnMapping.id":{id},"delta.columnMapping.physicalName":"no-{name}""#);
        format!(r#"{{"name":"{name}","type":"{kind}","nullable":true,"metadata":{{{metadata}}}}}"#)
    };
    let columns = [column("id", "long", 1), column("name", "string", 2), column("later", "integer", 3)].join(",");
    let schema = format!(r#"{{"type":"struct","fields":[{columns}]}}"#).replace('"', "\\\"");
    rewrite_log(folder.path(), |line| match line {
        line if line.starts_with(r#"{"protocol""#) => {
            r#"{"protocol":{"minReaderVersion":2,"minWriterVersion":5}}"#.to_owned()
        }
        line if line.starts_with(r#"{"metaData""#) => format!(
            r#"{{"metaData":{{"id":"by-id","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{schema}","partitionColumns":[],"configuration":{{"delta.columnMapping.mode":"id","delta.columnMapping.maxColumnId":"3"}},"createdTime":0}}}}"#
        ),
        // The library's own file has no ids.
        line if line.starts_with(r#"{"add""#) => String::new(),
        line => line,
    });
    // The names are those of other columns: only the ids tell.
    let field = |name: &str, kind: DataType, id: usize| {
        Field::new(name, kind, true).with_metadata(HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]))
    };
    let fields = [("name", DataType::Int64, 1), ("later", DataType::Utf8, 2), ("id", DataType::Int32, 3)];
    let schema = Schema::new(fields.map(|(name, kind, id)| field(name, kind, id)).to_vec());
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![10, 20])),
        Arc::new(StringArray::from(vec!["x", "y"])),
        Arc::new(Int32Array::from(vec![7, 8])),
    ];
    add_file(folder.path(), 1, "ours.parquet", &RecordBatch::try_new(Arc::new(schema), arrays).unwrap());
    let (found, hot) =
        both(folder.path(), "SELECT id, name, later FROM {} WHERE id > 10 OR name = 'x' ORDER BY id").await;
    assert_eq!((body(&found), hot), (vec!["| 10 | x    | 7     |", "| 20 | y    | 8     |"], 1));
}
