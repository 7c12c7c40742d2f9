//! Tables that only other engines write: deletion vectors, column mapping. Their logs are made from plain ones.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray},
    datatypes::{DataType, Field, Int64Type},
    util::pretty::pretty_format_batches,
};

use super::{add_hot, append, rows, run, session};

/// The bitmap of the rows 1 and 4, as Delta writes it into the log.
const ROWS_1_AND_4: &str = "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0rrl5";

pub(super) fn rewrite_log(folder: &Path, change: impl Fn(String) -> String) {
    let file = folder.join("_delta_log/00000000000000000000.json");
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(|line| change(line.to_owned())).collect();
    fs::write(file, lines.join("\n")).unwrap();
}

/// Six rows, of which the second and the fifth are deleted.
async fn with_deletion_vector(folder: &Path) {
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e", "f"]))),
    ]);
    append(folder, vec![batch.unwrap()], &[]).await;
    hide_rows_1_and_4(folder);
}

/// Gives every file of the first commit a deletion vector.
pub(super) fn hide_rows_1_and_4(folder: &Path) {
    rewrite_log(folder, |line| {
        if line.starts_with(r#"{"protocol""#) {
            let features = r#""readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]"#;
            return format!(r#"{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,{features}}}}}"#);
        }
        let vector = format!(
            r#""deletionVector":{{"storageType":"i","pathOrInlineDv":"{ROWS_1_AND_4}","sizeInBytes":36,"cardinality":2}}"#
        );
        line.replacen(r#"{"add":{"#, &format!(r#"{{"add":{{{vector},"#), 1)
    });
}

#[tokio::test]
async fn deleted_rows_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    with_deletion_vector(folder.path()).await;
    let context = session(folder.path()).await;
    let copies = tempfile::tempdir().unwrap();
    add_hot(&context, folder.path(), copies.path()).await;
    for (table, hot) in [("t", 0), ("t", 0), ("hot", 1)] {
        let (batches, reports) = run(&context, &format!("SELECT id FROM {table} ORDER BY id")).await;
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values(), &[0, 2, 3, 5]);
        assert_eq!(reports[0].files_hot, hot);
    }
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM t", "4"),
        ("SELECT max(id) AS n FROM t WHERE name < 'f'", "3"),
        ("SELECT count(*) AS n FROM t WHERE id = 1", "0"),
        ("SELECT count(*) AS n FROM t WHERE id >= 0 AND id < 5", "3"),
        ("SELECT count(*) AS n FROM (SELECT id FROM t LIMIT 5)", "4"),
        ("SELECT count(*) AS n FROM (SELECT id FROM t LIMIT 3)", "3"),
    ] {
        for sql in [sql.to_owned(), sql.replace("FROM t", "FROM hot")] {
            let found = rows(&context, &sql).await;
            assert_eq!(found, format!("+---+\n| n |\n+---+\n| {expected} |\n+---+"), "{sql}");
        }
    }
}

#[tokio::test]
async fn bounds_of_deleted_rows_answer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    with_deletion_vector(folder.path()).await;
    let context = session(folder.path()).await;
    let plan = rows(&context, "EXPLAIN SELECT min(id) FROM t").await;
    assert!(plan.contains("DataSourceExec"), "{plan}");
    for sql in ["SELECT count(*) FROM t", "SELECT count(id), count(name) FROM t"] {
        let plan = rows(&context, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.contains("DataSourceExec"), "{plan}");
    }
}

