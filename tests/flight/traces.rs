//! Traces of statements, as a collector gets them.

use std::time::{Duration, Instant};

use arrow_flight::{
    FlightDescriptor, FlightInfo,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use boathouse_flight_server::{TraceOptions, server::ServerOptions};
use boathouse_tests::{Collector, SentSpan, TestLake, TestServer};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Request, Response};

use crate::{
    http::{metrics, sample},
    support::{ENDLESS, Flight, fetch, number, server, until, within},
};

const SERVICE: &str = "arrow.flight.protocol.FlightService";
const PARENT: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// A lake as others have it, and a server that sends this share of its traces.
async fn traced(sample: f64) -> (TestLake, TestServer, Collector) {
    let (lake, _) = server().await;
    let collector = Collector::spawn().await;
    let traces = Some(TraceOptions { sample, ..TraceOptions::to(collector.url()) });
    let options = ServerOptions { drain_max: Duration::from_secs(5), traces, ..ServerOptions::default() };
    let server = TestServer::watched_with(lake.engine().clone(), options).await;
    (lake, server, collector)
}

fn asked(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

/// GetFlightInfo within a span of the client's.
async fn info_within(flight: &mut Flight, sql: &str, traceparent: &str) -> FlightInfo {
    let mut request = Request::new(asked(sql));
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    flight.inner_mut().get_flight_info(request).await.map(Response::into_inner).unwrap()
}

fn call<'a>(spans: &'a [SentSpan], method: &str) -> &'a SentSpan {
    let name = format!("{SERVICE}/{method}");
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{method} in {spans:#?}");
    found[0]
}

/// The names of the spans within one, each once, in the order in which they began.
fn within_span<'a>(spans: &'a [SentSpan], parent: &SentSpan) -> Vec<&'a SentSpan> {
    spans.iter().filter(|span| span.parent == parent.id).collect()
}

