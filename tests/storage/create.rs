//! CREATE TABLE, CREATE TABLE AS, OR REPLACE.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use boathouse_storage::{
    StorageError,
    write::{self, NewTable},
};

use crate::{
    on_every_place,
    place::{Place, chain, columns, create_as, info, insert, people, query, rows},
};

on_every_place!(
    a_new_table_is_there_as_it_was_defined,
    create_as_makes_the_table_and_its_rows_in_one_commit,
    a_query_that_fails_leaves_no_table_and_no_files,
    replacing_keeps_the_history_and_loses_the_rows,
    of_many_creators_one_wins,
    replacing_while_others_append_leaves_no_old_row,
);

async fn a_new_table_is_there_as_it_was_defined(place: Place) {
    let lake = place.open().await;
    let commented = Field::new("id", DataType::Int64, false)
        .with_metadata(HashMap::from([("comment".to_owned(), "the key".to_owned())]));
    let fields = vec![
        commented,
        Field::new("day", DataType::Date32, true),
        Field::new("small", DataType::UInt8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("+01:00".into())), true),
        Field::new("plain", DataType::Timestamp(TimeUnit::Second, None), true),
        Field::new("tags", DataType::new_list(DataType::Utf8View, true), true),
    ];
    let table = NewTable {
        schema: Schema::new(fields).into(),
        partition_columns: vec!["day".into()],
        properties: BTreeMap::from([("owner".into(), "me".into()), ("delta.appendOnly".into(), "true".into())]),
        comment: Some("what it is for".into()),
        ..people("t")
    };
    let made = write::create(&lake, &table, &info()).await.unwrap();
    assert_eq!((made.version, made.rows_inserted), (0, 0));

    let snapshot = lake.table("main", "t").await.unwrap();
    assert_eq!(snapshot.name(), "main.t");
    assert_eq!(snapshot.comment(), Some("what it is for"));
    assert_eq!(snapshot.partition_columns(), ["day"]);
    assert_eq!(snapshot.properties()["owner"], "me");
    assert_eq!((snapshot.file_count(), snapshot.size_bytes()), (0, 0));
    assert!(snapshot.modified_ms().is_some() && snapshot.created_ms().is_some());
    assert!(snapshot.features().contains(&"timestampNtz".to_owned()), "{:?}", snapshot.features());
    let schema = snapshot.schema();
    assert_eq!(schema.field(0).metadata()["comment"], "the key");
    assert!(!schema.field(0).is_nullable());
    assert_eq!(schema.field(2).data_type(), &DataType::Int16);
    assert_eq!(schema.field(3).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(schema.field(4).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));

    let again = write::create(&lake, &table, &info()).await;
    assert!(matches!(again, Err(StorageError::TableExists { ref table }) if table == "main.t"), "{again:?}");
    let elsewhere = NewTable { schema_name: "nowhere".into(), ..table };
    let missing = write::create(&lake, &elsewhere, &info()).await;
    assert!(matches!(missing, Err(StorageError::SchemaNotFound { .. })), "{missing:?}");
}

async fn create_as_makes_the_table_and_its_rows_in_one_commit(place: Place) {
    let lake = place.open().await;
    let table = NewTable { partition_columns: vec!["name".into()], ..people("t") };
    let sql =
        "SELECT value AS id, CASE WHEN value % 2 = 0 THEN 'even' ELSE 'odd' END AS name FROM generate_series(1, 1000)";
    let made = create_as(&lake, &table, sql).await.unwrap();
    assert_eq!((made.version, made.rows_inserted), (0, 1000));
    let snapshot = lake.table("main", "t").await.unwrap();
    assert_eq!(
        query(&lake, &snapshot, "SELECT name, count(*), sum(id) FROM t GROUP BY name").await,
        ["even 500 250500", "odd 500 250000"]
    );
    // Another process sees the same.
    let other = place.open().await;
    assert_eq!(query(&other, &other.table("main", "t").await.unwrap(), "SELECT count(*) FROM t").await, ["1000"]);
}

async fn a_query_that_fails_leaves_no_table_and_no_files(place: Place) {
    let (lake, log) = place.watched().await;
    let sql = "SELECT value AS id, CAST(1 / (value - 500) AS VARCHAR) AS name FROM generate_series(1, 1000)";
    let failed = create_as(&lake, &people("t"), sql).await.unwrap_err();
    assert!(matches!(failed, StorageError::Query { .. }), "{failed:?}");
    assert!(chain(&failed).contains("Divide by zero"), "{}", chain(&failed));
    let refused = create_as(&lake, &people("t"), "SELECT nullif(value, 7) AS id FROM generate_series(1, 10)").await;
    assert!(matches!(refused, Err(StorageError::NullValue { ref column, .. }) if column == "id"), "{refused:?}");
    assert!(lake.tables("main").await.unwrap().is_empty());
    let kept = log.take().iter().filter(|request| request.path.ends_with(".json")).count();
    assert!(matches!(lake.table("main", "t").await, Err(StorageError::TableNotFound { .. })), "{kept}");
    assert_eq!(create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap().version, 0);
}

