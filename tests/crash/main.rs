//! A writer is killed before and after every request that a statement sends to the store: what comes after sees the table
//! as it was, or as the statement leaves it, whole, and can write.
//!
//! "Killed before" lets no request through from one on; "killed after" lets that one through and no answer come back. A
//! third kind of fault is one request that fails while all others are served, as a store does that has hiccups.

use std::sync::Arc;

use boathouse_engine::{Engine, EngineConfig, Outcome, Session};
use boathouse_storage::{Lake, StorageOptions, store::StoreLayer};
use boathouse_tests::store::{Fate, RequestLog};
use datafusion::arrow::util::pretty::pretty_format_batches;
use object_store::{ObjectStore, memory::InMemory};

/// A statement on a table that the others make.
struct Case {
    name: &'static str,
    before: &'static [&'static str],
    statement: &'static str,
    /// What tells the old version from the new one.
    look: &'static str,
    /// What a later writer does.
    write: &'static str,
}

const MAKE: &str = "CREATE TABLE t AS SELECT value AS id, value * 10 AS x FROM generate_series(1, 5)";
const VECTORS: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')";
const ROWS: &str = "SELECT id, x FROM t ORDER BY id, x";
const WRITE: &str = "INSERT INTO t VALUES (1000, 1)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KilledBefore,
    KilledAfter,
    Hiccup,
}

async fn engine(store: &Arc<dyn ObjectStore>, log: &Arc<RequestLog>) -> Arc<Engine> {
    let (store, watch) = (store.clone(), log.layer());
    let layer: StoreLayer = Arc::new(move |_| watch(store.clone()));
    let lake = Lake::open_layered("memory:///lake", &StorageOptions::default(), Some(layer)).await.unwrap();
    let config = EngineConfig { threads: 1, memory_bytes_max: 64 << 20, ..EngineConfig::default() };
    Engine::on(lake, config).unwrap()
}

async fn text(session: &Session, sql: &str) -> Result<String, String> {
    match session.execute(sql).await {
        Ok(Outcome::Rows(rows)) => {
            let rows = rows.collect().await.map_err(|error| error.to_string())?;
            Ok(pretty_format_batches(&rows).unwrap().to_string())
        }
        Ok(other) => Ok(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A store on which the statements before the one in question have run.
async fn prepared(case: &Case) -> (Arc<dyn ObjectStore>, Arc<RequestLog>, Arc<Engine>) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let log = Arc::new(RequestLog::default());
    let engine = engine(&store, &log).await;
    let session = engine.session();
    for sql in case.before {
        text(&session, sql).await.unwrap_or_else(|error| panic!("{}: {sql}: {error}", case.name));
    }
    log.take();
    (store, log, engine)
}

async fn run(engine: &Arc<Engine>, case: &Case) -> Result<String, String> {
    let session = engine.session();
    session.execute("SET vacuum_retention_check = false").await.unwrap();
    text(&session, case.statement).await
}

async fn check(case: Case) {
    let (store, log, writer) = prepared(&case).await;
    // By another process: what this one has in its caches it would not ask for.
    let reader = engine(&store, &Arc::new(RequestLog::default())).await;
    let old = text(&reader.session(), case.look).await;
    log.take();
    run(&writer, &case).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let requests = log.take().len();
    let reader = engine(&store, &Arc::new(RequestLog::default())).await;
    let new = text(&reader.session(), case.look).await;
    assert!(requests > 0);

    let mut outcomes = [0_usize; 2];
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::Hiccup] {
        for at in 0..requests {
            let (store, log, writer) = prepared(&case).await;
            let mut seen = 0;
            log.set_rule(move |_| {
                let now = seen;
                seen += 1;
                match fault {
                    _ if now < at => Fate::Served,
                    Fault::KilledAfter if now == at => Fate::AnswerLost,
                    Fault::Hiccup if now == at => Fate::AnswerLost,
                    Fault::Hiccup => Fate::Served,
                    _ => Fate::Refused,
                }
            });
            let done = run(&writer, &case).await;
            let place = format!("{}: {fault:?}, request {at} of {requests}: {done:?}", case.name);
            drop(writer);
            let reader = engine(&store, &Arc::new(RequestLog::default())).await;
            let session = reader.session();
            let found = text(&session, case.look).await;
            assert!(found == old || found == new, "{place}\n{found:?}");
            assert!(done.is_err() || found == new, "acknowledged and lost: {place}\n{found:?}");
            outcomes[usize::from(found == new)] += 1;
            text(&session, case.write).await.unwrap_or_else(|error| panic!("{place}: {error}"));
            if old != new {
                let written = text(&session, case.look).await;
                assert!(written != found, "{place}: a later write is not there");
            }
        }
    }
    if old != new {
        assert!(outcomes.iter().all(|count| *count > 0), "{}: {outcomes:?} faults of too few kinds", case.name);
    }
}

macro_rules! cases {
    ($($name:ident: $before:expr, $statement:expr, $look:expr, $write:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let case =
                Case { name: stringify!($name), before: &$before, statement: $statement, look: $look, write: $write };
            check(case).await;
        })+
    };
}