fn names<'a>(spans: &[&'a SentSpan]) -> Vec<&'a str> {
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_for_a_query_are_one_trace_which_has_its_id() {
    let (lake, server, collector) = traced(1.0).await;
    let mut flight = server.flight().await;
    let sql = "SELECT a FROM t ORDER BY a";
    let info = flight.execute(sql.to_owned(), None).await.unwrap();
    assert_eq!(fetch(&mut flight, &info).await[0].num_rows(), 3);
    let records = lake.engine().query_records();
    let record = records.iter().find(|query| &*query.sql == sql).unwrap();
    let known = server.client().await.unwrap();
    let listed =
        format!("SELECT count(*) FROM system.queries WHERE trace_id = replace('{}', '-', '')", record.origin.query_id);
    assert_eq!(number(&*known, &listed).await, 1);
    drop((known, flight));
    within("the end", server.stop()).await;

    let trace = record.origin.query_id.simple().to_string();
    assert_eq!(record.trace_id().as_deref(), Some(&*trace));
    let mut spans = collector.spans();
    spans.retain(|span| span.trace == trace);
    let (planned, run) = (call(&spans, "GetFlightInfo"), call(&spans, "DoGet"));
    assert_eq!(names(&within_span(&spans, planned)), ["planning"]);
    let parts = within_span(&spans, run);
    let mut kinds = names(&parts);
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["executing", "fetching", "planning", "queued"]);
    for call in [planned, run] {
        assert!(call.is_server && call.parent.is_empty() && call.error.is_none(), "{call:?}");
        for (name, value) in [
            ("db.system.name", "boathouse"),
            ("db.operation.name", "SELECT"),
            ("db.query.text", sql),
            ("boathouse.query_id", &record.origin.query_id.to_string()),
            ("rpc.system.name", "grpc"),
            ("rpc.response.status_code", "OK"),
            ("client.address", "127.0.0.1"),
        ] {
            assert_eq!(call.get(name), value, "{name}");
        }
        assert_eq!(call.resource["service.name"], "boathouse");
        for part in within_span(&spans, call) {
            assert!(!part.is_server && part.began_ns <= part.ended_ns, "{part:?}");
            // Clocks of one machine, read one after the other.
            assert!(part.began_ns + 1_000_000 >= call.began_ns, "{part:?} in {call:?}");
            assert!(part.ended_ns <= call.ended_ns + 1_000_000, "{part:?} in {call:?}");
        }
    }
    assert_eq!(run.get("boathouse.rows"), "3");
    let executed = parts.iter().rfind(|part| part.name == "executing").unwrap();
    assert_eq!((executed.get("boathouse.rows"), executed.get("boathouse.files_read")), ("3", "1"));
    assert_ne!(executed.get("boathouse.bytes_read"), "0");
    assert_ne!(parts.iter().find(|part| part.name == "fetching").unwrap().get("boathouse.sent_bytes"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_says_which_trace_a_call_is_in_and_whether_it_is_kept() {
    // The share is for those who say nothing.
    let (lake, server, collector) = traced(0.0).await;
    let mut flight = server.flight().await;
    info_within(&mut flight, "SELECT 1 AS kept", &format!("00-{PARENT}-01")).await;
    info_within(&mut flight, "SELECT 2 AS not_kept", &format!("00-{PARENT}-00")).await;
    let info = flight.execute("SELECT 3 AS silent".to_owned(), None).await.unwrap();
    fetch(&mut flight, &info).await;
    assert!(lake.engine().query_records().iter().all(|query| query.trace_id().is_none()));
    drop(flight);
    within("the end", server.stop()).await;
    let spans = collector.spans();
    let call = call(&spans, "GetFlightInfo");
    assert_eq!((call.trace.as_str(), call.parent.as_str()), PARENT.split_once('-').unwrap());
    assert_eq!((spans.len(), call.get("db.query.text")), (2, "SELECT 1 AS kept"), "{spans:#?}");
    assert_eq!(names(&within_span(&spans, call)), ["planning"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_tells_of_its_commit() {
    let (_lake, server, collector) = traced(1.0).await;
    let mut flight = server.flight().await;
    assert_eq!(flight.execute_update("INSERT INTO t VALUES (4, 'four')".to_owned(), None).await.unwrap(), 1);
    assert_eq!(flight.execute_update("UPDATE t SET a = 5 WHERE a = 4".to_owned(), None).await.unwrap(), 1);
    drop(flight);
    within("the end", server.stop()).await;
    let spans = collector.spans();
    let versions: Vec<_> =
        spans.iter().filter(|span| span.name == "commit").map(|span| span.get("boathouse.version")).collect();
    assert_eq!(versions, ["2", "3"]);
    let puts: Vec<_> = spans.iter().filter(|span| span.name == format!("{SERVICE}/DoPut")).collect();
    let operations: Vec<_> =
        puts.iter().map(|span| (span.get("db.operation.name"), span.get("boathouse.rows"))).collect();
    assert_eq!(operations, [("INSERT", "1"), ("UPDATE", "1")]);
    for call in puts {
        let parts = within_span(&spans, call);
        let (commit, executed) = (
            parts.iter().find(|part| part.name == "commit").unwrap(),
            parts.iter().find(|part| part.name == "executing").unwrap(),
        );
        assert!(commit.began_ns + 1_000_000 >= executed.began_ns && commit.ended_ns <= executed.ended_ns + 1_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_so_and_keeps_secrets() {
    let (lake, server, collector) = traced(1.0).await;
    let mut flight = server.flight().await;
    flight.execute("ALTER USER ada PASSWORD 'hush'".to_owned(), None).await.unwrap_err();
    flight.execute("SELECT nothing FROM t".to_owned(), None).await.unwrap_err();
    let late = "SELECT 1 / (a - 2) FROM t";
    let info = flight.execute(late.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let failed = match flight.do_get(ticket).await {
        Ok(rows) => rows.try_collect::<Vec<_>>().await.map(drop),
        Err(error) => Err(arrow_flight::error::FlightError::ExternalError(error.into())),
    };
    failed.unwrap_err();
    drop(flight);
    within("the end", server.stop()).await;
    let spans = collector.spans();
    assert!(!format!("{spans:?}").contains("hush"));
    assert!(spans.iter().any(|span| span.attributes.get("db.query.text").is_some_and(|sql| sql.contains("'***'"))));
    let is_wrong = |span: &&SentSpan| span.name == "planning" && span.error.is_some();
    let planned = spans.iter().filter(is_wrong).find(|span| span.get("db.query.text") == "SELECT nothing FROM t");
    assert_eq!(planned.expect("a span of the planning that failed").get("error.type"), "NOT_FOUND");
    let records = lake.engine().query_records();
    let trace = records.iter().find(|query| &*query.sql == late).unwrap().origin.query_id.simple().to_string();
    let run: Vec<_> = spans.iter().filter(|span| span.trace == trace).cloned().collect();
    let got = call(&run, "DoGet");
    assert_ne!((got.get("rpc.response.status_code"), got.get("error.type")), ("OK", ""));
    assert_eq!(got.error, None, "the client's fault");
    assert!(
        run.iter()
            .any(|span| span.name == "executing" && span.error.as_ref().is_some_and(|text| text.contains("zero"))),
        "{run:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_call_as_cancelled() {
    let (lake, server, collector) = traced(1.0).await;
    let mut flight = server.flight().await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut rows = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    within("rows", rows.next()).await.unwrap().unwrap();
    drop((rows, flight));
    until("the query ends", || lake.engine().statements_active() == 0).await;
    within("the end", server.stop()).await;
    let spans = collector.spans();
    let call = call(&spans, "DoGet");
    assert_eq!((call.get("rpc.response.status_code"), call.get("db.query.text")), ("CANCELLED", ENDLESS));
    assert!(names(&within_span(&spans, call)).contains(&"fetching"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_statement_is_one_trace() {
    let (lake, server, collector) = traced(1.0).await;
    let mut flight = server.flight().await;
    let sql = "SELECT sum(a) FROM t";
    let mut answer = flight.inner_mut().poll_flight_info(asked(sql)).await.unwrap().into_inner();
    while let Some(descriptor) = answer.flight_descriptor.take() {
        answer = flight.inner_mut().poll_flight_info(descriptor).await.unwrap().into_inner();
    }
    fetch(&mut flight, &answer.info.unwrap()).await;
    drop(flight);
    within("the end", server.stop()).await;
    let records = lake.engine().query_records();
    let trace = records.iter().find(|query| &*query.sql == sql).unwrap().origin.query_id.simple().to_string();
    let spans = collector.spans();
    let calls: Vec<_> = spans.iter().filter(|span| span.is_server).collect();
    assert!(calls.len() >= 2 && calls.iter().all(|span| span.trace == trace), "{calls:#?}");
    assert!(names(&within_span(&spans, calls[0])).contains(&"executing"));
    assert_eq!(names(&within_span(&spans, call(&spans, "DoGet"))), ["fetching"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_costs_spans_and_nothing_else() {
    let (_lake, server, collector) = traced(1.0).await;
    collector.hold(true);
    let mut flight = server.flight().await;
    let began = Instant::now();
    // Two spans each; more than are kept.
    for _ in 0..2_500 {
        info_within(&mut flight, "SELECT 1", &format!("00-{PARENT}-01")).await;
    }
    assert!(began.elapsed() < Duration::from_secs(60), "statements waited: {:?}", began.elapsed());
    let text = metrics(server.http()).await;
    assert!(sample(&text, "boathouse_trace_spans_total{outcome=\"dropped\"}") > 0.0, "{text}");
    assert_eq!(sample(&text, "boathouse_trace_spans_total{outcome=\"sent\"}"), 0.0);
    drop(flight);
    let began = Instant::now();
    within("the end", server.stop()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for the collector: {:?}", began.elapsed());
    assert_eq!(collector.spans(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_is_no_matter() {
    let (lake, server, collector) = traced(1.0).await;
    drop(collector);
    let mut flight = server.flight().await;
    assert_eq!(flight.execute_update("INSERT INTO t VALUES (4, 'four')".to_owned(), None).await.unwrap(), 1);
    let failed = "boathouse_trace_spans_total{outcome=\"failed\"}";
    within("spans are given up", async {
        while sample(&metrics(server.http()).await, failed) == 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(lake.engine().lake().table("main", "t").await.unwrap().version(), 2);
}
