//! What the tests of this folder share.

use std::{future::Future, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    util::pretty::pretty_format_batches,
};
use arrow_flight::{FlightInfo, sql::client::FlightSqlServiceClient};
use boathouse_engine::EngineConfig;
use boathouse_flight_server::client::{Answer, Client};
use boathouse_tests::{TestLake, TestServer, config};
use futures::TryStreamExt;
use tonic::transport::Channel;

pub type Flight = FlightSqlServiceClient<Channel>;

/// Longer than anything here takes on a slow machine; a test that hangs ends with a reason.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A query that never ends by itself.
pub const ENDLESS: &str = "SELECT value FROM generate_series(1, 1000000000000)";

/// A lake with the table `t (a INT, b VARCHAR)` of three rows, and a server on it.
pub async fn server() -> (TestLake, TestServer) {
    server_with(config()).await
}

pub async fn server_with(config: EngineConfig) -> (TestLake, TestServer) {
    let lake = TestLake::folder_with(config).await;
    lake.run("CREATE TABLE t (a INT, b VARCHAR); INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL)").await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    (lake, server)
}

/// The rows of a statement as a table of text.
pub async fn text(client: &dyn Client, sql: &str) -> String {
    match client.run(sql).await {
        Ok(Answer::Rows(rows)) => table(&rows.collect().await.unwrap()),
        other => panic!("{sql}: {other:?}"),
    }
}

pub fn table(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

/// The one number that a query gives.
pub async fn number(client: &dyn Client, sql: &str) -> i64 {
    match client.run(sql).await {
        Ok(Answer::Rows(rows)) => one(&rows.collect().await.unwrap()),
        other => panic!("{sql}: {other:?}"),
    }
}

pub fn one(batches: &[RecordBatch]) -> i64 {
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

/// All rows behind an info.
pub async fn fetch(flight: &mut Flight, info: &FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    flight.do_get(ticket).await.unwrap().try_collect().await.unwrap()
}

/// Waits until `done` holds.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, wait).await;
}

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}
