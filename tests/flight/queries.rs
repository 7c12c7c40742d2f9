//! Statements as others see them: `system.queries` and KILL QUERY over the wire.

use arrow_flight::{
    FlightDescriptor,
    error::FlightError,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use boathouse_engine::{ErrorKind, QueryState};
use boathouse_flight_server::client::{Answer, Client};
use futures::StreamExt;
use prost::Message;
use tonic::Code;

use crate::support::{ENDLESS, server, text, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_killed_from_another_session_and_its_client_is_told() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    assert_eq!(lake.engine().query_records().iter().filter(|query| &*query.sql == ENDLESS).count(), 0);
    let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    within("the first rows", stream.next()).await.unwrap().unwrap();

    let other = server.client().await.unwrap();
    let known = "SELECT query_id FROM system.queries WHERE state = 'running' AND sql LIKE '%1000000000000)'";
    let id = cell(&*other, known).await;
    let who = cell(&*other, &format!("SELECT client FROM system.queries WHERE query_id = '{id}'")).await;
    assert!(who.starts_with("tonic/") && who.contains(" (127.0.0.1:"), "{who}");

    let Answer::Done(tag) = other.run(&format!("KILL QUERY '{id}'")).await.unwrap() else { panic!("no tag") };
    assert_eq!(tag, "KILL QUERY");
    let end = within("the end", async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    });
    let Some(Err(FlightError::Tonic(status))) = end.await else { panic!("not killed") };
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "the statement was killed by KILL QUERY"));
    until("the query ends", || lake.engine().statements_active() == 0).await;

    let error = other.run(&format!("KILL QUERY '{id}'")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.text.contains("has ended: it is cancelled"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_is_found_by_the_id_that_its_client_was_told() {
    let (lake, server) = server().await;
    let command = CommandStatementQuery { query: "SELECT nothing FROM t".to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let status = server.flight().await.inner_mut().get_flight_info(descriptor).await.unwrap_err();
    let records = lake.engine().query_records();
    let failed = records.iter().find(|query| &*query.sql == "SELECT nothing FROM t").unwrap();
    assert_eq!(failed.state, QueryState::Failed);
    let details = String::from_utf8_lossy(status.details());
    assert!(details.contains(&failed.origin.query_id.to_string()), "{details}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_when_it_is_fetched_is_found_by_the_id_that_its_client_is_told() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute("SELECT b FROM t".to_owned(), None).await.unwrap();
    lake.run("DROP TABLE t PURGE").await;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let status = flight.inner_mut().do_get(ticket).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    let records = lake.engine().query_records();
    let failed = records.iter().find(|query| &*query.sql == "SELECT b FROM t").unwrap();
    let details = String::from_utf8_lossy(status.details());
    assert!(details.contains(&failed.origin.query_id.to_string()), "{details}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_insert_counts_for_each_call() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let mut statement = flight.prepare("INSERT INTO t VALUES (7, 'x')".to_owned(), None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(statement.execute_update().await.unwrap(), 1);
    }
    let mut records = lake.engine().query_records();
    records.retain(|query| &*query.sql == "INSERT INTO t VALUES (7, 'x')");
    assert_eq!(records.iter().map(|query| (query.state, query.rows)).collect::<Vec<_>>(), [(QueryState::Done, 1); 2]);
    assert_ne!(records[0].origin.query_id, records[1].origin.query_id);
}

/// The text of the only cell.
async fn cell(client: &dyn Client, sql: &str) -> String {
    let table = text(client, sql).await;
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 5, "{table}");
    rows[3].trim_matches(['|', ' ']).to_owned()
}
