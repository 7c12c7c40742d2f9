//! `SET parallel_endpoints`: the rows of one query over several streams.

use std::time::Duration;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use boathouse_engine::QueryState;
use boathouse_flight_server::{Clock, server::ServerOptions};
use boathouse_tests::{TestLake, TestServer};
use futures::{StreamExt, TryStreamExt, future::join_all};
use prost::Message;

use crate::{
    session::set,
    support::{ENDLESS, Flight, number, one, server, until, within},
};

/// A client whose queries have so many endpoints.
async fn client(server: &TestServer, endpoints: usize) -> Flight {
    let mut flight = server.flight().await;
    let cookie = set(&mut flight, &format!("SET parallel_endpoints = {endpoints}")).await;
    flight.set_header("cookie", cookie);
    flight
}

async fn info(flight: &mut Flight, sql: &str) -> FlightInfo {
    flight.execute(sql.to_owned(), None).await.unwrap()
}

async fn rows(server: &TestServer, endpoint: &FlightEndpoint) -> Vec<RecordBatch> {
    let stream = server.flight().await.do_get(endpoint.ticket.clone().unwrap()).await.unwrap();
    within("the rows", stream.try_collect::<Vec<_>>()).await.unwrap()
}

fn values(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

const MANY: &str = "SELECT value FROM generate_series(1, 200000)";

#[tokio::test(flavor = "multi_thread")]
async fn all_endpoints_together_have_each_row_once_of_one_run() {
    let (lake, server) = server().await;
    let mut flight = client(&server, 3).await;
    for at_once in [true, false] {
        let info = info(&mut flight, MANY).await;
        assert_eq!((info.endpoint.len(), info.ordered), (3, false));
        let fetched = match at_once {
            true => join_all(info.endpoint.iter().map(|endpoint| rows(&server, endpoint))).await,
            false => {
                let mut fetched = Vec::new();
                for endpoint in &info.endpoint {
                    fetched.push(rows(&server, endpoint).await);
                }
                // Whoever reads the first endpoint alone misses nothing.
                assert_eq!(values(&fetched[0]).len(), 200_000);
                fetched
            }
        };
        let mut values: Vec<i64> = fetched.iter().flat_map(|batches| values(batches)).collect();
        values.sort_unstable();
        assert_eq!(values, (1..=200_000).collect::<Vec<_>>());
        let again = server.flight().await.do_get(info.endpoint[1].ticket.clone().unwrap()).await.unwrap_err();
        assert!(again.to_string().to_lowercase().contains("not"), "{again}");
    }
    let runs = lake.engine().query_records();
    assert_eq!(runs.iter().filter(|query| &*query.sql == MANY && query.state == QueryState::Done).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_an_order_and_counts_have_one_endpoint() {
    let (_lake, server) = server().await;
    let mut flight = client(&server, 4).await;
    for sql in [
        "SELECT a FROM t ORDER BY a",
        "SELECT b FROM (SELECT a, b FROM t ORDER BY a LIMIT 2)",
        "SHOW parallel_endpoints",
        "EXPLAIN SELECT a FROM t",
    ] {
        assert_eq!(info(&mut flight, sql).await.endpoint.len(), 1, "{sql}");
    }
    let insert = info(&mut flight, "INSERT INTO t (a) VALUES (4), (5)").await;
    assert_eq!(insert.endpoint.len(), 1);
    assert_eq!(one(&rows(&server, &insert.endpoint[0]).await), 2);
    assert_eq!(number(&*server.client().await.unwrap(), "SELECT count(*) FROM t").await, 5);
    // A client that has not asked for more has one.
    assert_eq!(info(&mut server.flight().await, "SELECT a FROM t").await.endpoint.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_endpoints_read_the_versions_that_were_planned() {
    let (lake, server) = server().await;
    let mut flight = client(&server, 2).await;
    let info = info(&mut flight, "SELECT CAST(a AS BIGINT) FROM t").await;
    lake.run("INSERT INTO t (a) VALUES (4)").await;
    let mut fetched = Vec::new();
    for endpoint in &info.endpoint {
        fetched.extend(values(&rows(&server, endpoint).await));
    }
    fetched.sort_unstable();
    assert_eq!(fetched, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_all_streams() {
    let (lake, server) = server().await;
    let mut flight = client(&server, 3).await;
    let info = info(&mut flight, ENDLESS).await;
    assert_eq!(lake.engine().statements_active(), 0);
    let mut streams = Vec::new();
    for endpoint in &info.endpoint[..2] {
        let mut stream = server.flight().await.do_get(endpoint.ticket.clone().unwrap()).await.unwrap();
        within("the first rows", stream.next()).await.unwrap().unwrap();
        streams.push(stream);
    }
    assert_eq!(lake.engine().statements_active(), 1);
    let request = CancelFlightInfoRequest { info: Some(info.clone()) };
    let action = Action { r#type: "CancelFlightInfo".to_owned(), body: request.encode_to_vec().into() };
    server.flight().await.inner_mut().do_action(action).await.unwrap();
    for mut stream in streams {
        let end = within("the end", async {
            while stream.try_next().await?.is_some() {}
            Ok(()) as arrow_flight::error::Result<()>
        })
        .await;
        assert!(end.unwrap_err().to_string().to_lowercase().contains("cancelled"));
    }
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_nobody_opens_holds_nothing_up_and_ends_with_its_time() {
    let lake = TestLake::folder().await;
    let clock = Clock::stopped();
    let options = ServerOptions { drain_max: Duration::from_secs(5), clock: clock.clone(), ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    let mut flight = client(&server, 2).await;
    let info = info(&mut flight, ENDLESS).await;
    let mut stream = server.flight().await.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut fetched = 0;
    while fetched < 5_000_000 {
        fetched += within("rows", stream.try_next()).await.unwrap().unwrap().num_rows();
    }
    drop(stream);
    // The other one might still come: the query waits for it.
    tokio::task::yield_now().await;
    assert_eq!(lake.engine().statements_active(), 1);
    // Until the stream is seen to be gone it is being fetched, and its time does not pass.
    until("the query ends", || {
        clock.advance(Duration::from_secs(300));
        lake.engine().statements_active() == 0
    })
    .await;
    assert!(server.flight().await.do_get(info.endpoint[1].ticket.clone().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_query_has_its_endpoints_at_the_end() {
    let (_lake, server) = server().await;
    let mut flight = client(&server, 2).await;
    let command = CommandStatementQuery { query: MANY.to_owned(), transaction_id: None };
    let mut request = tonic::Request::new(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
    // Headers that are set there go with calls that the client makes itself.
    let cookie = set(&mut server.flight().await, "SET parallel_endpoints = 2").await;
    request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    let mut answer: PollInfo = flight.inner_mut().poll_flight_info(request).await.unwrap().into_inner();
    while let Some(descriptor) = answer.flight_descriptor.take() {
        answer = flight.inner_mut().poll_flight_info(descriptor).await.unwrap().into_inner();
    }
    let info = answer.info.unwrap();
    assert_eq!(info.endpoint.len(), 2);
    let fetched = join_all(info.endpoint.iter().map(|endpoint| rows(&server, endpoint))).await;
    assert_eq!(fetched.iter().map(|batches| values(batches).len()).sum::<usize>(), 200_000);
}
