//! Sessions: settings and prepared statements of one client.

use std::time::Duration;

use arrow_flight::Action;
use boathouse_engine::ErrorKind;
use boathouse_flight_server::{
    Clock,
    client::{Answer, Client},
    server::ServerOptions,
};
use boathouse_tests::{TestLake, TestServer};

use crate::{
    http::{metrics, sample},
    support::{fetch, number, server, table, text},
};

const SET: &str = "SET batch_size = '1234'";
const SHOW: &str = "SHOW batch_size";

#[tokio::test(flavor = "multi_thread")]
async fn settings_last_as_long_as_the_client_and_stay_its_own() {
    let (_lake, server) = server().await;
    let (one, two) = (server.client().await.unwrap(), server.client().await.unwrap());
    let before = text(&*two, SHOW).await;
    assert!(!before.contains("1234"));
    one.run(SET).await.unwrap();
    assert!(text(&*one, SHOW).await.contains("1234"));
    assert_eq!(text(&*two, SHOW).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepare_and_use_last_too() {
    let (lake, server) = server().await;
    lake.run("CREATE SCHEMA s; CREATE TABLE s.only_here AS SELECT 1 AS x").await;
    let client = server.client().await.unwrap();
    client.run("PREPARE more AS SELECT count(*) FROM t WHERE a > $1").await.unwrap();
    assert_eq!(number(&*client, "EXECUTE more(1)").await, 2);
    client.run("USE s").await.unwrap();
    assert_eq!(number(&*client, "SELECT count(*) FROM only_here").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_carries_the_settings_of_its_session() {
    let (lake, server) = server().await;
    lake.run("CREATE SCHEMA s; CREATE TABLE s.only_here AS SELECT 1 AS x").await;
    let mut flight = server.flight().await;
    let cookie = set(&mut flight, "USE s").await;
    flight.set_header("cookie", cookie);
    let info = flight.execute("SELECT x FROM only_here".to_owned(), None).await.unwrap();
    // Redeemed over a connection that knows nothing of the session.
    let rows = fetch(&mut server.flight().await, &info).await;
    assert!(table(&rows).contains("| 1 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_or_unknown_session_fails_one_call_and_no_more() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = set(&mut flight, SET).await;
    flight.set_header("cookie", cookie);
    let info = flight.execute(SHOW.to_owned(), None).await.unwrap();
    assert!(table(&fetch(&mut flight, &info).await).contains("1234"));

    flight.do_action(Action { r#type: "CloseSession".to_owned(), body: Default::default() }).await.unwrap();
    let error = flight.execute(SHOW.to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("session has ended"), "{error}");
    let info = flight.execute(SHOW.to_owned(), None).await.unwrap();
    assert!(!table(&fetch(&mut flight, &info).await).contains("1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_uses_for_an_hour_is_forgotten() {
    let lake = TestLake::memory().await;
    let clock = Clock::stopped();
    let options = ServerOptions { clock: clock.clone(), ..ServerOptions::default() };
    let server = TestServer::watched_with(lake.engine().clone(), options).await;
    let mut flight = server.flight().await;
    let cookie = set(&mut flight, SET).await;
    flight.set_header("cookie", cookie);
    for _ in 0..2 {
        clock.advance(Duration::from_secs(3599));
        let info = flight.execute(SHOW.to_owned(), None).await.unwrap();
        assert!(table(&fetch(&mut flight, &info).await).contains("1234"));
    }
    clock.advance(Duration::from_secs(3600));
    // The next one that comes takes out what is old.
    set(&mut server.flight().await, SET).await;
    assert_eq!(sample(&metrics(server.http()).await, "boathouse_flight_sessions"), 1.0);
    let error = flight.execute(SHOW.to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("session has ended"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_cookies_work_and_keep_nothing() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    set(&mut flight, SET).await;
    let info = flight.execute(SHOW.to_owned(), None).await.unwrap();
    assert!(!table(&fetch(&mut flight, &info).await).contains("1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_names_what_can_be_typed() {
    let (lake, server) = server().await;
    lake.run("CREATE VIEW v AS SELECT a AS number FROM t").await;
    let remote = server.client().await.unwrap().names().await.unwrap();
    let embedded = boathouse_flight_server::client::Embedded::new(lake.engine(), "lake").names().await.unwrap();
    assert_eq!(remote.schemas, embedded.schemas);
    assert_eq!(remote.functions, embedded.functions);
    assert_eq!(remote.settings, embedded.settings);
    for table in &embedded.tables {
        assert!(remote.tables.contains(table), "{table:?}");
    }
    assert_eq!(remote.tables.len(), embedded.tables.len());
    let view = remote.tables.iter().find(|table| table.name == "v").unwrap();
    assert_eq!((view.schema.as_str(), view.columns.as_slice()), ("main", &["number".to_owned()][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_an_error_and_changes_nothing() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let error = client.run("SET no_such_setting = '1'").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidSql), "{error:?}");
    assert!(matches!(client.run(SET).await.unwrap(), Answer::Done(_)));
}

/// Runs a statement and gives the cookie that came with the answer.
pub async fn set(flight: &mut crate::support::Flight, sql: &str) -> String {
    use arrow_flight::{
        FlightDescriptor,
        sql::{CommandStatementQuery, ProstMessageExt},
    };
    use prost::Message;
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let response = flight.inner_mut().get_flight_info(descriptor).await.unwrap();
    let cookie = response.metadata().get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("HttpOnly"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}
