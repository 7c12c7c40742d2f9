//! Prepared statements and their parameters.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use arrow_flight::{
    Action, FlightDescriptor,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
        Any, CommandPreparedStatementQuery, ProstMessageExt,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;

use crate::support::{fetch, one, server, table};

fn pairs(rows: &[(i32, &str)]) -> RecordBatch {
    let a: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0)));
    let b: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    // Clients name parameters by their place, from 0 or from 1: the place counts.
    RecordBatch::try_from_iter([("0", a), ("1", b)]).unwrap()
}

fn numbers(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("0", column)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_takes_parameters_by_place_and_can_be_bound_again() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for sql in [
        "SELECT a FROM t WHERE a >= $1 AND (b = $2 OR b IS NULL) ORDER BY a",
        "SELECT a FROM t WHERE a >= ? AND (b = ?||'' OR b IS NULL) ORDER BY a",
    ] {
        let mut statement = flight.prepare(sql.to_owned(), None).await.unwrap();
        assert_eq!(statement.parameter_schema().unwrap().fields().len(), 2);
        assert_eq!(statement.dataset_schema().unwrap().fields().len(), 1);
        for (row, expected) in [((1, "one"), "| 1 |\n| 3 |"), ((2, "one"), "| 3 |"), ((2, "two"), "| 2 |\n| 3 |")] {
            statement.set_parameters(pairs(&[row])).unwrap();
            let info = statement.execute().await.unwrap();
            let rows = table(&fetch(&mut flight, &info).await);
            assert_eq!(rows, format!("+---+\n| a |\n+---+\n{expected}\n+---+"));
        }
        statement.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_that_their_places_ask_for() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for sql in ["SELECT a FROM t WHERE a >= $1 AND b = $2", "INSERT INTO t VALUES (?, ?)"] {
        let statement = flight.prepare(sql.to_owned(), None).await.unwrap();
        let types: Vec<_> = statement.parameter_schema().unwrap().fields().iter().map(|f| f.data_type()).collect();
        assert_eq!(types, [&DataType::Int32, &DataType::Utf8], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_was_closed_is_still_its_statement_and_nobody_elses() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let request = ActionCreatePreparedStatementRequest { query: "SELECT count(*) FROM t".into(), transaction_id: None };
    let action = |name: &str, body: Vec<u8>| Action { r#type: name.to_owned(), body: body.into() };
    let create = action("CreatePreparedStatement", request.as_any().encode_to_vec());
    let result = flight.do_action(create).await.unwrap().message().await.unwrap().unwrap();
    let created: ActionCreatePreparedStatementResult = Any::decode(&*result.body).unwrap().unpack().unwrap().unwrap();
    let handle = created.prepared_statement_handle;
    let close = ActionClosePreparedStatementRequest { prepared_statement_handle: handle.clone() };
    for _ in 0..2 {
        flight.do_action(action("ClosePreparedStatement", close.as_any().encode_to_vec())).await.unwrap();
        // It holds all that it needs, so nothing is lost with what was closed.
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = flight.inner_mut().get_flight_info(descriptor).await.unwrap().into_inner();
        assert_eq!(one(&fetch(&mut flight, &info).await), 3);
    }
    let unknown = ActionClosePreparedStatementRequest { prepared_statement_handle: "no handle".into() };
    let refused =
        flight.inner_mut().do_action(action("ClosePreparedStatement", unknown.as_any().encode_to_vec())).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_bound_to_several_rows_runs_for_each() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let mut statement = flight.prepare("SELECT $1 * 10 AS x".to_owned(), None).await.unwrap();
    statement.set_parameters(numbers(&[3, 1, 2])).unwrap();
    let info = statement.execute().await.unwrap();
    let rows = table(&fetch(&mut flight, &info).await);
    let places = ["30", "10", "20"].map(|value| rows.find(value).unwrap());
    assert!(places.is_sorted(), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_runs_for_every_row_of_parameters() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let mut statement = flight.prepare("INSERT INTO t VALUES ($1, $2)".to_owned(), None).await.unwrap();
    statement.set_parameters(pairs(&[(10, "x"), (11, "y"), (12, "z")])).unwrap();
    assert_eq!(statement.execute_update().await.unwrap(), 3);
    let info = flight.execute("SELECT count(*) FROM t WHERE a >= 10".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_sees_what_the_one_before_wrote() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let sql = "INSERT INTO t SELECT CAST(count(*) + $1 AS INT), 'n' FROM t";
    let mut statement = flight.prepare(sql.to_owned(), None).await.unwrap();
    statement.set_parameters(numbers(&[100, 100])).unwrap();
    assert_eq!(statement.execute_update().await.unwrap(), 2);
    let info = flight.execute("SELECT a FROM t WHERE a > 100 ORDER BY a".to_owned(), None).await.unwrap();
    let rows = table(&fetch(&mut flight, &info).await);
    assert!(rows.contains("| 103 |\n| 104 |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_change_sent_as_a_query_runs_once() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let mut statement = flight.prepare("INSERT INTO t VALUES ($1, $2)".to_owned(), None).await.unwrap();
    statement.set_parameters(pairs(&[(10, "x"), (11, "y")])).unwrap();
    let info = statement.execute().await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 2);
    let info = flight.execute("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_whether_a_statement_is_an_update() {
    /// `ActionCreatePreparedStatementResult` with the field that arrow-flight lacks.
    #[derive(Clone, PartialEq, Message)]
    struct Created {
        #[prost(bytes = "bytes", tag = "2")]
        dataset_schema: Bytes,
        #[prost(bytes = "bytes", tag = "3")]
        parameter_schema: Bytes,
        #[prost(bool, optional, tag = "4")]
        is_update: Option<bool>,
    }
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for (sql, is_update) in
        [("SELECT 1", false), ("SHOW TABLES", false), ("INSERT INTO t VALUES (1, 'x')", true), ("DROP TABLE t", true)]
    {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let body = request.as_any().encode_to_vec().into();
        let action = Action { r#type: "CreatePreparedStatement".to_owned(), body };
        let result = flight.do_action(action).await.unwrap().message().await.unwrap().unwrap();
        let created = Created::decode(&*Any::decode(&*result.body).unwrap().value).unwrap();
        assert_eq!(created.is_update, Some(is_update), "{sql}");
        assert_eq!(created.dataset_schema.is_empty(), is_update, "{sql}");
        assert!(!created.parameter_schema.is_empty(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_parameters_are_an_error_and_not_a_value() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let sql = "SELECT a FROM t WHERE a = $1";
    let info = flight.prepare(sql.to_owned(), None).await.unwrap().execute().await.unwrap();
    let error = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("0 were given"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_its_parameter_cannot_hold_is_refused_and_not_rounded() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let bind = |value: f64| {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        RecordBatch::try_from_iter([("0", column)]).unwrap()
    };
    for (sql, value, expected) in [
        ("SELECT count(*) FROM t WHERE a < $1", 2.0, Some(1)),
        ("SELECT count(*) FROM t WHERE a < $1", 1.5, None),
        ("SELECT count(*) FROM t WHERE a < CAST($1 AS DOUBLE)", 1.5, Some(1)),
    ] {
        let mut statement = flight.prepare(sql.to_owned(), None).await.unwrap();
        statement.set_parameters(bind(value)).unwrap();
        let info = statement.execute().await.unwrap();
        match (flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await, expected) {
            (Ok(rows), Some(expected)) => assert_eq!(one(&rows.try_collect::<Vec<_>>().await.unwrap()), expected),
            (Err(error), None) => assert!(error.to_string().contains("cannot hold the value 1.5"), "{error}"),
            (other, _) => panic!("{sql} with {value}: {}", other.is_ok()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_for_every_row_of_parameters_happens_once_for_a_key() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = crate::session::set(&mut flight, "SET batch_size = 1000").await;
    flight.set_header("cookie", cookie);
    for _ in 0..2 {
        flight.execute("SET idempotency_key = 'three rows'".to_owned(), None).await.unwrap();
        let mut statement = flight.prepare("INSERT INTO t VALUES ($1, $2)".to_owned(), None).await.unwrap();
        statement.set_parameters(pairs(&[(10, "x"), (11, "y"), (12, "z")])).unwrap();
        assert_eq!(statement.execute_update().await.unwrap(), 3);
    }
    let info = flight.execute("SELECT count(*) FROM t WHERE a >= 10".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 3);
}

/// Commits to `t` so far.
async fn commits(flight: &mut crate::support::Flight) -> usize {
    let info = flight.execute("DESCRIBE HISTORY t".to_owned(), None).await.unwrap();
    fetch(flight, &info).await.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_parameters_are_one_commit_or_none() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let before = commits(&mut flight).await;
    let mut statement = flight.prepare("INSERT INTO t VALUES ($1, $2)".to_owned(), None).await.unwrap();
    let many: Vec<(i32, &str)> = (0..1000).map(|n| (100 + n, "many")).collect();
    statement.set_parameters(pairs(&many)).unwrap();
    assert_eq!(statement.execute_update().await.unwrap(), 1000);
    assert_eq!(commits(&mut flight).await, before + 1);

    // Constants beside parameters, parameters of another type, a parameter that is used in an expression.
    for (sql, expected) in
        [("INSERT INTO t (b, a) VALUES ('constant', ?)", 1), ("INSERT INTO t VALUES (CAST(? AS INT), 'constant')", 3)]
    {
        let before = commits(&mut flight).await;
        let mut statement = flight.prepare(sql.to_owned(), None).await.unwrap();
        statement.set_parameters(numbers(&[7, 8, 9])).unwrap();
        assert_eq!(statement.execute_update().await.unwrap(), 3, "{sql}");
        assert_eq!(commits(&mut flight).await, before + expected, "{sql}");
    }
    let sql = "SELECT sum(a) FROM t WHERE b = 'constant'".to_owned();
    let info = flight.execute(sql, None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 7 + 8 + 9 + 7 + 8 + 9);

    let before = commits(&mut flight).await;
    let mut statement = flight.prepare("INSERT INTO t (a) VALUES ($1)".to_owned(), None).await.unwrap();
    for (bad, text) in
        [(vec![1, 1 << 40, 2], "is INT, but the value given is 1099511627776"), (vec![1, 2, 3], "1 parameter")]
    {
        let column: ArrayRef = Arc::new(Int64Array::from(bad.clone()));
        let mut columns = vec![("0", column.clone())];
        if text == "1 parameter" {
            columns.push(("1", column));
        }
        statement.set_parameters(RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let error = statement.execute_update().await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(text == "1 parameter" || error.contains("Row 2 of 3"), "{error}");
    }
    assert_eq!(commits(&mut flight).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_prepared_before_its_table_changed_means_what_it_says_now() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let sql = "INSERT INTO t VALUES ($1, $2)";
    let mut old = flight.prepare(sql.to_owned(), None).await.unwrap();
    old.set_parameters(pairs(&[(10, "x")])).unwrap();
    assert_eq!(old.execute_update().await.unwrap(), 1);
    lake.run("ALTER TABLE t ADD COLUMN c INT").await;
    let new = flight.prepare(sql.to_owned(), None).await.err().unwrap().to_string();
    assert!(new.contains("2 values for 3 columns"), "{new}");
    assert_eq!(old.execute_update().await.unwrap_err().to_string(), new);

    lake.run("CREATE OR REPLACE TABLE t (b VARCHAR, a VARCHAR)").await;
    assert_eq!(old.execute_update().await.unwrap(), 1);
    let info = flight.execute("SELECT count(*) FROM t WHERE b = '10' AND a = 'x'".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 1);
    lake.run("DROP TABLE t").await;
    let gone = old.execute_update().await.unwrap_err().to_string();
    assert!(gone.contains("does not exist"), "{gone}");
}