async fn replacing_keeps_the_history_and_loses_the_rows(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id, 'old' AS name").await.unwrap();
    let old = lake.table("main", "t").await.unwrap();
    let table = NewTable {
        schema: columns(&[("day", DataType::Date32, true), ("n", DataType::Int32, true)]),
        partition_columns: vec!["day".into()],
        comment: Some("new".into()),
        replace: true,
        ..people("t")
    };
    let made = create_as(&lake, &table, "SELECT DATE '2024-01-02' AS day, 5 AS n").await.unwrap();
    assert_eq!((made.version, made.rows_inserted), (1, 1));
    let new = lake.table("main", "t").await.unwrap();
    assert_eq!((new.comment(), new.partition_columns()), (Some("new"), &["day".to_owned()][..]));
    assert_eq!(rows(&lake, "t").await, ["2024-01-02 5"]);
    assert_eq!(query(&lake, &old, "SELECT * FROM t").await, ["1 old"]);
    let back = lake.table_version("main", "t", 0).await.unwrap();
    assert_eq!(query(&lake, &back, "SELECT * FROM t").await, ["1 old"]);
    // What was planned against the old columns does not go into the new ones.
    let late = crate::place::insert_into(&lake, &old, "SELECT 2 AS id, 'late' AS name").await;
    assert!(matches!(late, Err(StorageError::Conflict { .. })), "{late:?}");
    assert_eq!(write::create(&lake, &NewTable { replace: true, ..people("t") }, &info()).await.unwrap().version, 2);
    assert!(rows(&lake, "t").await.is_empty());
}

async fn of_many_creators_one_wins(place: Place) {
    // Each with a lake of its own: no lock of the process keeps them apart.
    let mut creators = tokio::task::JoinSet::new();
    for creator in 0..4 {
        let lake = place.open().await;
        creators.spawn(async move {
            let sql = format!("SELECT {creator} AS id, 'me' AS name");
            create_as(&lake, &people("t"), &sql).await.map(|_| creator)
        });
    }
    let mut winners = vec![];
    while let Some(ended) = creators.join_next().await {
        match ended.unwrap() {
            Ok(creator) => winners.push(creator),
            Err(StorageError::TableExists { .. }) => {}
            Err(error) => panic!("{}", chain(&error)),
        }
    }
    let lake = place.open().await;
    assert_eq!(winners.len(), 1);
    assert_eq!(lake.table("main", "t").await.unwrap().version(), 0);
    assert_eq!(rows(&lake, "t").await, [format!("{} me", winners[0])]);
}

async fn replacing_while_others_append_leaves_no_old_row(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 0 AS id, 'old' AS name").await.unwrap();
    let (writer, replacer) = (place.open().await, place.open().await);
    let appends = tokio::spawn(async move {
        for id in 0..8 {
            let done = insert(&writer, "t", &format!("SELECT {id} AS id, 'old' AS name")).await;
            match done {
                Ok(_) => {}
                // From here on the columns are others.
                Err(StorageError::UnknownColumn { .. } | StorageError::Conflict { .. }) => return,
                Err(error) => panic!("{}", chain(&error)),
            }
        }
    });
    let table = NewTable { schema: columns(&[("n", DataType::Int32, true)]), replace: true, ..people("t") };
    create_as(&replacer, &table, "SELECT 7 AS n").await.unwrap();
    appends.await.unwrap();
    assert_eq!(rows(&lake, "t").await, ["7"]);
}

#[tokio::test]
async fn a_definition_that_no_table_can_have_is_refused() {
    let lake = Place::memory().open().await;
    let bad = |schema: &[(&str, DataType, bool)], partitions: &[&str]| NewTable {
        schema: columns(schema),
        partition_columns: partitions.iter().map(ToString::to_string).collect(),
        ..people("t")
    };
    let cases = [
        (bad(&[], &[]), "no columns"),
        (bad(&[("a", DataType::Int32, true), ("A", DataType::Int32, true)], &[]), "column \"A\" is there twice"),
        (bad(&[("count(*)", DataType::Int64, true)], &[]), "name it with AS"),
        (bad(&[("a", DataType::Int32, true)], &["b"]), "partition column \"b\" is not one"),
        (bad(&[("a", DataType::Int32, true)], &["a"]), "a column must remain"),
        (
            bad(&[("a", DataType::Int32, true), ("l", DataType::new_list(DataType::Int32, true), true)], &["l"]),
            "partitions need plain values",
        ),
        (bad(&[("a", DataType::Time64(TimeUnit::Microsecond), true)], &[]), "\"a\" of table \"main.t\" cannot be TIME"),
        (bad(&[("a", DataType::Decimal256(60, 2), true)], &[]), "at most 38 digits"),
        (NewTable { name: "_hidden".into(), ..people("t") }, "cannot be the name of a table"),
    ];
    for (table, text) in cases {
        let error = write::create(&lake, &table, &info()).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
