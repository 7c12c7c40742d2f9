//! What a pass does, and that it does it once.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use super::{
    job::{self, SMALL_FILES_MIN},
    pass,
    record::Size,
};
use crate::{Engine, EngineConfig, Outcome, tier};

#[tokio::test]
async fn a_table_of_many_small_files_is_compacted_once() {
    let config = EngineConfig { threads: 1, upkeep_vacuum: true, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    session.execute("CREATE TABLE few AS SELECT 1 AS id").await.unwrap();
    session.execute("CREATE TABLE \"Many\" (id BIGINT)").await.unwrap();
    for id in 0..SMALL_FILES_MIN {
        session.execute(&format!("INSERT INTO \"Many\" VALUES ({id})")).await.unwrap();
    }
    let mut vacuumed = HashMap::new();
    for _ in 0..2 {
        pass(&engine, &mut vacuumed, tier::now_ms()).await.unwrap();
        assert_eq!(engine.lake().table("main", "Many").await.unwrap().file_count(), 1);
    }
    let done = engine.upkeep().all();
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!((done[0].table.as_str(), done[0].action, &done[0].error), ("main.Many", "OPTIMIZE", &None));
    assert_eq!(done[0].before.unwrap().files, SMALL_FILES_MIN as u64);
    let now = engine.lake().table("main", "Many").await.unwrap();
    assert_eq!(done[0].after, Some(Size::of(&now)));
}

#[tokio::test]
async fn a_long_log_gets_a_checkpoint() {
    let engine = Engine::open("memory://", EngineConfig { threads: 1, ..EngineConfig::default() }).await.unwrap();
    let session = engine.session();
    session.execute("CREATE TABLE t (id BIGINT) TBLPROPERTIES ('delta.checkpointInterval' = '1000')").await.unwrap();
    for id in 0..4 {
        session.execute(&format!("INSERT INTO t VALUES ({id})")).await.unwrap();
    }
    // Other writers have a say of their own.
    session.execute("ALTER TABLE t SET TBLPROPERTIES ('delta.checkpointInterval' = '4')").await.unwrap();
    let mut vacuumed = HashMap::new();
    for _ in 0..2 {
        pass(&engine, &mut vacuumed, tier::now_ms()).await.unwrap();
    }
    let done: Vec<_> = engine.upkeep().all().into_iter().map(|record| (record.action, record.error)).collect();
    assert_eq!(done, [("CHECKPOINT", None)]);
}

#[tokio::test]
async fn statements_go_first() {
    let engine = Engine::open("memory://", EngineConfig { threads: 1, ..EngineConfig::default() }).await.unwrap();
    let session = engine.session();
    session.execute("CREATE TABLE t (id BIGINT)").await.unwrap();
    for id in 0..SMALL_FILES_MIN {
        session.execute(&format!("INSERT INTO t VALUES ({id})")).await.unwrap();
    }
    // A client that does not read on.
    let Outcome::Rows(rows) = session.execute("SELECT * FROM generate_series(1, 100000000)").await.unwrap() else {
        panic!("a query has rows");
    };
    let mut vacuumed = HashMap::new();
    {
        let pass = std::pin::pin!(pass(&engine, &mut vacuumed, tier::now_ms()));
        let waited = tokio::time::timeout(Duration::from_millis(300), pass).await;
        assert!(waited.is_err(), "it did not wait");
    }
    assert_eq!(engine.upkeep().all(), []);
    assert_eq!(engine.lake().table("main", "t").await.unwrap().file_count(), SMALL_FILES_MIN);
    drop(rows);
    pass(&engine, &mut vacuumed, tier::now_ms()).await.unwrap();
    assert_eq!(engine.lake().table("main", "t").await.unwrap().file_count(), 1);
}

#[tokio::test]
async fn what_a_dead_writer_left_goes_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig { threads: 1, ..EngineConfig::default() };
    let engine = Engine::open(folder.path().to_str().unwrap(), config).await.unwrap();
    let session = engine.session();
    for sql in ["CREATE TABLE t AS SELECT 1 AS id", "INSERT OVERWRITE t SELECT 2 AS id"] {
        session.execute(sql).await.unwrap();
    }
    let table = folder.path().join("main/t");
    let old = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    let age = |name: &str| std::fs::File::options().append(true).open(table.join(name)).unwrap().set_modified(old);
    // Old versions can be read for as long as the log names them, however old their files are.
    let files = |name: &str| name.ends_with(".parquet");
    let named: Vec<_> = std::fs::read_dir(&table).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let named: Vec<_> = named.iter().filter_map(|name| name.to_str()).filter(|name| files(name)).collect();
    assert_eq!(named.len(), 2);
    std::fs::create_dir(table.join("_change_data")).unwrap();
    for name in ["old.parquet", "young.parquet", "_change_data/old.parquet"] {
        std::fs::write(table.join(name), "x").unwrap();
    }
    for name in named.iter().chain(&["old.parquet", "_change_data/old.parquet"]) {
        age(name).unwrap();
    }
    pass(&engine, &mut HashMap::new(), tier::now_ms()).await.unwrap();
    let left = |name: &str| table.join(name).exists();
    assert!(named.iter().all(|name| left(name)), "a version lost its file");
    assert_eq!((left("old.parquet"), left("_change_data/old.parquet"), left("young.parquet")), (false, false, true));
    let done = engine.upkeep().all();
    assert_eq!(done.len(), 1, "{done:?}");
    let gone = done[0].before.unwrap();
    assert_eq!((done[0].table.as_str(), done[0].action, gone.files, gone.bytes), ("main.t", "ORPHANS", 2, 2));
}

