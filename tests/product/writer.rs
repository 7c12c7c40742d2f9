//! Another Delta writer beside a running server.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    util::pretty::pretty_format_batches,
};
use boathouse_flight_server::client::{Answer, Client};
use boathouse_tests::{TestLake, TestServer};
use deltalake::DeltaTable;
use url::Url;

async fn text(client: &dyn Client, sql: &str) -> String {
    let Answer::Rows(rows) = client.run(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}")) else {
        panic!("no rows: {sql}");
    };
    pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_writer_is_there_while_the_server_runs() {
    let lake = TestLake::folder().await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    let client = server.client().await.unwrap();
    assert!(!text(client.as_ref(), "SHOW TABLES").await.contains("visitors"));

    let folder = lake.path().join("harbour").join("visitors");
    std::fs::create_dir_all(&folder).unwrap();
    let batch = |n: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    };
    let table = DeltaTable::try_from_url(Url::from_directory_path(&folder).unwrap()).await.unwrap();
    let table = table.write(vec![batch(3)]).await.unwrap();
    assert!(text(client.as_ref(), "SHOW TABLES IN harbour").await.contains("visitors"));
    assert!(text(client.as_ref(), "SELECT count(*) AS n FROM harbour.visitors").await.contains("| 3 "));

    // Each commit of the other is seen by the next statement, and ours by the other.
    let table = table.write(vec![batch(4)]).await.unwrap();
    assert!(text(client.as_ref(), "SELECT count(*) AS n FROM harbour.visitors").await.contains("| 7 "));
    client.run("INSERT INTO harbour.visitors VALUES (100)").await.unwrap();
    let mut table = table;
    table.load().await.unwrap();
    assert_eq!(table.version(), Some(2));
    table.write(vec![batch(2)]).await.unwrap();
    assert!(text(client.as_ref(), "SELECT count(*) AS n FROM harbour.visitors").await.contains("| 10 "));
}
