//! The HTTP port: metrics, health, and whether the lake can be reached.

use std::net::SocketAddr;

use boathouse_engine::{Engine, EngineConfig};
use boathouse_tests::{Rights, TestS3, TestServer, config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{ENDLESS, number, server, until, within};

/// Status line and body of the answer.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().trim_start_matches("HTTP/1.1 ").to_owned(), body.to_owned())
}

pub async fn metrics(address: SocketAddr) -> String {
    let (status, text) = ask(address, "GET", "/metrics").await;
    assert_eq!(status, "200 OK");
    text
}

/// The value of a sample, with its labels as they are written.
pub fn sample(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let (lake, _) = server().await;
    let server = TestServer::watched(lake.engine().clone()).await;
    let client = server.client().await.unwrap();
    let before = metrics(server.http()).await;
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 3);
    client.run("INSERT INTO t VALUES (4, 'four')").await.unwrap();
    client.run("SELECT nothing FROM t").await.unwrap_err();
    let after = metrics(server.http()).await;
    for (name, grew) in [
        ("boathouse_queries_total{statement=\"INSERT\",state=\"done\"}", 1.0),
        ("boathouse_query_duration_seconds_count{statement=\"INSERT\"}", 1.0),
        ("boathouse_query_duration_seconds_bucket{statement=\"INSERT\",le=\"+Inf\"}", 1.0),
        ("boathouse_commits_total", 1.0),
        ("boathouse_flight_sent_rows_total", 1.0),
        ("boathouse_query_rows_total", 2.0),
    ] {
        assert_eq!(sample(&after, name) - sample(&before, name), grew, "{name}");
    }
    assert_eq!(sample(&after, "boathouse_queries_total{statement=\"SELECT\",state=\"done\"}"), 1.0);
    assert_eq!(sample(&after, "boathouse_queries_total{statement=\"unknown\",state=\"failed\"}"), 1.0);
    for name in [
        "boathouse_flight_sent_bytes_total",
        "boathouse_memory_pool_limit_bytes",
        "boathouse_cache_limit_bytes{cache=\"results\"}",
        "boathouse_query_phase_seconds_total{phase=\"executing\"}",
        "boathouse_store_requests_total{operation=\"put\"}",
        "boathouse_store_written_bytes_total",
    ] {
        assert!(sample(&after, name) > 0.0, "{name}");
    }
    assert_eq!(sample(&after, "boathouse_queries_active{state=\"running\"}"), 0.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_says_once_what_it_is() {
    let (lake, _) = server().await;
    let server = TestServer::watched(lake.engine().clone()).await;
    let text = metrics(server.http()).await;
    let mut known = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(known.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert!(name.starts_with("boathouse_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_known = known.contains_key(name)
                || family.and_then(|name| known.get(name)).is_some_and(|kind| kind == "histogram");
            assert!(is_known, "{line}");
        }
    }
    assert!(known.len() > 25, "{known:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_query_is_seen_and_other_paths_are_not_there() {
    let (lake, _) = server().await;
    let server = TestServer::watched(lake.engine().clone()).await;
    let client = server.client().await.unwrap();
    let rows = client.run(ENDLESS).await.unwrap();
    let text = metrics(server.http()).await;
    assert_eq!(sample(&text, "boathouse_queries_active{state=\"running\"}"), 1.0);
    assert_eq!(sample(&text, "boathouse_flight_streams"), 1.0);
    drop(rows);
    until("the query ends", || lake.engine().statements_active() == 0).await;

    assert_eq!(ask(server.http(), "GET", "/health").await, ("200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(ask(server.http(), "GET", "/ready").await, ("200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(ask(server.http(), "HEAD", "/health").await, ("200 OK".to_owned(), String::new()));
    assert_eq!(ask(server.http(), "GET", "/").await.0, "404 Not Found");
    assert_eq!(ask(server.http(), "POST", "/metrics").await.0, "405 Method Not Allowed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_reach_its_lake_is_not_ready_and_says_no_more() {
    let s3 = TestS3::start();
    let engine = Engine::open(&s3.url("lake"), EngineConfig { storage: s3.options(), ..config() }).await.unwrap();
    let server = TestServer::watched(engine).await;
    s3.grant(Rights::None);
    let (status, text) = ask(server.http(), "GET", "/ready").await;
    assert_eq!(
        (status.as_str(), text.as_str()),
        ("503 Service Unavailable", "the lake cannot be reached; the log says why\n")
    );
    assert_eq!(ask(server.http(), "GET", "/health").await.0, "200 OK");
    s3.grant(Rights::All);
    within("it is ready again", async {
        while ask(server.http(), "GET", "/ready").await.0 != "200 OK" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_hold_up_nobody() {
    let (lake, _) = server().await;
    let server = TestServer::watched(lake.engine().clone()).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.http()).await.unwrap());
    }
    assert_eq!(ask(server.http(), "GET", "/health").await.0, "200 OK");
    server.stop().await;
}
