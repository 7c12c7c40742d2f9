//! Names given to tables while others make tables under them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use boathouse_storage::{StorageError, write};
use boathouse_tests::store::{Fate, Request, RequestKind, RequestLog};

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, rows},
};

on_every_place!(
    a_name_that_is_given_and_taken_at_once_goes_to_one,
    what_was_read_before_a_rename_is_written_to_after_it,
    another_process_sees_a_rename_at_once,
);

async fn a_name_that_is_given_and_taken_at_once_goes_to_one(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    for n in 0..12 {
        let (old, new) = (format!("t{n}"), format!("u{n}"));
        create_as(&one, &people(&old), "SELECT 1 AS id").await.unwrap();
        let (old, new) = (old.as_str(), new.as_str());
        let table = people(new);
        let (renamed, made) = tokio::join!(
            async {
                // Now one begins first, now the other.
                for _ in 0..(n * 3) % 7 {
                    tokio::task::yield_now().await;
                }
                write::rename_table(&one, "main", old, new).await
            },
            create_as(&two, &table, "SELECT 2 AS id"),
        );
        let other = place.open().await;
        match (&renamed, &made) {
            (Ok(()), Err(StorageError::TableExists { .. })) => {
                assert_eq!(rows(&other, new).await, ["1"], "{n}");
                let gone = other.table("main", old).await;
                assert!(matches!(gone, Err(StorageError::TableNotFound { .. })), "{n} {gone:?}");
                // The table that lost its name is nowhere, also when the name is free again.
                write::rename_table(&other, "main", new, old).await.unwrap();
                let gone = other.table("main", new).await;
                assert!(matches!(gone, Err(StorageError::TableNotFound { .. })), "{n} {gone:?}");
                assert!(other.catalog("main").await.unwrap().dropped_tables.is_empty(), "{n}");
            }
            (Err(StorageError::TableExists { .. }), Ok(_)) => {
                assert_eq!((rows(&other, new).await, rows(&other, old).await), (vec!["2".into()], vec!["1".into()]));
            }
            _ => panic!("{n}: {renamed:?} {made:?}"),
        }
        assert!(other.catalog("main").await.unwrap().claims.is_empty(), "{n}");
    }
}

async fn what_was_read_before_a_rename_is_written_to_after_it(place: Place) {
    let lake = place.open().await;
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    let target = lake.table("main", "t").await.unwrap();
    write::rename_table(&lake, "main", "t", "u").await.unwrap();
    crate::place::insert_into(&lake, &target, "SELECT 2 AS id").await.unwrap();
    assert_eq!(rows(&lake, "u").await, ["1", "2"]);
    assert_eq!(lake.table("main", "u").await.unwrap().name(), "main.u");
    assert_eq!(lake.table_version("main", "u", 0).await.unwrap().name(), "main.u");
    write::rename_table(&lake, "main", "u", "t").await.unwrap();
    assert_eq!(lake.table("main", "t").await.unwrap().name(), "main.t");
    assert_eq!(lake.table_version("main", "t", 0).await.unwrap().name(), "main.t");
    assert!(lake.catalog("main").await.unwrap().renamed.is_empty());
}

async fn another_process_sees_a_rename_at_once(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    create_as(&one, &people("t"), "SELECT 1 AS id").await.unwrap();
    assert_eq!(rows(&two, "t").await, ["1"]);
    write::rename_table(&one, "main", "t", "u").await.unwrap();
    assert!(matches!(two.table("main", "t").await, Err(StorageError::TableNotFound { .. })));
    insert(&two, "u", "SELECT 2 AS id").await.unwrap();
    assert_eq!(rows(&one, "u").await, ["1", "2"]);
    // A table of the old name lies elsewhere.
    write::create(&two, &people("t"), &info()).await.unwrap();
    insert(&one, "t", "SELECT 9 AS id").await.unwrap();
    assert_eq!((rows(&two, "t").await, rows(&two, "u").await.len()), (vec!["9".into()], 2));
    assert_eq!(two.tables("main").await.unwrap(), ["t", "u"]);
}

/// Holds what a process asks of the catalog after its first request that `begins`; whether it waits is in the flag.
fn hold_after(log: &RequestLog, begins: impl Fn(&Request) -> bool + Send + 'static) -> Arc<AtomicBool> {
    let held = Arc::new(AtomicBool::new(false));
    let (waits, mut begun) = (held.clone(), false);
    log.set_rule(move |request| {
        let asks = matches!(request.kind, RequestKind::Get | RequestKind::Head);
        if begun && asks && request.path.contains("_boathouse/catalog") {
            waits.store(true, Ordering::Relaxed);
            return Fate::Held;
        }
        begun |= begins(request);
        Fate::Served
    });
    held
}

async fn until(held: &AtomicBool) {
    let wait = async {
        while !held.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("it waits");
}

/// In memory, where a request that is served is done at once: so all comes in the order that is written here.
#[tokio::test]
async fn rows_that_came_into_a_table_before_it_lost_its_name_can_be_had_back() {
    let place = Place::memory();
    let lake = place.open().await;
    create_as(&lake, &people("first"), "SELECT 1 AS id").await.unwrap();
    write::rename_table(&lake, "main", "first", "t").await.unwrap();

    // The rename has looked for a table `u` and found none.
    let (renamer, its_log) = place.watched().await;
    let held = hold_after(&its_log, |request| request.path.contains("main/u/"));
    let renamed = tokio::spawn(async move { write::rename_table(&renamer, "main", "t", "u").await });
    until(&held).await;
    // The table `u` is made, and its maker does not know yet whether it has the name.
    let (maker, makers_log) = place.watched().await;
    let held = hold_after(&makers_log, |request| {
        request.kind == RequestKind::Create && request.path.contains("main/u/_delta_log/")
    });
    let made = tokio::spawn(async move { create_as(&maker, &people("u"), "SELECT 2 AS id").await });
    until(&held).await;
    // Who knows nothing of names writes to it by its place.
    let made_table = lake.table_at(&lake.table_url("main", "u"), None).await.unwrap();
    crate::place::insert_into(&lake, &made_table, "SELECT 3 AS id").await.unwrap();

    its_log.clear_rule();
    renamed.await.unwrap().unwrap();
    makers_log.clear_rule();
    let made = made.await.unwrap();
    assert!(matches!(made, Err(StorageError::TableExists { .. })), "{made:?}");
    assert_eq!(rows(&lake, "u").await, ["1"]);
    assert_eq!(lake.tables("main").await.unwrap(), ["u"]);
    let dropped = write::dropped_tables(&lake, "main").await.unwrap();
    assert_eq!(dropped.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["u"]);
    write::rename_table(&lake, "main", "u", "t").await.unwrap();
    assert!(matches!(lake.table("main", "u").await, Err(StorageError::TableNotFound { .. })));
    write::undrop_table(&lake, "main", "u").await.unwrap();
    assert_eq!((rows(&lake, "u").await, rows(&lake, "t").await), (vec!["2".into(), "3".into()], vec!["1".into()]));
}
