//! One session, the same on a folder and on S3.

use arrow::util::pretty::pretty_format_batches;
use boathouse_engine::{Engine, EngineConfig, parser};
use boathouse_flight_server::client::{Answer, Client, Login, connect};
use boathouse_tests::{TestS3, TestServer, config};

/// `{files}` is a place for files outside of the lake, and another lake.
const SESSION: &str = "
    CREATE SCHEMA sales COMMENT 'what was sold';
    CREATE TABLE sales.orders (id BIGINT NOT NULL, day DATE, price DECIMAL(10, 2)) PARTITIONED BY (day);
    INSERT INTO sales.orders VALUES (1, DATE '2024-01-01', 10.5), (2, DATE '2024-01-02', 20), (3, NULL, 0.01);
    INSERT INTO sales.orders (id) SELECT id + 10 FROM sales.orders;
    SELECT * FROM sales.orders ORDER BY id;
    SELECT count(*) AS n FROM sales.orders WHERE day = DATE '2024-01-02';
    CREATE TABLE best PARTITIONED BY (day) AS SELECT * FROM sales.orders WHERE price > 1;
    CREATE VIEW total AS SELECT sum(price) AS price FROM best;
    SELECT * FROM total;
    COPY (SELECT id, price FROM best ORDER BY id) TO '{files}/best.csv' (FORMAT csv, HEADER true);
    COPY sales.orders TO '{files}/orders.parquet';
    SELECT * FROM '{files}/best.csv' ORDER BY id;
    SELECT count(*) AS n, max(day) AS day FROM '{files}/*.parquet';
    CREATE TABLE back (id BIGINT, price DECIMAL(10, 2));
    COPY back FROM '{files}/best.csv' (HEADER true);
    SELECT * FROM back ORDER BY id;
    CREATE EXTERNAL TABLE outside STORED AS PARQUET LOCATION '{files}/orders.parquet';
    SELECT count(*) AS n FROM outside;
    CREATE EXTERNAL TABLE far STORED AS DELTA LOCATION '{files}/main/distant';
    SELECT * FROM far WHERE id > 1 ORDER BY id;
    DROP TABLE far;
    CREATE OR REPLACE TABLE back (name VARCHAR);
    SELECT * FROM back;
    DROP TABLE sales.orders;
    SELECT table_schema, table_name, table_type FROM information_schema.tables
        WHERE table_schema IN ('main', 'sales') ORDER BY table_schema, table_name;
    DROP VIEW total;
    DROP TABLE outside;
    DROP SCHEMA sales;
    SHOW TABLES;
";

/// Runs all statements and gives what each one answered. A table `distant` is made before in the lake at `files`.
async fn session(client: &dyn Client, files: &str, config: EngineConfig) -> String {
    let other = connect(files, config, Login::None).await.unwrap();
    let distant = "CREATE TABLE distant AS SELECT * FROM (VALUES (1, 'near'), (2, 'far'), (3, 'away')) AS v (id, name)";
    run(other.as_ref(), distant, files).await;
    let text = run(client, SESSION, files).await;
    // An external table that is dropped is only forgotten.
    assert!(run(other.as_ref(), "SELECT count(*) AS n FROM distant", files).await.contains("| 3 |"));
    text
}

async fn run(client: &dyn Client, script: &str, files: &str) -> String {
    let script = script.replace("{files}", files);
    let mut text = String::new();
    for sql in parser::split(&script) {
        let failed = |error| -> String { panic!("{}: {sql}\n{error}", client.location()) };
        let answer = match client.run(sql).await {
            Ok(Answer::Rows(rows)) => match rows.collect().await {
                Ok(rows) => pretty_format_batches(&rows).unwrap().to_string(),
                Err(error) => failed(error),
            },
            Ok(Answer::Changed { rows, .. }) => format!("{rows} rows"),
            Ok(Answer::Done(tag)) => tag,
            Err(error) => failed(error),
        };
        text.push_str(&format!("{}\n{answer}\n", sql.replace(files, "{files}")));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_gives_the_same_on_a_folder_on_s3_and_through_a_server() {
    let (lake, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let client = connect(lake.path().to_str().unwrap(), config(), Login::None).await.unwrap();
    let on_folder = session(client.as_ref(), files.path().to_str().unwrap(), config()).await;
    for part in ["| 12 |", "30.50", "| 3  | away |", "6 rows", "BASE TABLE"] {
        assert!(on_folder.contains(part), "{part:?} is not there:\n{on_folder}");
    }
    let s3 = TestS3::start();
    let config = EngineConfig { storage: s3.options(), ..config() };
    let client = connect(&s3.url("lake"), config.clone(), Login::None).await.unwrap();
    assert_eq!(session(client.as_ref(), &s3.url("files"), config.clone()).await, on_folder);

    let server = TestServer::spawn(Engine::create(&s3.url("served"), config.clone()).await.unwrap()).await;
    let client = server.client().await.unwrap();
    assert_eq!(session(client.as_ref(), &s3.url("files of the server"), config).await, on_folder);
}
