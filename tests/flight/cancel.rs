//! Statements that end early, and how many run at once.

use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    error::FlightError,
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandStatementIngest, ProstMessageExt,
        TableDefinitionOptions, TableExistsOption, TableNotExistOption,
    },
};
use boathouse_engine::{EngineConfig, ErrorKind};
use boathouse_flight_server::client::{Answer, Client};
use boathouse_tests::config;
use futures::{FutureExt, StreamExt};
use prost::Message;
use tonic::Code;

use crate::support::{ENDLESS, Flight, number, server, server_with, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_rows_ends_the_query() {
    let (lake, server) = server().await;
    let client = server.client().await.unwrap();
    let Answer::Rows(mut rows) = client.run(ENDLESS).await.unwrap() else { panic!("no rows") };
    within("the first rows", rows.next()).await.unwrap().unwrap();
    assert_eq!(lake.engine().statements_active(), 1);
    drop(rows);
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_call_that_has_no_rows_yet_ends_the_query() {
    let (lake, server) = server().await;
    let client = server.client().await.unwrap();
    let sql = format!("SELECT count(*), sum(value) FROM ({ENDLESS})");
    let call = tokio::spawn(async move {
        match client.run(&sql).await {
            Ok(Answer::Rows(mut rows)) => rows.next().await.map(|_| ()),
            other => panic!("{other:?}"),
        }
    });
    until("the query runs", || lake.engine().statements_active() == 1).await;
    call.abort();
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_call_ends_its_insert_and_nothing_is_written() {
    let (lake, server) = server().await;
    for as_update in [false, true] {
        let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
        let sql = format!("INSERT INTO t (b) SELECT CAST(value AS VARCHAR) FROM ({ENDLESS})");
        let call = tokio::spawn(async move {
            match as_update {
                true => drop(flight.execute_update(sql, None).await),
                false => drop(client.run(&sql).await),
            }
        });
        until("the insert runs", || lake.engine().statements_active() == 1).await;
        call.abort();
        until("the insert ends", || lake.engine().statements_active() == 0).await;
    }
    assert_eq!(number(&*server.client().await.unwrap(), "SELECT count(*) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_call_ends_the_run_of_a_mart_that_it_asked_for() {
    let (lake, server) = server().await;
    lake.run(&format!("CREATE MART m.long AS SELECT count(*) AS n FROM ({ENDLESS})")).await;
    let client = server.client().await.unwrap();
    let call = tokio::spawn(async move { client.run("REFRESH MART m.long").await.map(drop) });
    // The statement, and the run that it waits for.
    until("the run goes on", || lake.engine().statements_active() == 2).await;
    call.abort();
    until("the run ends", || lake.engine().statements_active() == 0).await;
    let client = server.client().await.unwrap();
    let failed = "SELECT count(*) FROM system.marts WHERE name = 'm.long' AND state = 'failed'";
    let written = async {
        while number(&*client, failed).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("its lease is free", written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_can_be_cancelled_from_another_connection() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut other = server.flight().await;
    assert_eq!(cancel(&mut other, &info).await.unwrap_err(), Code::NotFound);

    let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    within("the first rows", stream.next()).await.unwrap().unwrap();
    assert_eq!(cancel(&mut other, &info).await.unwrap(), CancelStatus::Cancelled as i32);
    let end = within("the end", async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    });
    let Some(Err(FlightError::Tonic(status))) = end.await else { panic!("not cancelled") };
    assert_eq!(status.code(), Code::Cancelled);
    until("the query ends", || lake.engine().statements_active() == 0).await;
    assert_eq!(cancel(&mut other, &info).await.unwrap_err(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_clients_cancel_with_an_action_of_their_own() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    within("the first rows", stream.next()).await.unwrap().unwrap();
    let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let action = Action { r#type: "CancelQuery".to_owned(), body: request.as_any().encode_to_vec().into() };
    let mut other = server.flight().await;
    let mut results = other.inner_mut().do_action(action.clone()).await.unwrap().into_inner();
    let result = Any::decode(&*results.message().await.unwrap().unwrap().body).unwrap();
    let result: ActionCancelQueryResult = result.unpack().unwrap().unwrap();
    // CANCEL_RESULT_CANCELLED
    assert_eq!(result.result, 1);
    until("the query ends", || lake.engine().statements_active() == 0).await;
    drop(stream);
    let gone = async { while other.inner_mut().do_action(action.clone()).await.is_ok() {} };
    within("the query is not there any more", gone).await;
    assert_eq!(other.inner_mut().do_action(action).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_above_the_limit_waits_for_its_turn() {
    let (lake, server) = server_with(EngineConfig { statements_running_max: 1, ..config() }).await;
    let client = server.client().await.unwrap();
    // It computes, for ever: rows that nobody takes would let others run.
    let counting = "SELECT count(*) FROM generate_series(1, 1000000000000)";
    let Answer::Rows(rows) = client.run(counting).await.unwrap() else { panic!("no rows") };

    let second = server.client().await.unwrap();
    let mut waiting = std::pin::pin!(number(&*second, "SELECT count(*) FROM t"));
    until("the second waits", || {
        assert!(waiting.as_mut().now_or_never().is_none());
        lake.engine().statements_active() == 2
    })
    .await;
    drop(rows);
    assert_eq!(within("the second runs", waiting).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_or_send_nothing_hold_nobody_up() {
    let (_lake, server) = server_with(EngineConfig { statements_running_max: 1, ..config() }).await;
    let mut flight = server.flight().await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    let unread = flight.inner_mut().do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut sending = server.flight().await;
    let options = TableDefinitionOptions {
        if_not_exist: TableNotExistOption::Create.into(),
        if_exists: TableExistsOption::Fail.into(),
    };
    let command = CommandStatementIngest {
        table: "silent".to_owned(),
        table_definition_options: Some(options),
        ..CommandStatementIngest::default()
    };
    let batch = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
    let silent = futures::stream::iter([Ok(batch)]).chain(futures::stream::pending());
    let silent = tokio::spawn(async move { sending.execute_ingest(command, silent).await });
    let client = server.client().await.unwrap();
    for _ in 0..3 {
        assert_eq!(within("others run", number(&*client, "SELECT count(*) FROM t")).await, 3);
    }
    drop(unread);
    silent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_is_not_made() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let sql = "SELECT repeat('x', 1000) AS wide FROM generate_series(1, 1000000000000)";
    let info = flight.execute(sql.to_owned(), None).await.unwrap();
    let _unread = flight.inner_mut().do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let client = server.client().await.unwrap();
    let (mut made, mut still, mut round) = (0, 0, 0);
    // Until it makes no more while others run one query after the other.
    while still < 20 {
        round += 1;
        number(&*client, &format!("SELECT sum(value + {round}) FROM generate_series(1, 300000)")).await;
        let now = lake.engine().query_records().iter().find(|query| &*query.sql == sql).unwrap().rows;
        still = if now == made && now > 0 { still + 1 } else { 0 };
        made = now;
        assert!(made < 300_000, "{made} KB for nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_cancelled() {
    // Enough for what makes the table on a busy machine.
    let timeout = Some(Duration::from_secs(3));
    let (lake, server) = server_with(EngineConfig { statement_timeout: timeout, ..config() }).await;
    let client = server.client().await.unwrap();
    let error = within("the timeout", run_to_the_end(&*client, ENDLESS)).await;
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(error.text.contains("longer than 3s"), "{error}");
    until("the query ends", || lake.engine().statements_active() == 0).await;
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 3);
}

async fn run_to_the_end(client: &dyn Client, sql: &str) -> boathouse_flight_server::client::ClientError {
    let Answer::Rows(mut rows) = client.run(sql).await.unwrap() else { panic!("no rows") };
    loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("the query ended by itself"),
        }
    }
}

async fn cancel(flight: &mut Flight, info: &FlightInfo) -> Result<i32, Code> {
    let request = CancelFlightInfoRequest { info: Some(info.clone()) };
    let action = Action { r#type: "CancelFlightInfo".to_owned(), body: request.encode_to_vec().into() };
    let mut results = flight.inner_mut().do_action(action).await.map_err(|status| status.code())?.into_inner();
    let result = results.message().await.unwrap().unwrap();
    Ok(CancelFlightInfoResult::decode(&*result.body).unwrap().status)
}
