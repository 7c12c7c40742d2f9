//! Statements that run again because another writer came first.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use datafusion::{
    arrow::datatypes::DataType,
    execution::FunctionRegistry,
    logical_expr::{ColumnarValue, Volatility, create_udf},
    scalar::ScalarValue,
};
use tempfile::TempDir;

use super::{small, text};
use crate::{Engine, EngineConfig};

/// An engine on a lake with the table `t (n, taken)`, and the function `look()`, which tells whether somebody has the turn on it.
/// Another process commits to the table before each of the first `collisions` calls returns.
async fn engine(config: EngineConfig, collisions: &Arc<AtomicU64>) -> (TempDir, Arc<Engine>) {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let rival = Engine::open(url, small()).await.unwrap().session();
    rival.execute("CREATE TABLE t AS SELECT 0 AS n, false AS taken").await.unwrap();
    let mut engine = Arc::into_inner(Engine::open(url, config).await.unwrap()).unwrap();
    let own: Arc<OnceLock<Weak<Engine>>> = Arc::default();
    let (asked, collisions) = (own.clone(), collisions.clone());
    let look = move |_: &[ColumnarValue]| {
        let comes = collisions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if comes.is_ok() {
            let rival = rival.clone();
            let commit = move || futures::executor::block_on(rival.execute("UPDATE t SET n = 100")).map(drop);
            std::thread::spawn(commit).join().expect("no panic").expect("the rival commits");
        }
        let engine = asked.get().and_then(Weak::upgrade).expect("the engine is there");
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(engine.turns().is_taken("main.t")))))
    };
    let look = create_udf("look", vec![], DataType::Boolean, Volatility::Volatile, Arc::new(look));
    engine.template.register_udf(Arc::new(look)).unwrap();
    let engine = Arc::new(engine);
    own.set(Arc::downgrade(&engine)).unwrap();
    (folder, engine)
}

#[tokio::test]
async fn a_statement_that_runs_again_has_the_turn_on_its_table() {
    let collisions = Arc::default();
    let (_folder, engine) = engine(small(), &collisions).await;
    let session = engine.session();
    for replays in [0, 1] {
        collisions.store(replays, Ordering::Relaxed);
        session.execute("UPDATE t SET taken = look()").await.unwrap();
        assert_eq!(engine.queries().totals().replays, replays);
        let taken = text(&session, "SELECT taken FROM t").await;
        assert_eq!(taken.contains("true"), replays > 0, "{taken}");
    }
    assert!(!engine.turns().is_taken("main.t"), "the turn ends with the statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_collided_do_not_collide_with_one_another() {
    const STATEMENTS: u64 = 8;
    let collisions = Arc::new(AtomicU64::new(STATEMENTS));
    let config = EngineConfig { threads: 4, statements_running_max: 16, ..small() };
    let (_folder, engine) = engine(config, &collisions).await;
    // All have collided before the first of them runs again.
    let turn = engine.turns().take("main.t").await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..STATEMENTS {
        let session = engine.session();
        running.spawn(async move { session.execute("UPDATE t SET n = n + 1, taken = look()").await.map(drop) });
    }
    let collided = async {
        while engine.queries().totals().replays < STATEMENTS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), collided).await.expect("all collide");
    drop(turn);
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
    assert!(text(&engine.session(), "SELECT n FROM t").await.contains("| 108 |"));
    assert_eq!(engine.queries().totals().replays, STATEMENTS, "one collided again");
}
