//! What a pass does, and that it does it once.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use super::{job::SMALL_FILES_MIN, pass, record::Size};
use crate::{Engine, EngineConfig, Outcome};

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
        pass(&engine, &mut vacuumed).await.unwrap();
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
        pass(&engine, &mut vacuumed).await.unwrap();
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
        let pass = std::pin::pin!(pass(&engine, &mut vacuumed));
        let waited = tokio::time::timeout(Duration::from_millis(300), pass).await;
        assert!(waited.is_err(), "it did not wait");
    }
    assert_eq!(engine.upkeep().all(), []);
    assert_eq!(engine.lake().table("main", "t").await.unwrap().file_count(), SMALL_FILES_MIN);
    drop(rows);
    pass(&engine, &mut vacuumed).await.unwrap();
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
    pass(&engine, &mut HashMap::new()).await.unwrap();
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
        pass(&engine, &mut HashMap::new()).await.unwrap();
    }
    let there = |name: &str| folder.path().join("main").join(name).exists();
    assert_eq!((there("long_ago"), there("just_ago")), (false, true));
    let done: Vec<_> = engine.upkeep().all().into_iter().map(|record| (record.action, record.error)).collect();
    assert_eq!(done, [("PURGE", None)]);
    session.execute("UNDROP TABLE just_ago").await.unwrap();
}