#[tokio::test]
async fn dropped_tables_go_when_nobody_can_bring_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig { threads: 1, ..EngineConfig::default() };
    let engine = Engine::open(folder.path().to_str().unwrap(), config).await.unwrap();
    let session = engine.session();
    for name in ["long", "just"] {
        session.execute(&format!("CREATE TABLE {name}_ago AS SELECT 1 AS id")).await.unwrap();
        session.execute(&format!("DROP TABLE {name}_ago")).await.unwrap();
    }
    let age = |document: &mut boathouse_storage::catalog::CatalogDocument| {
        document.kept_tables.get_mut("long_ago").unwrap().dropped_ms -= 8 * 24 * 3_600_000;
        Ok(())
    };
    engine.lake().change_catalog("main", &age).await.unwrap();
    for _ in 0..2 {
        pass(&engine, &mut HashMap::new(), tier::now_ms()).await.unwrap();
    }
    let there = |name: &str| folder.path().join("main").join(name).exists();
    assert_eq!((there("long_ago"), there("just_ago")), (false, true));
    let done: Vec<_> = engine.upkeep().all().into_iter().map(|record| (record.action, record.error)).collect();
    assert_eq!(done, [("PURGE", None)]);
    session.execute("UNDROP TABLE just_ago").await.unwrap();
}

