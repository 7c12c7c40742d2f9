//! Errors: the same text as without a server, the right code, and a server that goes on.

use arrow_flight::{
    Action, FlightData, FlightDescriptor, Ticket,
    error::FlightError,
    sql::{
        ActionCreatePreparedSubstraitPlanRequest, CommandStatementSubstraitPlan, ProstMessageExt, SubstraitPlan,
        client::FlightSqlServiceClient,
    },
};
use boathouse_engine::ErrorKind;
use boathouse_flight_server::client::{Answer, Client, Embedded};
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;

use crate::support::{number, server};

#[tokio::test(flavor = "multi_thread")]
async fn errors_read_as_they_do_without_a_server() {
    let (lake, server) = server().await;
    let remote = server.client().await.unwrap();
    let embedded = Embedded::new(lake.engine(), "lake");
    for (sql, kind) in [
        ("SELECT aa\nFROM t", ErrorKind::NotFound),
        ("SELEC 1", ErrorKind::InvalidSql),
        ("SELECT * FROM nowhere", ErrorKind::NotFound),
        ("CREATE TABLE t (x INT)", ErrorKind::AlreadyExists),
        ("BEGIN", ErrorKind::Unsupported),
        ("INSERT INTO t VALUES ('not a number', 1, 2)", ErrorKind::InvalidSql),
    ] {
        let (there, here) = (remote.run(sql).await.unwrap_err(), embedded.run(sql).await.unwrap_err());
        assert_eq!(there, here, "{sql}");
        if sql.starts_with("SELECT aa") {
            assert!(here.text.contains("LINE 1: ") && here.text.contains("^^"), "{here}");
        } else {
            assert_eq!(here.kind, kind, "{here}");
        }
    }
    assert_eq!(number(&*remote, "SELECT count(*) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_of_a_stream_keeps_its_code() {
    let (lake, server) = server().await;
    let sql = "SELECT 1 / (value - 500000) AS x FROM generate_series(1, 1000000)";
    let mut flight = server.flight().await;
    let info = flight.execute(sql.to_owned(), None).await.unwrap();
    let stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    let FlightError::Tonic(status) = error else { panic!("{error:?}") };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    // And the text is the engine's.
    let Answer::Rows(rows) = Embedded::new(lake.engine(), "lake").run(sql).await.unwrap() else { panic!("no rows") };
    assert_eq!(rows.collect().await.unwrap_err().text, status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_and_the_server_goes_on() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for bytes in [&b""[..], b"\xff\xff\xff", b"SELECT 1"] {
        let raw = flight.inner_mut();
        let info = raw.get_flight_info(FlightDescriptor::new_cmd(bytes.to_vec())).await.unwrap_err();
        let schema = raw.get_schema(FlightDescriptor::new_cmd(bytes.to_vec())).await.unwrap_err();
        let get = raw.do_get(Ticket::new(bytes.to_vec())).await.unwrap_err();
        let put = raw.do_put(futures::stream::iter([])).await.unwrap_err();
        for status in [info, schema, get, put] {
            assert!(matches!(status.code(), Code::InvalidArgument | Code::Unimplemented), "{status:?}");
        }
        let action = Action { r#type: "CreatePreparedStatement".to_owned(), body: bytes.to_vec().into() };
        assert_eq!(raw.do_action(action).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(code(&mut flight, "TruncateEverything").await, Code::Unimplemented);
    assert_eq!(code(&mut flight, "BeginTransaction").await, Code::Unimplemented);
    let client = server.client().await.unwrap();
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_refused_rather_than_ignored() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let sql = "INSERT INTO t VALUES (1, 'x')".to_owned();
    let error = flight.execute_update(sql, Some("id".into())).await.unwrap_err().to_string();
    assert!(error.contains("transactions are not supported"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn substrait_plans_are_refused_by_name_in_every_call() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let plan = Some(SubstraitPlan { plan: "a plan".into(), version: "0.80.0".to_owned() });
    let command = CommandStatementSubstraitPlan { plan: plan.clone(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let raw = flight.inner_mut();
    let info = raw.get_flight_info(descriptor.clone()).await.unwrap_err();
    let poll = raw.poll_flight_info(descriptor.clone()).await.unwrap_err();
    let schema = raw.get_schema(descriptor.clone()).await.unwrap_err();
    let data = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
    let put = raw.do_put(futures::stream::iter([data])).await.unwrap_err();
    for status in [info, poll, schema, put] {
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert!(status.message().contains("StatementSubstraitPlan\" is not supported"), "{status:?}");
    }
    let request = ActionCreatePreparedSubstraitPlanRequest { plan, transaction_id: None };
    let body = request.as_any().encode_to_vec().into();
    let action = Action { r#type: "CreatePreparedSubstraitPlan".to_owned(), body };
    assert_eq!(raw.do_action(action).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let (_lake, server) = server().await;
    let url = server.url();
    server.stop().await;
    let error =
        boathouse_flight_server::client::connect(&url, Default::default(), Default::default()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.text.contains(&url) && error.text.contains("HINT"), "{error}");
}

async fn code(flight: &mut FlightSqlServiceClient<tonic::transport::Channel>, action: &str) -> Code {
    let action = Action { r#type: action.to_owned(), body: Default::default() };
    flight.inner_mut().do_action(action).await.unwrap_err().code()
}

/// `google.rpc.Status` and, in it, `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<arrow_flight::sql::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: std::collections::BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_kind_sqlstate_and_query_in_the_details() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let divides = "SELECT 1 / (value - 500000) AS x FROM generate_series(1, 1000000)";
    for (sql, code, reason, sqlstate) in [
        ("SELEC 1", Code::InvalidArgument, "INVALID_SQL", "42000"),
        ("SELECT * FROM nowhere", Code::NotFound, "NOT_FOUND", "42704"),
        ("CREATE TABLE t (x INT)", Code::AlreadyExists, "ALREADY_EXISTS", "42710"),
        ("CREATE TABLE system.x (x INT)", Code::PermissionDenied, "DENIED", "42501"),
        ("BEGIN", Code::Unimplemented, "UNSUPPORTED", "0A000"),
        // In the middle of a stream.
        (divides, Code::InvalidArgument, "INVALID_SQL", "42000"),
    ] {
        let result = async {
            let info = flight.execute(sql.to_owned(), None).await?;
            let stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await?;
            stream.try_collect::<Vec<_>>().await
        };
        let error = result.await.unwrap_err();
        let FlightError::Tonic(status) = error else { panic!("{error:?}") };
        let rpc = RpcStatus::decode(status.details()).unwrap();
        assert_eq!((rpc.code, rpc.message.as_str()), (code as i32, status.message()), "{sql}");
        let info = ErrorInfo::decode(&*rpc.details[0].value).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["sqlstate"].as_str()), (reason, sqlstate), "{sql}");
        assert_eq!(info.metadata["query_id"].len(), 36);
    }
}
