//! Schemas and catalog documents.

use boathouse_storage::{StorageError, catalog::View, write};
use boathouse_tests::store::{Fate, RequestKind};

use crate::{
    on_every_place,
    place::{Place, chain, create_as, info, people},
};

on_every_place!(
    schemas_come_and_go,
    changes_by_many_writers_are_all_kept,
    a_reader_far_behind_catches_up,
    a_change_whose_answer_was_lost_is_made_once,
);

fn view(sql: &str) -> View {
    View { sql: sql.into(), columns: vec![], comment: None }
}

async fn schemas_come_and_go(place: Place) {
    let (lake, other) = (place.open().await, place.open().await);
    assert_eq!(lake.schemas().await.unwrap(), ["main"]);
    lake.create_schema("sales", Some("money")).await.unwrap();
    assert_eq!(other.schemas().await.unwrap(), ["main", "sales"]);
    assert_eq!(other.catalog("sales").await.unwrap().comment.as_deref(), Some("money"));
    let again = other.create_schema("sales", None).await;
    assert!(matches!(again, Err(StorageError::SchemaExists { .. })), "{again:?}");
    assert!(other.tables("sales").await.unwrap().is_empty());
    for missing in [
        lake.tables("nowhere").await.map(|_| ()),
        lake.catalog("nowhere").await.map(|_| ()),
        lake.table("nowhere", "t").await.map(|_| ()),
        lake.drop_schema("nowhere", true).await,
    ] {
        assert!(matches!(missing, Err(StorageError::SchemaNotFound { .. })), "{missing:?}");
    }

    let mut table = people("orders");
    table.schema_name = "sales".into();
    create_as(&lake, &table, "SELECT 1 AS id").await.unwrap();
    lake.change_catalog("sales", &|document| {
        document.views.insert("v".into(), view("SELECT 1"));
        Ok(())
    })
    .await
    .unwrap();
    let full = other.drop_schema("sales", false).await.unwrap_err();
    assert_eq!(full.to_string(), "schema \"sales\" is not empty: it holds 1 table, 1 view");
    let main = other.drop_schema("main", true).await;
    assert!(matches!(main, Err(StorageError::SchemaRequired { .. })), "{main:?}");
    other.drop_schema("sales", true).await.unwrap();
    assert_eq!(lake.schemas().await.unwrap(), ["main"]);
    let gone = lake.table("sales", "orders").await;
    assert!(matches!(gone, Err(StorageError::SchemaNotFound { .. })), "{gone:?}");
    lake.create_schema("sales", None).await.unwrap();
    let anew = other.catalog("sales").await.unwrap();
    assert!(anew.views.is_empty() && anew.dropped_tables.is_empty() && anew.comment.is_none(), "{anew:?}");
    create_as(&lake, &table, "SELECT 2 AS id").await.unwrap();
    assert_eq!(other.tables("sales").await.unwrap(), ["orders"]);
}

async fn changes_by_many_writers_are_all_kept(place: Place) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let lake = place.open().await;
        writers.spawn(async move {
            for change in 0..5 {
                let name = format!("v{writer}_{change}");
                lake.change_catalog("main", &|document| {
                    document.views.insert(name.clone(), view("SELECT 1"));
                    Ok(())
                })
                .await
                .unwrap_or_else(|error| panic!("{}", chain(&error)));
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let lake = place.open().await;
    assert_eq!(lake.catalog("main").await.unwrap().views.len(), 20);
}

async fn a_reader_far_behind_catches_up(place: Place) {
    let (lake, reader) = (place.open().await, place.open().await);
    let set = async |n: usize| {
        lake.change_catalog("main", &|document| {
            document.views.insert("v".into(), view(&format!("SELECT {n}")));
            Ok(())
        })
        .await
        .unwrap()
    };
    set(0).await;
    assert_eq!(reader.catalog("main").await.unwrap().views["v"].sql, "SELECT 0");
    // More changes than old versions are kept.
    for n in 1..=40 {
        set(n).await;
    }
    assert_eq!(reader.catalog("main").await.unwrap().views["v"].sql, "SELECT 40");
    let refused = reader.change_catalog("main", &|_| Err(StorageError::Internal { message: "no".into() })).await;
    assert!(refused.is_err());
    assert_eq!(lake.catalog("main").await.unwrap().views["v"].sql, "SELECT 40");
}

async fn a_change_whose_answer_was_lost_is_made_once(place: Place) {
    let (lake, log) = place.watched().await;
    for (fate, name) in [(Fate::AnswerLost, "a"), (Fate::Repeated, "b")] {
        log.set_rule(move |request| if request.kind == RequestKind::Create { fate } else { Fate::Served });
        let count = std::sync::atomic::AtomicUsize::new(0);
        lake.change_catalog("main", &|document| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            document.views.insert(name.into(), view("SELECT 1"));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(count.into_inner(), 1);
        log.clear_rule();
    }
    assert_eq!(lake.catalog("main").await.unwrap().views.len(), 2);
}

#[tokio::test]
async fn a_damaged_or_newer_document_is_named() {
    let place = Place::folder();
    let lake = place.open().await;
    lake.create_schema("s", None).await.unwrap();
    let folder = place.folder.as_ref().unwrap().path().join("_boathouse/catalog/s");
    std::fs::write(folder.join("00000000000000000001.json"), "{ not json").unwrap();
    let error = lake.catalog("s").await.unwrap_err();
    assert!(
        matches!(error, StorageError::Catalog { ref path, .. } if path.ends_with("s/00000000000000000001.json")),
        "{error:?}"
    );
    std::fs::write(folder.join("00000000000000000001.json"), r#"{"format": 7, "what": "else"}"#).unwrap();
    let error = lake.change_catalog("s", &|_| Ok(())).await.unwrap_err();
    assert!(matches!(error, StorageError::CatalogFormat { format: 7, .. }), "{error:?}");
    // Others are not touched by it.
    write::create(&lake, &people("t"), &info()).await.unwrap();
}
