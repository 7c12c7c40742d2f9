//! Queries and statements with an effect, one by one.

use arrow::{
    array::AsArray,
    datatypes::{Int64Type, Schema},
};
use arrow_flight::{
    FlightDescriptor, IpcMessage,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use boathouse_flight_server::client::Answer;
use futures::TryStreamExt;
use prost::Message;

use crate::support::{Flight, fetch, number, one, server, table, text};

#[tokio::test(flavor = "multi_thread")]
async fn our_client_gets_rows_counts_and_tags() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let rows = text(&*client, "SELECT a, b FROM t ORDER BY a;").await;
    assert_eq!(rows, "+---+-----+\n| a | b   |\n+---+-----+\n| 1 | one |\n| 2 | two |\n| 3 |     |\n+---+-----+");
    let changed = client.run("INSERT INTO t VALUES (4, 'four'), (5, 'five')").await.unwrap();
    assert!(matches!(changed, Answer::Changed { rows: 2, parts: None }), "{changed:?}");
    let done = client.run("CREATE TABLE u (x BIGINT)").await.unwrap();
    assert!(matches!(&done, Answer::Done(tag) if tag == "CREATE TABLE"), "{done:?}");
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_rows_still_has_its_columns() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let Answer::Rows(rows) = client.run("SELECT a, b FROM t WHERE a > 100").await.unwrap() else { panic!("no rows") };
    assert_eq!(rows.schema().fields().len(), 2);
    let batches = rows.collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_sent_as_a_query_runs_once_however_often_its_result_is_fetched() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute("INSERT INTO t VALUES (4, 'x'), (5, 'y')".to_owned(), None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(one(&fetch(&mut flight, &info).await), 2);
    }
    let count = flight.execute("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &count).await), 5);
}

/// Rows inserted, updated and deleted, each with a number of its own, also when the answer is asked for a second time.
#[tokio::test(flavor = "multi_thread")]
async fn merges_and_overwrites_tell_what_their_count_is_made_of() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = crate::session::set(&mut flight, "SET batch_size = 1000").await;
    flight.set_header("cookie", cookie);
    let merge = "MERGE INTO t USING (SELECT a + 1 AS a, b FROM t) AS s ON t.a = s.a
        WHEN MATCHED AND s.a = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET b = s.b
        WHEN NOT MATCHED THEN INSERT (a, b) VALUES (CAST(s.a AS INT), s.b)";
    // Rows 1, 2, 3 become 1, 2, 4.
    for (sql, count, parts) in [
        (merge, 3, [1, 1, 1]),
        ("INSERT OVERWRITE t SELECT a, b FROM t WHERE a > 1", 2, [2, 0, 3]),
        ("INSERT INTO t REPLACE WHERE a > 1 VALUES (5, 'five')", 1, [1, 0, 2]),
        ("INSERT INTO t REPLACE USING (a) VALUES (5, 'V'), (6, 'VI')", 2, [2, 0, 1]),
    ] {
        for _ in 0..2 {
            flight.execute(format!("SET idempotency_key = '{count} {parts:?}'"), None).await.unwrap();
            let info = flight.execute(sql.to_owned(), None).await.unwrap();
            let batches = fetch(&mut flight, &info).await;
            let names: Vec<String> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(names, ["count", "inserted", "updated", "deleted"], "{sql}");
            let column = |at: usize| batches[0].column(at).as_primitive::<Int64Type>().value(0);
            assert_eq!((column(0), [column(1), column(2), column(3)]), (count, parts), "{sql}");
        }
    }
    let updated = flight.execute_update("INSERT OVERWRITE t VALUES (1, 'one')".to_owned(), None).await.unwrap();
    assert_eq!(updated, 1, "the rows that came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_sent_as_a_query_gives_no_rows() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute("CREATE TABLE u (x INT)".to_owned(), None).await.unwrap();
    assert_eq!(fetch(&mut flight, &info).await.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
    lake.run("SELECT x FROM u").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_gives_its_count_and_a_query_is_not_one() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    assert_eq!(flight.execute_update("INSERT INTO t VALUES (7, 'x')".to_owned(), None).await.unwrap(), 1);
    assert_eq!(flight.execute_update("CREATE SCHEMA s".to_owned(), None).await.unwrap(), 0);
    let error = flight.execute_update("SELECT 1".to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("returns rows"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_reads_the_versions_that_it_was_planned_on() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    lake.run("INSERT INTO t VALUES (4, 'late')").await;
    assert_eq!(one(&fetch(&mut flight, &info).await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_schema_runs_nothing() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    for sql in ["INSERT INTO t VALUES (9, 'x')", "DROP TABLE t", "CREATE TABLE u (x INT)"] {
        get_schema(&mut flight, sql).await;
        flight.prepare(sql.to_owned(), None).await.unwrap();
    }
    assert!(lake.text("SELECT count(*) AS n FROM t").await.contains("| 3 |"));
    assert!(lake.error("SELECT * FROM u").await.contains("main.u"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calls_announce_the_schema_that_the_stream_has() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for sql in [
        "SELECT a, b, a + 1 AS c, b || 'x' AS d, count(*) OVER () AS e FROM t",
        "SELECT sum(a) AS s, avg(a) AS m, max(b) AS b, count(*) AS n FROM t",
        "SELECT [1, NULL] AS l, {'x': 1, 'y': 'z'} AS s, NULL AS n, TRUE AS t",
        "SELECT arrow_cast([1, 2], 'LargeList(Int64)') AS l, arrow_cast('x', 'LargeUtf8') AS u",
        "SELECT arrow_cast('x', 'Utf8View') AS v, arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d",
        "SELECT CAST(1 AS DECIMAL(12, 2)) AS d, DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29 12:00:00' AS moment",
        "SELECT a, count(*) AS n FROM t GROUP BY a UNION ALL SELECT 9, 9",
        "SELECT t.a, u.b FROM t LEFT JOIN t u ON t.a = u.a + 1",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "INSERT INTO t VALUES (100, 'z')",
        "INSERT OVERWRITE t VALUES (100, 'z')",
        "MERGE INTO t USING t AS s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "CREATE SCHEMA IF NOT EXISTS s2",
    ] {
        let schema = get_schema(&mut flight, sql).await;
        let types = format!("{:?}", schema.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>());
        assert!(!types.contains("View") && !types.contains("Dictionary"), "{sql}: {types}");
        // Drivers tell a change by that it announces no columns when it is prepared.
        let is_change = ["INSERT", "MERGE", "CREATE"].iter().any(|word| sql.starts_with(word));
        let prepared = flight.prepare(sql.to_owned(), None).await.unwrap();
        let announced = if is_change { &Schema::empty() } else { &schema };
        assert_eq!(prepared.dataset_schema().unwrap(), announced, "{sql}");
        let info = flight.execute(sql.to_owned(), None).await.unwrap();
        assert_eq!(info.clone().try_decode_schema().unwrap(), schema, "{sql}");
        let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await.unwrap() {
            assert_eq!(*batch.schema(), schema, "{sql}");
            batches.push(batch);
        }
        assert_eq!(**stream.schema().unwrap(), schema, "{sql}");
        table(&batches);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_come_in_messages_that_small_clients_take() {
    let (_lake, server) = server().await;
    // This client takes messages of 4 MiB; one batch of the engine is ten times that.
    let mut flight = server.flight().await;
    let sql = "SELECT repeat('x', 10000) AS wide, value FROM generate_series(1, 8000)";
    let info = flight.execute(sql.to_owned(), None).await.unwrap();
    let batches = fetch(&mut flight, &info).await;
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 8000);
    assert!(batches.iter().all(|batch| batch.column(0).as_string::<i32>().value_data().len() <= 2 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_passes_through_without_piling_up() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let sql = "SELECT repeat('x', 1000) AS wide FROM generate_series(1, 1500000)";
    let before = memory_mib();
    let Answer::Rows(mut rows) = client.run(sql).await.unwrap() else { panic!("no rows") };
    let (mut count, mut most) = (0, 0);
    while let Some(batch) = rows.try_next().await.unwrap() {
        count += batch.num_rows();
        most = most.max(memory_mib());
    }
    assert_eq!(count, 1_500_000);
    // 1500 MiB went through. Tests beside this one take some memory too.
    assert!(most < before + 600, "{before} MiB before, {most} MiB while the rows came");
}

/// Memory of this process, in which server and client are.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn get_schema(flight: &mut Flight, sql: &str) -> Schema {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let result = flight.inner_mut().get_schema(descriptor).await.unwrap().into_inner();
    Schema::try_from(IpcMessage(result.schema)).unwrap()
}
