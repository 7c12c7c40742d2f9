//! What a server must survive: each fault is told clearly to the one who made it, and the others do not notice.

use std::{fs, path::Path, time::Duration};

use boathouse_engine::{Engine, EngineConfig, ErrorKind};
use boathouse_flight_server::client::{Answer, Client, ClientError};
use boathouse_tests::{Rights, TestLake, TestS3, TestServer, config};

/// A lake in a folder, a server on it, and a client.
async fn server(config: EngineConfig) -> (TestLake, TestServer, Box<dyn Client>) {
    let lake = TestLake::folder_with(config).await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    let client = server.client().await.unwrap();
    (lake, server, client)
}

/// The error of a statement, before or while its rows come.
async fn error(client: &dyn Client, sql: &str) -> ClientError {
    let shown: String = sql.chars().take(200).collect();
    match client.run(sql).await {
        Ok(Answer::Rows(rows)) => rows.collect().await.expect_err(&shown),
        Ok(answer) => panic!("this did not fail, but gave {answer:?}: {shown}"),
        Err(error) => error,
    }
}

async fn goes_on(client: &dyn Client) {
    let Ok(Answer::Rows(rows)) = client.run("SELECT 1 AS one").await else { panic!("the server does not answer") };
    assert_eq!(rows.collect().await.unwrap()[0].num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_too_long_or_too_deep_are_refused() {
    let (lake, _server, client) = server(config()).await;
    let deep = 10_000;
    let texts = [
        format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}1{}", "abs(".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(deep), " END".repeat(deep)),
        format!("SELECT * FROM {}(SELECT 1){}", "(SELECT * FROM ".repeat(deep), ")".repeat(deep)),
        format!("SELECT {}true", "NOT ".repeat(deep)),
        format!("SELECT [{}1{}]", "[".repeat(deep), "]".repeat(deep)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(deep)),
    ];
    for text in &texts {
        let error = error(client.as_ref(), text).await;
        assert_eq!(error.kind, ErrorKind::Exhausted, "{error}");
        assert!(error.text.contains("nested too deep") || error.text.contains("too long"), "{error}");
        goes_on(client.as_ref()).await;
    }
    // A chain this long is either planned or refused; it must not end the process.
    let chain = format!("SELECT count(*) FROM (VALUES (1)) AS t (a) WHERE a = 0{}", " OR a = 1".repeat(deep));
    let _ = client.run(&chain).await;
    goes_on(client.as_ref()).await;

    // The engine refuses what is over its limit, the server what is over a message's.
    for (mib, limit) in [(20, "16777216 allowed"), (100, "longer than the server takes")] {
        let error = error(client.as_ref(), &format!("SELECT '{}'", "x".repeat(mib << 20))).await;
        assert!(error.text.len() < 1_000 && error.text.contains(limit), "{mib} MiB: {error}");
        goes_on(client.as_ref()).await;
    }
    let error = lake.error(&format!("SELECT '{}'", "x".repeat(100 << 20))).await;
    assert!(error.len() < 1_000 && error.contains("16777216 allowed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_beyond_memory_and_disk_ends_alone() {
    let spill = tempfile::tempdir().unwrap();
    let small = EngineConfig {
        memory_bytes_max: 24 << 20,
        spill_folder: Some(spill.path().to_owned()),
        spill_bytes_max: 1 << 20,
        ..config()
    };
    let (_lake, _server, client) = server(small).await;
    let sort =
        "SELECT v, repeat(CAST(v AS VARCHAR), 20) AS text FROM generate_series(1, 1000000) AS t (v) ORDER BY text";
    let error = error(client.as_ref(), sort).await;
    assert_eq!(error.kind, ErrorKind::Exhausted, "{error}");
    assert!(error.text.contains("HINT: "), "{error}");
    goes_on(client.as_ref()).await;
    // The query's other threads end after the error that ended it, and their files with them.
    let gone = async {
        while !files(spill.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("what was spilled is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_data_file_is_named_and_other_tables_are_read() {
    let (lake, _server, client) = server(config()).await;
    lake.run(
        "CREATE TABLE good AS SELECT 1 AS a; CREATE TABLE bad AS SELECT v AS a FROM generate_series(1, 1000) AS t (v)",
    )
    .await;
    let data = files(&lake.path().join("main/bad"));
    let file = data.iter().find(|path| path.ends_with(".parquet")).unwrap();
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    let error = error(client.as_ref(), "SELECT sum(a) FROM bad").await;
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    let name = Path::new(file).file_name().unwrap().to_str().unwrap();
    assert!(error.text.contains(name), "{error}");
    assert!(matches!(client.run("SELECT * FROM good").await, Ok(Answer::Rows(_))));
    goes_on(client.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_named_and_other_tables_are_read() {
    let (lake, _server, client) = server(config()).await;
    lake.run("CREATE TABLE good AS SELECT 1 AS a; CREATE TABLE bad AS SELECT 1 AS a").await;
    fs::write(lake.path().join("main/bad/_delta_log/00000000000000000000.json"), "{\"add\": {").unwrap();
    let error = error(client.as_ref(), "SELECT * FROM bad").await;
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.text.contains("\"main.bad\""), "{error}");
    assert!(matches!(client.run("SELECT * FROM good").await, Ok(Answer::Rows(_))));
    assert!(matches!(client.run("SHOW TABLES").await, Ok(Answer::Rows(_))));
    goes_on(client.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_line_of_a_csv_is_named_and_nothing_is_loaded() {
    let (_lake, _server, client) = server(config()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.csv");
    fs::write(&file, "a,b\n1,x\n2,\"two\nlines\"\nthree,y\n4,z\n").unwrap();
    client.run("CREATE TABLE t (a INT, b VARCHAR)").await.unwrap();
    let error = error(client.as_ref(), &format!("COPY t FROM '{}' (HEADER true)", file.display())).await;
    // Line 5: the row before it has a line feed inside its quotes.
    for part in ["broken.csv", "line 5", "\"a\"", "three"] {
        assert!(error.text.contains(part), "{part:?} is not in: {error}");
    }
    assert_eq!(count(client.as_ref(), "SELECT * FROM t").await, 0);
    goes_on(client.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_commit_fails_leaves_no_file_of_rejected_rows() {
    let (lake, _server, client) = server(config()).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, rejected) = (folder.path().join("rows.csv"), folder.path().join("rejected.csv"));
    fs::write(&file, "a\n1\ntwo\n3\n").unwrap();
    client.run("CREATE TABLE t (a INT)").await.unwrap();
    let copy = format!(
        "COPY t FROM '{}' (HEADER true, ON_ERROR set_aside, REJECTED '{}')",
        file.display(),
        rejected.display()
    );
    // Where the commit would go there is something that no commit can be.
    let log = lake.path().join("main/t/_delta_log/00000000000000000001.json");
    fs::create_dir_all(log.join("in the way")).unwrap();
    error(client.as_ref(), &copy).await;
    assert!(!rejected.exists());
    fs::remove_dir_all(&log).unwrap();
    assert_eq!(count(client.as_ref(), "SELECT * FROM t").await, 0);
    client.run(&copy).await.unwrap();
    assert_eq!(count(client.as_ref(), "SELECT * FROM t").await, 2);
    assert!(fs::read_to_string(&rejected).unwrap().contains("two"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_rights_is_told_and_nothing_half_written_is_visible() {
    let s3 = TestS3::start();
    let engine = Engine::create(&s3.url("lake"), EngineConfig { storage: s3.options(), ..config() }).await.unwrap();
    let server = TestServer::spawn(engine).await;
    let client = server.client().await.unwrap();
    client.run("CREATE TABLE t AS SELECT 1 AS a").await.unwrap();
    s3.grant(Rights::Read);
    let copy = format!("COPY t TO '{}'", s3.url("out.csv"));
    for (sql, named) in [
        ("INSERT INTO t SELECT 2", "main.t"),
        ("CREATE TABLE u (a INT)", "main.u"),
        ("CREATE TABLE u AS SELECT 1 AS a", "main.u"),
        ("CREATE OR REPLACE TABLE t AS SELECT 2 AS a", "main.t"),
        ("CREATE VIEW v AS SELECT 1 AS a", "main"),
        ("CREATE SCHEMA s", "s"),
        (&copy, "out.csv"),
    ] {
        let error = error(client.as_ref(), sql).await;
        assert_eq!(error.kind, ErrorKind::Denied, "{sql}: {error}");
        assert!(error.text.contains(named) && error.text.contains("HINT: "), "{sql}: {error}");
        assert_eq!(count(client.as_ref(), "SELECT * FROM t").await, 1, "{sql}");
    }
    s3.grant(Rights::None);
    let told = error(client.as_ref(), "SELECT * FROM t").await;
    assert!(told.kind == ErrorKind::Denied && told.text.contains("\"lake/"), "{told}");
    goes_on(client.as_ref()).await;
    s3.grant(Rights::All);
    assert_eq!(count(client.as_ref(), "SELECT * FROM t WHERE a = 1").await, 1);
    assert_eq!(count(client.as_ref(), "SHOW TABLES").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_or_is_cancelled_leaves_nothing() {
    let (lake, _server, client) = server(config()).await;
    client.run("CREATE TABLE t AS SELECT CAST(1 AS BIGINT) AS a").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    let before = files(lake.path());
    let failing = "SELECT 10 / (50000 - value) AS a FROM generate_series(1, 60000)";
    let endless = "SELECT value AS a FROM generate_series(1, 1000000000000)";
    for (query, kind) in [(failing, ErrorKind::InvalidSql), (endless, ErrorKind::Cancelled)] {
        let timeout = if kind == ErrorKind::Cancelled { "200ms" } else { "0" };
        client.run(&format!("SET statement_timeout = '{timeout}'")).await.unwrap();
        for sql in [
            format!("INSERT INTO t {query}"),
            format!("CREATE TABLE u AS {query}"),
            format!("CREATE OR REPLACE TABLE t AS {query}"),
            format!("COPY ({query}) TO '{out}/a.csv'"),
            format!("COPY ({query}) TO '{out}/a.parquet'"),
            format!("COPY ({query}) TO '{out}/folder/' (FORMAT json)"),
        ] {
            let error = error(client.as_ref(), &sql).await;
            assert_eq!(error.kind, kind, "{sql}: {error}");
        }
    }
    client.run("RESET statement_timeout").await.unwrap();
    assert_eq!(count(client.as_ref(), "SELECT * FROM t").await, 1);
    assert_eq!(count(client.as_ref(), "SHOW TABLES").await, 1);
    // What was cancelled cleans up after itself, in the background.
    let clean = async {
        while files(lake.path()) != before || !files(folder.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), clean).await;
    assert!(ended.is_ok(), "{:?} {:?}", files(lake.path()), files(folder.path()));
}

async fn count(client: &dyn Client, sql: &str) -> usize {
    let Ok(Answer::Rows(rows)) = client.run(sql).await else { panic!("no rows: {sql}") };
    rows.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    // What is listed may be gone a moment later.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.to_str().unwrap().to_owned()),
        }
    }
    found.sort_unstable();
    found
}

/// A table of two files, one of which is not what the log says. The rest of the lake goes on.
async fn with_a_bad_file(damage: impl FnOnce(&Path)) -> String {
    let (lake, _server, client) = server(config()).await;
    lake.run("CREATE TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (2)").await;
    let files = fs::read_dir(lake.path().join("main/t")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.extension().is_some_and(|e| e == "parquet")).min().unwrap();
    damage(&file);
    let error = error(client.as_ref(), "SELECT sum(a) FROM t WHERE a < 10").await;
    goes_on(client.as_ref()).await;
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    for expected in [&*name, "table \"main.t\" at version 1"] {
        assert!(error.text.contains(expected), "{expected}: {error}");
    }
    error.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_file_that_is_gone_is_named_with_its_table_and_version() {
    let text = with_a_bad_file(|file| fs::remove_file(file).unwrap()).await;
    assert!(text.contains("restore it"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_file_that_is_damaged_is_named_with_its_table_and_version() {
    let text =
        with_a_bad_file(|file| fs::write(file, vec![7; fs::metadata(file).unwrap().len() as usize]).unwrap()).await;
    assert!(text.contains("Corrupt footer"), "{text}");
    with_a_bad_file(|file| fs::write(file, "PAR1").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_table_needs_to_be_read_is_named_with_the_version_of_the_protocol() {
    for (protocol, named) in [
        (
            r#"{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["hologram"],"writerFeatures":["hologram"]}"#,
            "hologram, reader version 3 of the protocol",
        ),
        (r#"{"minReaderVersion":9,"minWriterVersion":9}"#, "reader version 9 of the protocol"),
    ] {
        let lake = TestLake::folder().await;
        lake.run("CREATE TABLE t AS SELECT 1 AS a").await;
        let log = lake.path().join("main/t/_delta_log/00000000000000000001.json");
        fs::write(log, format!(r#"{{"protocol":{protocol}}}"#)).unwrap();
        let error = lake.error("SELECT * FROM t").await;
        assert!(
            error.contains("table \"main.t\" needs features that are not supported") && error.contains(named),
            "{error}"
        );
    }
}