/// Files of a lake as somebody left them so many days ago.
fn left(folder: &std::path::Path, days: u64, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    let time = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn what_a_dead_creator_left_goes_and_nothing_that_may_be_anothers() {
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path();
    let config = EngineConfig { threads: 1, ..EngineConfig::default() };
    let engine = Engine::open(folder.to_str().unwrap(), config).await.unwrap();
    engine.session().execute("CREATE TABLE made AS SELECT 1 AS id").await.unwrap();
    let data = |n: u32| format!("part-{n:05}-8a6e7dbb-5d5f-4a8e-9d47-0e6ff9a5b8f1-c000.snappy.parquet");
    let (first, second) = (data(0), data(1));
    // Each table was begun nine days ago, but the last one, which was a moment ago.
    for table in ["gone", "parts", "slow", "used", "older", "nested", "made"] {
        let mark = format!(r#"{{"schema":"main","folder":"{table}"}}"#);
        left(folder, 9, &format!("_boathouse/begun/{table}.json"), &mark);
    }
    left(folder, 0, "_boathouse/begun/now.json", r#"{"schema":"main","folder":"now"}"#);
    let stays = [
        // Nobody said that a table was made here: a copy, perhaps, whose log is yet to come.
        (8, format!("main/unmarked/{first}")),
        (0, format!("main/slow/{first}")),
        (8, format!("main/used/{first}")),
        (8, "main/used/notes.txt".to_owned()),
        (10, format!("main/older/{first}")),
        (8, format!("main/older/{second}")),
        (8, format!("main/nested/xY/{first}")),
        (8, "main/nested/xY/_delta_log/00000000000000000000.json".to_owned()),
        (8, format!("main/made/{first}")),
        (8, format!("main/now/{first}")),
    ];
    let goes = [(8, format!("main/gone/{first}")), (8, format!("main/gone/{second}"))];
    let goes = goes.into_iter().chain([(8, format!("main/parts/p=1/{first}")), (8, format!("main/slow/{second}"))]);
    let goes: Vec<_> = goes.collect();
    for (days, name) in stays.iter().chain(&goes) {
        left(folder, *days, name, "x");
    }
    // The files of the table that was made are looked after with it.
    pass(&engine, &mut HashMap::from([("main.made".to_owned(), Instant::now())]), tier::now_ms()).await.unwrap();
    let lost: Vec<_> = stays.iter().filter(|(_, name)| !folder.join(name).exists()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let left: Vec<_> = goes.iter().filter(|(_, name)| folder.join(name).exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!folder.join("main/gone").exists() && !folder.join("main/parts").exists());
    let mut marks: Vec<_> = std::fs::read_dir(folder.join("_boathouse/begun")).unwrap().collect();
    marks.sort_by_key(|mark| mark.as_ref().unwrap().file_name());
    let marks: Vec<_> = marks.into_iter().map(|mark| mark.unwrap().file_name()).collect();
    assert_eq!(marks, ["now.json", "slow.json"]);
    let mut done: Vec<_> =
        engine.upkeep().all().into_iter().map(|done| (done.table, done.action, done.before)).collect();
    done.sort_by(|a, b| a.0.cmp(&b.0));
    let gone = |table: &str, files| (format!("main.{table}"), "ORPHANS", Some(Size { files, bytes: files }));
    assert_eq!(done, [gone("gone", 2), gone("parts", 1), gone("slow", 1)]);
}

#[tokio::test]
async fn what_is_old_becomes_cold_once() {
    let engine = Engine::open("memory://", EngineConfig { threads: 1, ..EngineConfig::default() }).await.unwrap();
    let session = engine.session();
    let days = "SELECT value AS id, DATE '2020-01-01' + CAST(value % 2 AS INT) AS day FROM generate_series(1, 4)";
    for sql in [
        &format!("CREATE TABLE t PARTITIONED BY (day) AS {days}"),
        "ALTER TABLE t SET TIER (cold_after = '1 day', on = day)",
        "CREATE TABLE other AS SELECT DATE '2020-01-01' AS day",
    ] {
        session.execute(sql).await.unwrap();
    }
    let mut vacuumed = HashMap::new();
    for _ in 0..2 {
        pass(&engine, &mut vacuumed, tier::now_ms()).await.unwrap();
    }
    let done = engine.upkeep().all();
    let told: Vec<_> = done.iter().map(|done| (done.table.as_str(), done.action, done.partition.as_deref())).collect();
    assert_eq!(
        told,
        [("main.t", "TIER", Some("day=2020-01-01")), ("main.t", "TIER", Some("day=2020-01-02"))],
        "{done:?}"
    );
    assert!(done.iter().all(|done| done.before.unwrap().files == 1 && done.after.unwrap().files == 1), "{done:?}");
    let tiers = engine.tiers(Some("t"), 0).await.unwrap();
    assert!(tiers[0].partitions.iter().all(|tiers| (tiers.warm.files, tiers.cold.files) == (0, 1)), "{tiers:?}");
}

#[tokio::test]
async fn what_is_pinned_by_its_age_gives_up_its_copy_when_it_is_old() {
    let (lake, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = EngineConfig { threads: 1, ..EngineConfig::default() };
    config.storage.hot = Some(crate::HotOptions { folder: copies.path().into(), bytes_max: 1 << 30 });
    let engine = Engine::open(lake.path().to_str().unwrap(), config).await.unwrap();
    let session = engine.session();
    let day = "SELECT value AS id, DATE '2024-01-01' + CAST(value % 2 AS INT) * 10 AS day FROM generate_series(1, 4)";
    session.execute(&format!("CREATE TABLE t PARTITIONED BY (day) AS {day}")).await.unwrap();
    session.execute("ALTER TABLE t SET TIER (hot = '5 days', on = day)").await.unwrap();
    engine.lake().hot_idle().await;
    let days = async |now_ms: i64| {
        let mut vacuumed = HashMap::from([("main.t".to_owned(), Instant::now())]);
        for _ in 0..2 {
            pass(&engine, &mut vacuumed, now_ms).await.unwrap();
        }
        let tiers = engine.tiers(Some("t"), now_ms).await.unwrap();
        tiers[0].partitions.iter().map(|tiers| (tiers.hot.files, tiers.young.files)).collect::<Vec<_>>()
    };
    // 2024-01-01, in milliseconds since 1970.
    let first = 1_704_067_200_000;
    let after = |days: i64| first + days * 86_400_000;
    assert_eq!(days(after(2)).await, [(1, 1), (1, 1)]);
    assert_eq!(days(after(7)).await, [(0, 0), (1, 1)]);
    assert_eq!(days(after(17)).await, [(0, 0), (0, 0)]);
    let done = engine.upkeep().all();
    let told: Vec<_> =
        done.iter().map(|done| (done.action, done.before.unwrap().files, done.after.unwrap().files)).collect();
    assert_eq!(told, [("PIN", 0, 2), ("PIN", 2, 1), ("PIN", 1, 0)], "{done:?}");
}

#[tokio::test]
async fn a_table_that_is_dropped_while_upkeep_is_busy_with_it_is_not_pinned_again() {
    let (lake, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = EngineConfig { threads: 1, ..EngineConfig::default() };
    config.storage.hot = Some(crate::HotOptions { folder: copies.path().into(), bytes_max: 1 << 30 });
    let engine = Engine::open(lake.path().to_str().unwrap(), config).await.unwrap();
    let session = engine.session();
    session.execute("CREATE TABLE t AS SELECT 1 AS id, current_date() AS day").await.unwrap();
    session.execute("ALTER TABLE t SET TIER (hot = '30 days', on = day)").await.unwrap();
    let made = || {
        let inside = std::fs::read_dir(copies.path()).unwrap().map(|entry| entry.unwrap().path());
        inside.filter(|path| path.extension().is_some_and(|kind| kind == "hot")).count()
    };
    let pin = async || {
        job::pin(&engine, ("main", "t"), "main.t", tier::now_ms()).await;
        engine.lake().hot_idle().await;
        made()
    };
    assert_eq!(pin().await, 1);
    session.execute("DROP TABLE t").await.unwrap();
    assert_eq!(pin().await, 0);
    assert!(engine.upkeep().all().iter().all(|done| done.error.is_none()), "{:?}", engine.upkeep().all());
    // Who brings it back has it pinned again.
    session.execute("UNDROP TABLE t").await.unwrap();
    assert_eq!(pin().await, 1);
}
