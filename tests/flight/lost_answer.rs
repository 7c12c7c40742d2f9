//! A client that never hears what became of its statement sends it again with the same key: it happens once, and the
//! client gets the answer of the first time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use boathouse_engine::{Engine, EngineConfig};
use boathouse_flight_server::client::{Answer, Client, Remote};
use boathouse_tests::{TestLake, TestServer, config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::support::{number, text, within};

/// Statements that do something else when they run twice, and how many rows each changes.
const STATEMENTS: [(&str, u64); 7] = [
    ("INSERT INTO t VALUES (10, 'ten'), (11, NULL)", 2),
    ("INSERT INTO t SELECT a + 100, b FROM t", 3),
    ("UPDATE t SET a = a * 2 WHERE a < 3", 2),
    ("DELETE FROM t WHERE a IN (SELECT min(a) FROM t)", 1),
    (
        "MERGE INTO t USING (SELECT 3 AS a UNION ALL SELECT 9) AS s ON t.a = s.a
         WHEN MATCHED THEN UPDATE SET a = t.a + 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
        2,
    ),
    ("INSERT OVERWRITE t SELECT a + 1, b FROM t", 3),
    ("INSERT INTO t REPLACE WHERE a < 3 SELECT a + 5, b FROM t WHERE a < 0 UNION ALL SELECT 1, 'one more'", 1),
];
const ROWS: &str = "SELECT * FROM t ORDER BY a, b";
const FILL: &str =
    "CREATE OR REPLACE TABLE t (a BIGINT, b VARCHAR); INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL)";

/// A way to the server that can go deaf: requests pass, answers do not, until it is cut.
struct Line {
    address: SocketAddr,
    deaf: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Line {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (deaf, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let line = Self { address: listener.local_addr().unwrap(), deaf: deaf.clone(), cut: cut.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (deaf, cut) = (deaf.clone(), cut.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let never = AtomicBool::new(false);
                    tokio::select! {
                        () = pass(from_client, to_server, &never) => {}
                        () = pass(from_server, to_client, &deaf) => {}
                        () = cut.notified() => {}
                    }
                });
            }
        });
        line
    }

    async fn client(&self) -> Remote {
        self.deaf.store(false, Ordering::SeqCst);
        Remote::connect(&format!("grpc://{}", self.address), Default::default()).await.unwrap()
    }
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, deaf: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !deaf.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

async fn changed(client: &dyn Client, sql: &str) -> u64 {
    match client.run(sql).await {
        Ok(Answer::Changed { rows, .. }) => rows,
        other => panic!("{sql}: {other:?}"),
    }
}

/// What the statement leaves when it happens once, in fair weather.
async fn expected(sql: &str) -> String {
    let lake = TestLake::memory().await;
    lake.run(FILL).await;
    lake.run(sql).await;
    lake.text(ROWS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_answer_was_lost_happens_once() {
    let lake = TestLake::folder().await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    let line = Line::to(server.address()).await;
    for (n, (sql, rows)) in STATEMENTS.iter().enumerate() {
        lake.run(FILL).await;
        let once = expected(sql).await;
        let version = || async { lake.engine().lake().table("main", "t").await.unwrap().version() };
        let before = version().await;
        let key = format!("SET idempotency_key = 'statement {n}'");
        let client = line.client().await;
        client.run(&key).await.unwrap();
        line.deaf.store(true, Ordering::SeqCst);
        let mut sent = Box::pin(client.run(sql));
        let committed = async {
            while version().await == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut sent => panic!("{sql}: the answer came through: {answer:?}"),
            () = within("the commit", committed) => {}
        }
        line.cut.notify_waiters();
        assert!(within("the connection to end", sent).await.is_err(), "{sql}: who could answer?");

        // Another connection, another session; and a third, after the server was started anew.
        let again = line.client().await;
        again.run(&key).await.unwrap();
        assert_eq!(changed(&again, sql).await, *rows, "{sql}");
        let restarted = TestServer::spawn(open(&lake).await).await;
        let other = restarted.client().await.unwrap();
        other.run(&key).await.unwrap();
        assert_eq!(changed(&*other, sql).await, *rows, "{sql}");
        assert_eq!(text(&*other, ROWS).await, once, "{sql}");
        assert_eq!(version().await, before + 1, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_answer_was_lost_is_made_once() {
    const FILLED: &str = "CREATE TABLE made AS SELECT a + 1 AS a, b FROM t";
    const BARE: &str = "CREATE TABLE bare (a BIGINT, b VARCHAR)";
    let lake = TestLake::folder().await;
    lake.run(FILL).await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    let line = Line::to(server.address()).await;
    for (sql, name, rows) in [(FILLED, "made", 3), (BARE, "bare", 0)] {
        let version = || async { lake.engine().lake().table("main", name).await.ok().map(|table| table.version()) };
        let key = format!("SET idempotency_key = 'make {name}'");
        let client = line.client().await;
        client.run(&key).await.unwrap();
        line.deaf.store(true, Ordering::SeqCst);
        let mut sent = Box::pin(client.run(sql));
        let committed = async {
            while version().await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut sent => panic!("{sql}: the answer came through: {answer:?}"),
            () = within("the commit", committed) => {}
        }
        line.cut.notify_waiters();
        assert!(within("the connection to end", sent).await.is_err(), "{sql}: who could answer?");

        // What was read then is no longer there; what others added since stays.
        lake.run("DELETE FROM t WHERE a = 1").await;
        lake.run(&format!("INSERT INTO {name} VALUES (100, 'others')")).await;
        let restarted = TestServer::spawn(open(&lake).await).await;
        for client in [Box::new(line.client().await) as Box<dyn Client>, restarted.client().await.unwrap()] {
            client.run(&key).await.unwrap();
            match client.run(sql).await {
                Ok(Answer::Done(tag)) => assert_eq!(tag, "CREATE TABLE"),
                other => panic!("{sql}: {other:?}"),
            }
            assert_eq!(number(&*client, &format!("SELECT count(*) FROM {name}")).await, rows + 1, "{sql}");
        }
        assert_eq!(version().await, Some(1), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_sent_again_while_it_still_runs_happens_once() {
    let lake = TestLake::folder().await;
    let servers = [TestServer::spawn(lake.engine().clone()).await, TestServer::spawn(open(&lake).await).await];
    for (n, (sql, rows)) in STATEMENTS.iter().enumerate() {
        lake.run(FILL).await;
        let once = expected(sql).await;
        let mut running = vec![];
        for server in servers.iter().cycle().take(4) {
            let client = server.client().await.unwrap();
            client.run(&format!("SET idempotency_key = 'at once {n}'")).await.unwrap();
            running.push(async move { changed(&*client, sql).await });
        }
        assert_eq!(futures::future::join_all(running).await, [*rows; 4], "{sql}");
        assert_eq!(lake.text(ROWS).await, once, "{sql}");
    }
}

/// As another process has the lake.
async fn open(lake: &TestLake) -> Arc<Engine> {
    let config: EngineConfig = config();
    Engine::open(lake.path().to_str().unwrap(), config).await.unwrap()
}
