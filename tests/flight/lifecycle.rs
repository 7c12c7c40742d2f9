//! Where a server listens, and how it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementQuery, ProstMessageExt},
};

use boathouse_engine::{Engine, ErrorKind};
use boathouse_flight_server::{
    client::Answer,
    server::{BindError, ServerOptions, bind},
};
use boathouse_storage::Lake;
use boathouse_tests::{
    TestLake, TestServer, config,
    store::{Fate, RequestKind, RequestLog},
};
use futures::StreamExt;
use prost::Message;

use crate::support::{ENDLESS, server, until, within};

#[tokio::test]
async fn port_0_picks_a_free_port() {
    let (one, two) = (bind("127.0.0.1:0", false).await.unwrap(), bind("localhost:0", false).await.unwrap());
    assert_ne!(one.local_addr().unwrap().port(), 0);
    assert_ne!(one.local_addr().unwrap(), two.local_addr().unwrap());
}

#[tokio::test]
async fn other_addresses_than_loopback_are_refused_unless_asked_for() {
    for address in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let error = bind(address, false).await.unwrap_err();
        assert!(matches!(error, BindError::Exposed { .. }), "{error}");
        assert!(error.to_string().contains("--insecure"), "{error}");
    }
    bind("0.0.0.0:0", true).await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = bind("127.0.0.1:0", false).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listen in [address.as_str(), "127.0.0.1", "not an address"] {
        let error = bind(listen, false).await.unwrap_err().to_string();
        assert!(error.contains(listen), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_running_statements_finish() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let sql = "SELECT value, repeat('x', 100) AS wide FROM generate_series(1, 400000)";
    let Answer::Rows(mut rows) = client.run(sql).await.unwrap() else { panic!("no rows") };
    let mut count = within("the first rows", rows.next()).await.unwrap().unwrap().num_rows();
    let url = server.url();
    let stopped = tokio::spawn(server.stop());
    while let Some(batch) = within("more rows", rows.next()).await {
        count += batch.unwrap().num_rows();
    }
    assert_eq!(count, 400_000);
    within("the end of the server", stopped).await.unwrap();
    let error =
        boathouse_flight_server::client::connect(&url, Default::default(), Default::default()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_stops_what_does_not_finish_in_time() {
    let lake = TestLake::memory().await;
    let options = ServerOptions { drain_max: Duration::from_millis(100), ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    let client = server.client().await.unwrap();
    let Answer::Rows(mut rows) = client.run(ENDLESS).await.unwrap() else { panic!("no rows") };
    within("the first rows", rows.next()).await.unwrap().unwrap();
    let stopped = tokio::spawn(server.stop());
    let end = within("the end of the rows", async {
        loop {
            match rows.next().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    });
    let error = end.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    within("the end of the server", stopped).await.unwrap();
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_idle_clients() {
    let (_lake, server) = server().await;
    let _idle = server.client().await.unwrap();
    within("the end of the server", server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_a_polled_insert_that_has_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(RequestLog::default());
    let lake = Lake::open_layered(folder.path().to_str().unwrap(), &config().storage, Some(log.layer())).await.unwrap();
    let engine = Engine::on(lake, config()).unwrap();
    for sql in ["CREATE TABLE s (a INT)", "INSERT INTO s VALUES (1)", "CREATE TABLE t (a INT)"] {
        engine.session().execute(sql).await.unwrap();
    }
    let server = TestServer::spawn(engine.clone()).await;
    let reached = Arc::new(AtomicBool::new(false));
    let seen = reached.clone();
    log.set_rule(move |request| {
        let reads = request.kind == RequestKind::Get && request.path.ends_with(".parquet");
        seen.fetch_or(reads, Ordering::Relaxed);
        if reads { Fate::Held } else { Fate::Served }
    });
    let mut flight = server.flight().await;
    let command = CommandStatementQuery { query: "INSERT INTO t SELECT a FROM s".to_owned(), transaction_id: None };
    let asked = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let answer = within("a poll", flight.inner_mut().poll_flight_info(asked)).await.unwrap().into_inner();
    assert!(answer.flight_descriptor.is_some(), "it is not done");
    drop(flight);
    until("it reads", || reached.load(Ordering::Relaxed)).await;
    let mut stopping = tokio::spawn(server.stop());
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut stopping).await.is_err(), "it was left behind");
    log.clear_rule();
    within("the end of the server", stopping).await.unwrap();
    assert_eq!(engine.lake().table("main", "t").await.unwrap().version(), 1);
}
