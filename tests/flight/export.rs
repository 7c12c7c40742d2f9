//! Exports of a mart to another server of ours.

use std::sync::Arc;

use arrow::array::AsArray;
use boathouse_engine::{
    Definition, Engine, MartOptions, Outcome, Project, Secret,
    mart::{Destination, ExportOutcome},
};
use boathouse_flight_server::{BoathouseExports, BoathouseOptions};
use boathouse_storage::catalog::{ExportDelivered, ExportPart};
use boathouse_tests::{TestServer, config};

async fn engine() -> Arc<Engine> {
    Engine::open("memory://", config()).await.unwrap()
}

/// Texts that a query gives.
async fn ask(engine: &Arc<Engine>, sql: &str) -> Vec<String> {
    match engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")) {
        Outcome::Rows(rows) => {
            let batches = rows.collect().await.unwrap();
            let texts = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Runs the mart and delivers it: what became of that, and how many rows were sent.
async fn export(engine: &Arc<Engine>, url: &str, more: &str) -> (&'static str, u64) {
    match outcome(engine, url, more, "SELECT id, name FROM t").await {
        ExportOutcome::Delivered { rows, .. } => ("delivered", rows),
        ExportOutcome::Failed(error) => panic!("{error}"),
        outcome => (outcome.word(), 0),
    }
}

async fn outcome(engine: &Arc<Engine>, url: &str, more: &str, query: &str) -> ExportOutcome {
    let options = BoathouseOptions::checked(&Secret::new(url), None, None, None).unwrap();
    let lake: Arc<dyn Destination> = Arc::new(BoathouseExports::new(options));
    let text = format!("/*---\nexport = [{{ to = \"lake\", table = \"s.rows\", {more} }}]\n---*/\n{query}");
    let definition = Definition::parse("m.t.sql", &text).unwrap();
    let destinations = [("lake".to_owned(), lake)].into_iter().collect();
    let options = MartOptions { destinations, ..MartOptions::default() };
    let project = Project::open(engine, vec![definition], options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    project.export_behind(&runs, |_| {}).await.unwrap().pop().unwrap().outcome
}

const MAKE: &str = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, name)";
const ROWS: &str = "SELECT CAST(id AS VARCHAR) || name AS x FROM s.rows ORDER BY x";
const TABLES: &str = "SELECT table_name FROM information_schema.tables WHERE table_schema = 's'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_does_what_it_says() {
    for (mode, second, found) in [
        ("mode = \"replace\"", 2, ["2B", "3c"].as_slice()),
        ("mode = \"append\"", 2, &["1a", "2B", "2b", "3c"]),
        ("mode = \"merge\", key = \"id\"", 2, &["1a", "2B", "3c"]),
    ] {
        let (own, other) = (engine().await, engine().await);
        let server = TestServer::spawn(other.clone()).await;
        ask(&own, MAKE).await;
        assert_eq!(export(&own, &server.url(), mode).await, ("delivered", 2), "{mode}");
        assert_eq!(ask(&other, ROWS).await, ["1a", "2b"], "{mode}");
        ask(&own, "DELETE FROM t WHERE id = 1").await;
        ask(&own, "UPDATE t SET name = 'B' WHERE id = 2").await;
        ask(&own, "INSERT INTO t VALUES (3, 'c')").await;
        assert_eq!(export(&own, &server.url(), mode).await, ("delivered", second), "{mode}");
        assert_eq!(ask(&other, ROWS).await, found, "{mode}");
        assert_eq!(export(&own, &server.url(), mode).await, ("up to date", 0), "{mode}");
        assert_eq!(ask(&other, TABLES).await, ["rows"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_delivered_that_ended_behind_it_is_not_delivered_twice() {
    let (own, other) = (engine().await, engine().await);
    let server = TestServer::spawn(other.clone()).await;
    ask(&own, MAKE).await;
    let mode = "mode = \"append\"";
    export(&own, &server.url(), mode).await;
    let before = own.lake().mart_exports("m.t").await.unwrap();
    let delivered: ExportDelivered = before.exports["lake/s.rows"].delivered.clone().unwrap();
    ask(&own, "INSERT INTO t VALUES (3, 'c')").await;
    export(&own, &server.url(), mode).await;
    // As it was when the statement was carried out, and nothing written down of it.
    let set_back = own.lake().change_mart_exports("m.t", |document| {
        let state = document.exports.get_mut("lake/s.rows").unwrap();
        let mark = state.delivered.as_ref().unwrap().mark.clone();
        if mark != delivered.mark {
            state.part = Some(ExportPart { mark, since: Some(delivered.mark.clone()), rows: 0 });
            state.delivered = Some(delivered.clone());
        }
    });
    set_back.await.unwrap();
    ask(&own, "INSERT INTO t VALUES (4, 'd')").await;
    assert_eq!(export(&own, &server.url(), mode).await, ("delivered", 1));
    assert_eq!(ask(&other, ROWS).await, ["1a", "2b", "3c", "4d"]);
    assert_eq!(ask(&other, TABLES).await, ["rows"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_dropped_gets_all_rows() {
    for mode in ["mode = \"append\"", "mode = \"merge\", key = \"id\""] {
        let (own, other) = (engine().await, engine().await);
        let server = TestServer::spawn(other.clone()).await;
        ask(&own, MAKE).await;
        export(&own, &server.url(), mode).await;
        ask(&other, "DROP TABLE s.rows").await;
        ask(&own, "INSERT INTO t VALUES (3, 'c')").await;
        assert_eq!(export(&own, &server.url(), mode).await, ("delivered", 3), "{mode}");
        assert_eq!(ask(&other, ROWS).await, ["1a", "2b", "3c"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_the_table_lacks_is_told_and_not_left_out() {
    let (own, other) = (engine().await, engine().await);
    let server = TestServer::spawn(other.clone()).await;
    ask(&own, MAKE).await;
    let mode = "mode = \"merge\", key = \"id\"";
    export(&own, &server.url(), mode).await;
    let query = "SELECT id, name || 'x' AS name, 5 AS more FROM t";
    let failed = outcome(&own, &server.url(), mode, query).await;
    assert!(matches!(&failed, ExportOutcome::Failed(error) if error.to_string().contains("\"more\"")), "{failed:?}");
    assert_eq!(ask(&other, ROWS).await, ["1a", "2b"]);
    ask(&other, "ALTER TABLE s.rows ADD COLUMN more BIGINT").await;
    let delivered = outcome(&own, &server.url(), mode, query).await;
    assert!(matches!(delivered, ExportOutcome::Delivered { rows: 2, .. }), "{delivered:?}");
    let rows = "SELECT CAST(id AS VARCHAR) || name || CAST(more AS VARCHAR) AS x FROM s.rows ORDER BY x";
    assert_eq!(ask(&other, rows).await, ["1ax5", "2bx5"]);
}
