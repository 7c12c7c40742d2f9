//! Bulk ingestion: what is streamed is in the table as a whole, or not at all.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::Int32Type,
};
use arrow_flight::{
    FlightData, FlightDescriptor,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    sql::{
        CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
        client::FlightSqlServiceClient,
    },
};
use boathouse_tests::TestServer;
use futures::TryStreamExt;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{Flight, number, server, text, until};

const CREATE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Fail);
const APPEND: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Fail, TableExistsOption::Append);
const REPLACE: (TableNotExistOption, TableExistsOption) = (TableNotExistOption::Create, TableExistsOption::Replace);
const CREATE_APPEND: (TableNotExistOption, TableExistsOption) =
    (TableNotExistOption::Create, TableExistsOption::Append);

fn command(table: &str, mode: (TableNotExistOption, TableExistsOption)) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: mode.0 as i32, if_exists: mode.1 as i32 };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

fn rows(range: std::ops::Range<i32>) -> RecordBatch {
    let a: ArrayRef = Arc::new(Int32Array::from_iter_values(range.clone()));
    let b: ArrayRef = Arc::new(StringArray::from_iter_values(range.map(|n| n.to_string())));
    RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap()
}

async fn ingest(
    flight: &mut Flight,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, String> {
    let batches = futures::stream::iter(batches.into_iter().map(Ok::<_, FlightError>));
    flight.execute_ingest(command, batches).await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_once_for_a_key_also_into_a_table_that_they_make() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = crate::session::set(&mut flight, "SET idempotency_key = 'load'").await;
    flight.set_header("cookie", cookie);
    for _ in 0..2 {
        flight.execute("SET idempotency_key = 'load'".to_owned(), None).await.unwrap();
        assert_eq!(ingest(&mut flight, command("n", CREATE_APPEND), vec![rows(0..10)]).await, Ok(10));
    }
    flight.execute("SET idempotency_key = 'load'".to_owned(), None).await.unwrap();
    let error = flight.execute("INSERT INTO n VALUES (1, 'x')".to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("was used for another statement on table"), "{error}");
    assert_eq!(number(&*server.client().await.unwrap(), "SELECT count(*) FROM n").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_does_what_its_name_says() {
    let (_lake, server) = server().await;
    let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
    let count = "SELECT count(*) FROM n";
    let mut send = async |mode, range| ingest(&mut flight, command("n", mode), vec![rows(range)]).await;

    let error = send(APPEND, 0..1).await.unwrap_err();
    assert!(
        error.contains("table \\\"main.n\\\" does not exist") || error.contains("\"main.n\" does not exist"),
        "{error}"
    );
    assert_eq!(send(CREATE, 0..10).await, Ok(10));
    let error = send(CREATE, 0..1).await.unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    assert_eq!(number(&*client, count).await, 10);
    assert_eq!(send(APPEND, 10..15).await, Ok(5));
    assert_eq!(send(CREATE_APPEND, 15..20).await, Ok(5));
    assert_eq!(number(&*client, count).await, 20);
    assert_eq!(send(REPLACE, 0..3).await, Ok(3));
    assert_eq!(number(&*client, count).await, 3);
    // What was there can be had back: it is one table with one history.
    assert_eq!(number(&*client, "SELECT count(*) FROM n VERSION AS OF 2").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_are_one_commit_and_no_batch_makes_an_empty_table() {
    let (_lake, server) = server().await;
    let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
    let batches: Vec<_> = (0..40).map(|n| rows(n * 1000..(n + 1) * 1000)).collect();
    assert_eq!(ingest(&mut flight, command("t", APPEND), batches).await, Ok(40_000));
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 40_003);
    let history = text(&*client, "DESCRIBE HISTORY t").await;
    assert_eq!(history.lines().count(), 3 + 1 + 3, "{history}");

    let empty = rows(0..0);
    assert_eq!(ingest(&mut flight, command("empty", CREATE), vec![empty]).await, Ok(0));
    assert_eq!(number(&*client, "SELECT count(*) FROM empty").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_pass_what_an_insert_passes() {
    let (lake, server) = server().await;
    lake.run(
        "CREATE TABLE kept (id BIGINT GENERATED ALWAYS AS IDENTITY, a SMALLINT NOT NULL CHECK (a < 100), \
         twice BIGINT GENERATED ALWAYS AS (a * 2), b VARCHAR DEFAULT 'none')",
    )
    .await;
    let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
    let values = |values: Vec<Option<i16>>| {
        let column: ArrayRef = Arc::new(arrow::array::Int16Array::from(values));
        RecordBatch::try_from_iter_with_nullable([("A", column, true)]).unwrap()
    };
    assert_eq!(ingest(&mut flight, command("kept", APPEND), vec![values(vec![Some(1), Some(2)])]).await, Ok(2));
    assert_eq!(number(&*client, "SELECT count(*) FROM kept WHERE twice = 2 * a AND b = 'none' AND id > 0").await, 2);
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (batch, expected) in [
        (values(vec![Some(3), Some(100)]), "a_check"),
        (values(vec![None]), "NULL"),
        (RecordBatch::try_from_iter([("a", wide)]).unwrap(), "SMALLINT"),
        (RecordBatch::try_from_iter([("a", values(vec![Some(1)]).column(0).clone()), ("aa", other)]).unwrap(), "aa"),
    ] {
        let error = ingest(&mut flight, command("kept", APPEND), vec![batch]).await.unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(number(&*client, "SELECT count(*) FROM kept").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dictionaries_and_other_encodings_become_plain_columns() {
    let (_lake, server) = server().await;
    let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
    let words: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
    let large = arrow::array::LargeStringArray::from(vec![Some("l"), None, Some("m")]);
    let nothing = arrow::array::NullArray::new(3);
    let columns: [(&str, ArrayRef); 3] = [("w", Arc::new(words)), ("l", Arc::new(large)), ("n", Arc::new(nothing))];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    // Pandas tells of its index here.
    let metadata = [("pandas".to_owned(), "{}".to_owned())].into();
    let schema = batch.schema().as_ref().clone().with_metadata(metadata);
    let batch = batch.with_schema(Arc::new(schema)).unwrap();
    assert_eq!(ingest(&mut flight, command("enc", CREATE), vec![batch]).await, Ok(3));
    let rows = text(&*client, "SELECT w, l, n FROM enc ORDER BY w, l").await;
    assert!(rows.contains("| x | l | ") && rows.contains("| y |   | "), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused_by_name() {
    let (lake, server) = server().await;
    lake.run("CREATE VIEW v AS SELECT 1 AS a; CREATE SCHEMA s").await;
    let (client, mut flight) = (server.client().await.unwrap(), server.flight().await);
    let into = |table: &str| command(table, CREATE_APPEND);
    for (command, expected) in [
        (CommandStatementIngest { catalog: Some("other".to_owned()), ..into("x") }, "catalog"),
        (CommandStatementIngest { schema: Some("nowhere".to_owned()), ..into("x") }, "nowhere"),
        (CommandStatementIngest { schema: Some("system".to_owned()), ..into("x") }, "belongs to the system"),
        (CommandStatementIngest { temporary: true, ..into("x") }, "temporary"),
        (CommandStatementIngest { transaction_id: Some("1".into()), ..into("x") }, "transactions"),
        (CommandStatementIngest { options: [("speed".to_owned(), "11".to_owned())].into(), ..into("x") }, "speed"),
        (CommandStatementIngest { table_definition_options: None, ..into("x") }, "definition"),
        (into("v"), "is a view"),
        (command("v", REPLACE), "view"),
        (into("_hidden"), "hidden"),
    ] {
        let error = ingest(&mut flight, command, vec![rows(0..1)]).await.unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let qualified = CommandStatementIngest { catalog: Some("lake".into()), schema: Some("s".into()), ..into("x") };
    assert_eq!(ingest(&mut flight, qualified, vec![rows(0..2)]).await, Ok(2));
    assert_eq!(number(&*client, "SELECT count(*) FROM s.x").await, 2);
}

/// A DoPut that is under way: its schema and first rows are sent, its end is not.
async fn begun(server: &TestServer, table: &str) -> (mpsc::Sender<FlightData>, tokio::task::JoinHandle<Flight>) {
    let any = command(table, CREATE_APPEND).as_any().encode_to_vec();
    let batches = futures::stream::iter((0..3).map(|n| Ok(rows(n * 1000..(n + 1) * 1000))));
    let encoder = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(any)))
        .with_schema(rows(0..0).schema())
        .build(batches);
    let messages: Vec<FlightData> = encoder.try_collect().await.unwrap();
    let (sender, receiver) = mpsc::channel(16);
    for message in messages {
        sender.send(message).await.unwrap();
    }
    let flight = server.flight().await;
    let put = tokio::spawn(async move {
        let mut flight: FlightSqlServiceClient<_> = flight;
        let _ = flight.inner_mut().do_put(ReceiverStream::new(receiver)).await;
        flight
    });
    (sender, put)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let (lake, server) = server().await;
    let client = server.client().await.unwrap();
    // The moments differ, so that the end comes before, among and after the rows.
    for attempt in 0..40u64 {
        let (sender, put) = begun(&server, "gone").await;
        if attempt % 2 == 0 {
            until("the rows are taken", || sender.capacity() == sender.max_capacity()).await;
        }
        tokio::time::sleep(std::time::Duration::from_micros(attempt * 150)).await;
        // Cancels the call: the stream is reset.
        put.abort();
        drop(sender);
    }
    // Statements come after what was going on.
    client.run("INSERT INTO t VALUES (9, 'nine')").await.unwrap();
    let error = client.run("SELECT count(*) FROM gone").await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
    let folder = lake.path().join("main/gone/_delta_log");
    assert!(!folder.exists(), "{folder:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_stream_with_its_end_is_written() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let (sender, put) = begun(&server, "stayed").await;
    drop(sender);
    put.await.unwrap();
    assert_eq!(number(&*client, "SELECT count(*) FROM stayed").await, 3000);
}
