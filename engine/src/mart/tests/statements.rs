//! Marts that statements made, beside those of files.

use std::sync::Arc;

use super::{ORDERS, engine, execute, options, rows, run, words};
use crate::{
    Engine,
    mart::{Definition, Fault, MartOutcome, Project, read_lake},
};

/// The marts of the lake and these of files.
async fn opened(engine: &Arc<Engine>, files: &[(&str, &str)]) -> Result<Project, Vec<Fault>> {
    let mut definitions = read_lake(engine).await?;
    definitions.extend(files.iter().map(|(name, text)| Definition::parse(&format!("{name}.sql"), text).unwrap()));
    Project::open(engine, definitions, options()).await
}

async fn fails(engine: &Arc<Engine>, sql: &str) -> String {
    engine.session().execute(sql).await.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn marts_of_statements_and_of_files_are_one_graph() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    execute(&engine, "CREATE MART m.revenue AS SELECT region, sum(amount) AS revenue FROM orders GROUP BY region")
        .await;
    let total = ("m.total", "SELECT sum(revenue) AS total FROM m.revenue");
    let project = opened(&engine, &[total]).await.unwrap();
    assert_eq!(project.names(), ["m.revenue", "m.total"]);
    assert_eq!(project.graph(&[]).unwrap(), "m.revenue\n└─ main.orders  (source)\nm.total\n└─ m.revenue\n");
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
    assert_eq!(rows(&engine, "SELECT total FROM m.total").await, "60");
    // One in the lake reads one of a file, which has run.
    execute(&engine, "CREATE MART m.twice AS SELECT total * 2 AS twice FROM m.total").await;
    let project = opened(&engine, &[total]).await.unwrap();
    assert_eq!(project.names(), ["m.revenue", "m.total", "m.twice"]);
    assert_eq!(words(&run(&project).await), ["skipped", "skipped", "succeeded"]);
    assert_eq!(rows(&engine, "SELECT twice FROM m.twice").await, "120");
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.marts").await, "3");
    let text = fails(&engine, "ALTER MART m.total SET (owner = 'me')").await;
    assert!(text.starts_with("mart \"m.total\" is defined by a file, not by a statement"), "{text}");
}

#[tokio::test]
async fn a_name_that_is_defined_twice_tells_both_places_and_stops_no_other() {
    let engine = engine().await;
    execute(
        &engine,
        "CREATE MART m.a AS SELECT 1 AS a; CREATE MART m.b AS SELECT a FROM m.a; CREATE MART m.c AS SELECT 3 AS c",
    )
    .await;
    let faults = opened(&engine, &[("m.a", "SELECT 2 AS a")]).await.unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(
        faults[0].to_string(),
        "m.a.sql:1: two marts have the name \"m.a\"\nDETAIL: The other one is CREATE MART m.a.\nHINT: Give one of them another name."
    );
    let mut definitions = read_lake(&engine).await.unwrap();
    definitions.push(Definition::parse("m.a.sql", "SELECT 2 AS a").unwrap());
    let (project, faults) = Project::open_sound(&engine, definitions, options()).await;
    assert_eq!((project.names(), faults.len()), (vec!["m.c".to_owned()], 1));
}

#[tokio::test]
async fn refresh_tells_of_a_run_that_failed_and_leaves_the_rows() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    execute(&engine, "CREATE MART m.t WITH (test = [(expect = 'amount > 0')]) AS SELECT id, amount FROM orders").await;
    execute(&engine, "REFRESH MART m.t; INSERT INTO orders VALUES (4, 'c', -1)").await;
    let text = fails(&engine, "REFRESH MART m.t").await;
    assert!(text.contains("the test \"expect(amount > 0)\" failed"), "{text}");
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t").await, "3");
    execute(&engine, "DELETE FROM orders WHERE amount < 0; REFRESH MART m.t").await;
    let states = "SELECT state FROM system.mart_runs WHERE mart = 'm.t'";
    assert_eq!(rows(&engine, states).await, "succeeded\nfailed\nsucceeded");
    // What is dropped leaves no history, and the table.
    execute(&engine, "DROP MART m.t").await;
    assert_eq!(rows(&engine, states).await, "");
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t").await, "3");
    // Its rows are those of the same definition.
    execute(&engine, "CREATE MART m.t WITH (test = [(expect = 'amount > 0')]) AS SELECT id, amount FROM orders").await;
    execute(&engine, "REFRESH MART m.t").await;
    assert_eq!(rows(&engine, states).await, "");
}

#[tokio::test]
async fn intervals_and_keys_are_said_as_in_a_file() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE events AS SELECT TIMESTAMP '2027-01-14 03:00:00' AS ts, 1 AS x").await;
    execute(
        &engine,
        "CREATE MART m.days WITH (strategy = 'append', interval = (column = 'ts', grain = 'day', start = '2027-01-13')) \
         AS SELECT ts, x FROM events WHERE ts >= $start AND ts < $end",
    )
    .await;
    let project = opened(&engine, &[]).await.unwrap();
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, "SELECT x FROM m.days").await, "1");
    let text = fails(&engine, "ALTER MART m.days SET (interval = NULL)").await;
    assert!(text.starts_with("strategy = \"append\" needs interval"), "{text}");
}

#[tokio::test]
async fn a_name_without_a_schema_is_one_of_main() {
    let engine = engine().await;
    execute(&engine, "CREATE MART one AS SELECT 1 AS a; CREATE MART m.two AS SELECT 2 AS a").await;
    let project = opened(&engine, &[]).await.unwrap();
    let of = |name: &str| project.graph(&[name.to_owned()]).map_err(|error| error.to_string());
    assert_eq!((of("one"), of("main.one")), (Ok("main.one\n".to_owned()), Ok("main.one\n".to_owned())));
    let error = of("two").unwrap_err();
    assert!(error.starts_with("there is no mart \"main.two\""), "{error}");
}

#[tokio::test]
async fn a_name_that_no_mart_may_have_is_refused_as_that_of_a_table_is() {
    let engine = engine().await;
    for (name, why) in [("a/b", "it holds a slash"), ("a.b", "it holds a dot")] {
        let text = fails(&engine, &format!("CREATE MART m.\"{name}\" AS SELECT 1 AS a")).await;
        assert!(text.starts_with(&format!("\"{name}\" cannot be the name of a mart: {why}\nLINE 1: ")), "{text}");
        assert!(!text.contains("HINT"), "{text}");
    }
}

#[tokio::test]
async fn a_mart_that_was_dropped_meanwhile_is_not_run_and_leaves_nothing() {
    let engine = engine().await;
    execute(&engine, "CREATE MART m.gone AS SELECT 1 AS a").await;
    let project = opened(&engine, &[]).await.unwrap();
    execute(&engine, "DROP MART m.gone").await;
    let reports = run(&project).await;
    let MartOutcome::Failed(error) = &reports[0].outcome else { panic!("{reports:?}") };
    assert_eq!(error.to_string(), "mart \"m.gone\" was dropped meanwhile");
    assert_eq!(rows(&engine, "SELECT count(*) FROM system.marts").await, "0");
    assert!(engine.lake().table("m", "gone").await.is_err());
}
