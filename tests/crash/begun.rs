//! A CREATE TABLE AS, killed at each request that changes something, of a name that nobody takes again.
//!
//! What it leaves is no table, so no VACUUM comes there: upkeep takes it away once it is older than any write that is under
//! way, and nothing else with it.

use std::{sync::Arc, time::Duration};

use boathouse_engine::Engine;
use boathouse_storage::maintain::{begun, clear_begun};
use boathouse_tests::store::{Fate, RequestKind, RequestLog};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

use crate::{
    MAKE,
    orphan::orphans,
    place::{answers, copy, engine, session},
};

const PARTS: &str =
    "CREATE TABLE t (id BIGINT, x BIGINT) PARTITIONED BY (x) AS SELECT value, value % 3 FROM generate_series(1, 9)";
const MAPPED: &str = "CREATE TABLE t (id BIGINT, x BIGINT) TBLPROPERTIES ('delta.columnMapping.mode' = 'name') \
     AS SELECT value, value * 2 FROM generate_series(1, 9)";
const ROWS: &str = "SELECT id, x FROM t ORDER BY id";

/// The number of files that went.
async fn clear(engine: &Engine, retention: Option<Duration>) -> usize {
    let mut gone = 0;
    for table in begun(engine.lake()).await.unwrap() {
        gone += clear_begun(engine.lake(), &table, retention).await.unwrap().files.len();
    }
    gone
}

async fn check(statement: &str) {
    let start = Arc::new(InMemory::new());
    // A person's own: of the shape of a data file, in a folder where nobody said to make a table.
    let theirs = "lake/main/raw/part-00000-8a6e7dbb-5d5f-4a8e-9d47-0e6ff9a5b8f1-c000.snappy.parquet";
    start.put(&Path::from(theirs), "x".into()).await.unwrap();
    let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
    let writer = engine(&end, &log).await.session();
    log.take();
    answers(&writer, statement).await.unwrap();
    let reads = |kind: RequestKind| matches!(kind, RequestKind::Get | RequestKind::Head | RequestKind::List);
    let sent = log.take();
    assert_eq!(begun(engine(&end, &Arc::default()).await.lake()).await.unwrap().len(), 0, "a mark is left");
    let (mut made, mut left) = (0, 0);
    for at in (0..sent.len()).filter(|at| !reads(sent[*at].kind)) {
        for fate in [Fate::Refused, Fate::AnswerLost] {
            let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
            let writer = engine(&store, &log).await.session();
            let mut seen = 0;
            log.set_rule(move |_| {
                seen += 1;
                match seen - 1 {
                    now if now < at => Fate::Served,
                    now if now == at => fate,
                    _ => Fate::Refused,
                }
            });
            let done = answers(&writer, statement).await;
            let place = format!("{statement}: {fate:?}, request {at}, {:?}: {done:?}", sent[at]);
            let found = answers(&*session(&store).await, ROWS).await;
            let upkeep = engine(&store, &Arc::default()).await;
            assert_eq!(clear(&upkeep, None).await, 0, "it may be under way: {place}");
            let files = orphans(&store).await.len() - 1;
            assert_eq!(clear(&upkeep, Some(Duration::ZERO)).await, files, "{place}");
            assert_eq!(orphans(&store).await, [theirs], "{place}");
            assert_eq!(begun(upkeep.lake()).await.unwrap().len(), 0, "{place}");
            assert_eq!(answers(&*session(&store).await, ROWS).await, found, "{place}");
            made += usize::from(found.is_ok());
            left += usize::from(files > 0);
            // The name is free for who wants it.
            let again = answers(&*session(&store).await, statement).await;
            assert_eq!(again.is_ok(), found.is_err(), "{place}: {again:?}");
        }
    }
    assert!(made > 0 && left > 0, "{statement}: {made} tables were made, {left} times files were left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_table_that_was_never_made_go() {
    for statement in [MAKE, PARTS, MAPPED] {
        check(statement).await;
    }
}
