//! ListFlights and the lists of metadata: what they read, and what they make of a table that is broken.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arrow_flight::{Criteria, FlightInfo, sql::CommandGetTables};
use boathouse_engine::Engine;
use boathouse_storage::Lake;
use boathouse_tests::{
    TestServer, config,
    store::{Fate, RequestLog},
};
use futures::{StreamExt, TryStreamExt};

use crate::support::{Flight, fetch, table, within};

/// A lake with the tables `t0` to `t19`, each asked for the first time by this server; and what it asks its store.
async fn server() -> (tempfile::TempDir, Arc<RequestLog>, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let before = Engine::open(url, config()).await.unwrap();
    for n in 0..20 {
        before.session().execute(&format!("CREATE TABLE t{n} (a INT COMMENT 'of t{n}')")).await.unwrap();
    }
    let log = Arc::new(RequestLog::default());
    let lake = Lake::open_layered(url, &config().storage, Some(log.layer())).await.unwrap();
    let server = TestServer::spawn(Engine::on(lake, config()).unwrap()).await;
    (folder, log, server)
}

fn criteria(pattern: &str) -> Criteria {
    Criteria { expression: pattern.as_bytes().to_vec().into() }
}

async fn list(flight: &mut Flight, pattern: &str) -> Vec<FlightInfo> {
    let flights = flight.inner_mut().list_flights(criteria(pattern)).await.unwrap().into_inner();
    within("the list", flights.try_collect()).await.unwrap()
}

fn name(info: &FlightInfo) -> String {
    info.flight_descriptor.as_ref().unwrap().path[1].clone()
}

/// Tables whose logs were looked into.
fn opened(log: &RequestLog) -> BTreeSet<String> {
    let requests = log.take();
    let logs = requests.iter().filter_map(|request| request.path.split_once("/_delta_log/"));
    logs.map(|(table, _)| table.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tables_that_are_asked_for_are_read() {
    let (_folder, log, server) = server().await;
    let mut flight = server.flight().await;
    log.take();
    let found = list(&mut flight, "main.t7").await;
    assert_eq!(opened(&log), BTreeSet::from(["t7".to_owned()]));
    // It is good for what every info is good for.
    let [info] = &*found else { panic!("{found:?}") };
    assert_eq!(info.schema, flight.execute("SELECT * FROM t7".to_owned(), None).await.unwrap().schema);
    assert!(fetch(&mut flight, info).await.iter().all(|batch| batch.num_rows() == 0));

    log.take();
    let info = flight.get_tables(CommandGetTables { include_schema: false, ..Default::default() }).await.unwrap();
    assert!(table(&fetch(&mut flight, &info).await).contains("| t19 "));
    assert_eq!(opened(&log), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn few_tables_are_read_ahead_of_the_client() {
    let (_folder, log, server) = server().await;
    let mut flight = server.flight().await;
    log.take();
    log.set_rule(|request| if request.path.contains("/_delta_log/") { Fate::Held } else { Fate::Served });
    // The answer begins before any table is read.
    let mut flights =
        within("an answer", flight.inner_mut().list_flights(criteria("main.%"))).await.unwrap().into_inner();
    assert!(tokio::time::timeout(Duration::from_millis(300), flights.next()).await.is_err());
    let ahead = opened(&log);
    assert!((1..=4).contains(&ahead.len()), "{ahead:?}");
    log.clear_rule();
    let rest: Vec<_> = within("the rest", flights.try_collect()).await.unwrap();
    assert_eq!(rest.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_table_hides_no_other() {
    let (folder, _log, server) = server().await;
    let commit = folder.path().join("main/t3/_delta_log/00000000000000000000.json");
    std::fs::write(commit, "no log").unwrap();
    let mut flight = server.flight().await;
    let names: BTreeSet<_> = list(&mut flight, "main.%").await.iter().map(name).collect();
    assert_eq!(names.len(), 19);
    assert!(!names.contains("t3") && names.contains("t4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_takes_no_room_from_results_that_wait() {
    let (_folder, _log, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = crate::session::set(&mut flight, "SET parallel_endpoints = 4").await;
    flight.set_header("cookie", cookie.clone());
    let waiting = flight.execute("SELECT 7 AS x FROM generate_series(1, 2)".to_owned(), None).await.unwrap();
    assert_eq!(waiting.endpoint.len(), 4);
    for _ in 0..6 {
        let mut request = tonic::Request::new(criteria("main.%"));
        request.metadata_mut().insert("cookie", cookie.parse().unwrap());
        let flights = flight.inner_mut().list_flights(request).await.unwrap().into_inner();
        let flights: Vec<FlightInfo> = flights.try_collect().await.unwrap();
        assert!(flights.len() == 20 && flights.iter().all(|info| info.endpoint.len() == 1));
    }
    let rows = fetch(&mut flight, &waiting).await;
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
}