cases!(
    insert: [MAKE], "INSERT INTO t VALUES (6, 60), (7, 70)", ROWS, WRITE;
    insert_what_it_reads: [MAKE], "INSERT INTO t SELECT id + 100, x FROM t", ROWS, WRITE;
    create_table_as: [], MAKE, ROWS, "CREATE OR REPLACE TABLE t AS SELECT 1 AS id, 1 AS x";
    replace_table: [MAKE], "CREATE OR REPLACE TABLE t AS SELECT CAST(9 AS BIGINT) AS id, CAST(90 AS BIGINT) AS x", ROWS, WRITE;
    drop_table: [MAKE], "DROP TABLE t", ROWS, "CREATE OR REPLACE TABLE t AS SELECT 7 AS id, 8 AS x";
    delete: [MAKE, WRITE], "DELETE FROM t WHERE id IN (2, 1000)", ROWS, WRITE;
    delete_with_vectors: [MAKE, VECTORS, WRITE], "DELETE FROM t WHERE id = 2", ROWS, WRITE;
    update: [MAKE, WRITE], "UPDATE t SET x = x + 1 WHERE id > 3", ROWS, WRITE;
    merge: [MAKE, WRITE],
        "MERGE INTO t USING (SELECT * FROM (VALUES (1, 5), (77, 7)) AS v (id, x)) AS s ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET x = s.x WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, s.x)", ROWS, WRITE;
    merge_with_new_columns: [MAKE, WRITE],
        "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 2 AS id, 'two' AS name UNION ALL SELECT 8, 'eight') AS s ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *", "SELECT * FROM t ORDER BY id",
        "INSERT INTO t (id, x) VALUES (1000, 1)";
    insert_with_numbers: ["CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY, x INT)", "INSERT INTO t (x) VALUES (1), (2)"],
        "INSERT INTO t (x) VALUES (3), (4)", "SELECT count(*), count(DISTINCT id) = count(*) FROM t",
        "INSERT INTO t (x) VALUES (5)";
    insert_that_tells_its_time: [MAKE, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')"],
        "INSERT INTO t VALUES (6, 60)", ROWS, WRITE;
    truncate: [MAKE], "TRUNCATE TABLE t", ROWS, WRITE;
    insert_overwrite: [MAKE], "INSERT OVERWRITE t VALUES (8, 80)", ROWS, WRITE;
    alter_table: [MAKE], "ALTER TABLE t ADD COLUMN y BIGINT", "SELECT * FROM t ORDER BY id",
        "INSERT INTO t (id, x) VALUES (1000, 1)";
    alter_constraint: [MAKE], "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)", ROWS, WRITE;
    rename_table: [MAKE], "ALTER TABLE t RENAME TO u", "SELECT id, x FROM u ORDER BY id",
        "CREATE OR REPLACE TABLE u AS SELECT CAST(7 AS BIGINT) AS id, CAST(8 AS BIGINT) AS x";
    rename_table_from: [MAKE], "ALTER TABLE t RENAME TO u", ROWS,
        "CREATE OR REPLACE TABLE t AS SELECT CAST(7 AS BIGINT) AS id, CAST(8 AS BIGINT) AS x";
    create_under_an_old_name: [MAKE, "ALTER TABLE t RENAME TO u"], MAKE, "SELECT t.id FROM t, u WHERE t.id = u.id ORDER BY t.id",
        "CREATE OR REPLACE TABLE t AS SELECT CAST(3 AS BIGINT) AS id";
    drop_renamed_table: [MAKE, "ALTER TABLE t RENAME TO u"], "DROP TABLE u", "SELECT id, x FROM u ORDER BY id",
        "CREATE OR REPLACE TABLE u AS SELECT 7 AS id, 8 AS x";
    optimize: [MAKE, WRITE, WRITE], "OPTIMIZE t", ROWS, WRITE;
    zorder: [MAKE, WRITE], "OPTIMIZE t ZORDER BY (x)", ROWS, WRITE;
    vacuum: [MAKE, WRITE, WRITE, "OPTIMIZE t"], "VACUUM t RETAIN 0 HOURS", ROWS, WRITE;
);