/// `id`, `who STRUCT<name, tags ARRAY<STRUCT<tag>>>`, partition column `p`: under other names in the file.
async fn with_column_mapping(folder: &Path) {
    let tags = StructArray::from(vec![(
        Arc::new(Field::new("c-4", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec!["x", "y", "z"])) as ArrayRef,
    )]);
    let item = Arc::new(Field::new("element", tags.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 1, 3].into());
    let lists = ListArray::new(item, offsets, Arc::new(tags), None);
    let who = StructArray::from(vec![
        (
            Arc::new(Field::new("c-3", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec!["ann", "bob"])) as ArrayRef,
        ),
        (Arc::new(Field::new("tags", lists.data_type().clone(), true)), Arc::new(lists) as ArrayRef),
    ]);
    let batch = RecordBatch::try_from_iter(vec![
        ("c-1", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("c-2", Arc::new(who)),
        ("c-5", Arc::new(StringArray::from(vec!["u", "u"]))),
        // A column that was dropped; the table's `id` must not be taken from it.
        ("id", Arc::new(Int64Array::from(vec![100, 200]))),
    ]);
    append(folder, vec![batch.unwrap()], &["c-5"]).await;
    let named = |name: &str, kind: &str, id: usize, stored: &str| {
        format!(
            r#"{{"name":"{name}","type":{kind},"nullable":true,"metadata":{{"delta.columnMapping.id":{id},"delta.columnMapping.physicalName":"{stored}"}}}}"#
        )
    };
    let tag = format!(r#"{{"type":"struct","fields":[{}]}}"#, named("tag", r#""string""#, 4, "c-4"));
    let tags = format!(r#"{{"type":"array","elementType":{tag},"containsNull":true}}"#);
    let inner = [named("name", r#""string""#, 3, "c-3"), named("tags", &tags, 6, "tags")].join(",");
    let who = format!(r#"{{"type":"struct","fields":[{inner}]}}"#);
    let fields = [
        named("p", r#""string""#, 5, "c-5"),
        named("id", r#""long""#, 1, "c-1"),
        named("who", &who, 2, "c-2"),
        named("later", r#""long""#, 7, "c-7"),
    ];
    let schema = format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","));
    let metadata = format!(
        r#"{{"metaData":{{"id":"x","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{}","partitionColumns":["p"],"configuration":{{"delta.columnMapping.mode":"name","delta.columnMapping.maxColumnId":"7"}},"createdTime":0}}}}"#,
        schema.replace('"', "\\\"")
    );
    rewrite_log(folder, |line| match line {
        line if line.starts_with(r#"{"protocol""#) => {
            r#"{"protocol":{"minReaderVersion":2,"minWriterVersion":5}}"#.to_owned()
        }
        line if line.starts_with(r#"{"metaData""#) => metadata.clone(),
        line => line,
    });
}

#[tokio::test]
async fn mapped_columns_are_read_by_their_stored_names() {
    let folder = tempfile::tempdir().unwrap();
    with_column_mapping(folder.path()).await;
    let context = session(folder.path()).await;
    let copies = tempfile::tempdir().unwrap();
    add_hot(&context, folder.path(), copies.path()).await;
    let expected = [
        "+---+----+------------------------------------------+-------+",
        "| p | id | who                                      | later |",
        "+---+----+------------------------------------------+-------+",
        "| u | 1  | {name: ann, tags: [{tag: x}]}            |       |",
        "| u | 2  | {name: bob, tags: [{tag: y}, {tag: z}]}  |       |",
        "+---+----+------------------------------------------+-------+",
    ];
    for (table, hot) in [("t", 0), ("hot", 1)] {
        let (found, reports) = run(&context, &format!("SELECT * FROM {table} ORDER BY id")).await;
        let found = pretty_format_batches(&found).unwrap().to_string();
        assert_eq!((squeezed(&found), reports[0].files_hot), (squeezed(&expected.join("\n")), hot));
    }
    for (sql, expected) in [
        ("SELECT who['name'] AS n FROM t WHERE id = 2", "bob"),
        ("SELECT id AS n FROM t WHERE who['name'] = 'ann'", "1"),
        ("SELECT who['tags'][1]['tag'] AS n FROM t WHERE p = 'u' AND id > 1", "y"),
        ("SELECT count(*) AS n FROM t WHERE id >= 100 OR later IS NOT NULL", "0"),
        ("SELECT max(id) AS n FROM t", "2"),
    ] {
        for sql in [sql.to_owned(), sql.replace("FROM t", "FROM hot")] {
            let found = rows(&context, &sql).await;
            assert_eq!(found.lines().nth(3).unwrap().trim_matches(['|', ' ']), expected, "{sql}");
        }
    }
}

fn squeezed(table: &str) -> String {
    table.replace(['-', ' '], "")
}
