//! What a pass does, and that it does it once.

use std::collections::HashMap;

use super::{job::SMALL_FILES_MIN, pass, record::Size};
use crate::{Engine, EngineConfig};

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
