//! Names that need encoding in URLs and paths.

use boathouse_storage::{StorageError, write};

use crate::{
    on_every_place,
    place::{Place, create_as, insert, people, query},
};

on_every_place!(names_are_kept_as_they_are);

async fn names_are_kept_as_they_are(place: Place) {
    let lake = place.open().await;
    let names = ["a b", "ümlaut", "50%", "a+b", "a.b", "Upper"];
    for schema in ["ordinary", "ä b"] {
        lake.create_schema(schema, None).await.unwrap();
        for name in names {
            let mut table = people(name);
            table.schema_name = schema.into();
            table.partition_columns = vec!["name".into()];
            create_as(&lake, &table, "SELECT 1 AS id, 'p/q %20' AS name").await.unwrap();
        }
        let mut sorted = names.map(str::to_owned);
        sorted.sort();
        assert_eq!(lake.tables(schema).await.unwrap(), sorted);
        let other = place.open().await;
        for name in names {
            let snapshot = other.table(schema, name).await.unwrap();
            assert_eq!(snapshot.name(), format!("{schema}.{name}"));
            assert_eq!(query(&other, &snapshot, "SELECT * FROM t").await, ["1 p/q %20"], "{schema}.{name}");
            write::drop_table(&other, schema, name).await.unwrap();
        }
        assert!(other.tables(schema).await.unwrap().is_empty());
    }
    assert_eq!(lake.schemas().await.unwrap(), ["main", "ordinary", "ä b"]);
    for bad in ["../up", "a/b", "_x", ""] {
        let missing = insert(&lake, bad, "SELECT 1").await;
        assert!(matches!(missing, Err(StorageError::TableNotFound { .. })), "{missing:?}");
        assert!(matches!(lake.create_schema(bad, None).await, Err(StorageError::InvalidName { .. })));
    }
}
