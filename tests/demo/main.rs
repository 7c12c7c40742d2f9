//! The demo, as a newcomer runs it: on a new folder, and again on the same one; and the load under it.

mod load;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::util::pretty::pretty_format_batches;
use boathouse_engine::{Engine, Outcome};
use boathouse_flight_server::{
    cli::demo::{Args, run},
    shell::output::Look,
};
use boathouse_tests::{TestLake, config};

const README: &str = include_str!("../../README.md");

/// What the demo prints, or its error.
async fn demo(lake: &Path) -> Result<String, String> {
    let args = Args { scale: 0.001, lake: PathBuf::from(lake) };
    let mut out = Vec::new();
    let result = run(&args, config(), Look::default(), &mut out).await;
    result.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

/// What `cursor.execute("...")` asks for.
fn python_query(text: &str) -> Option<&str> {
    Some(text.split_once("cursor.execute(\"")?.1.split_once("\")")?.0)
}

async fn rows(engine: &Arc<Engine>, sql: &str) -> String {
    match engine.session().execute(sql).await {
        Ok(Outcome::Rows(rows)) => pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string(),
        Ok(_) => panic!("no rows: {sql}"),
        Err(error) => panic!("{sql}\n{error}"),
    }
}

#[tokio::test]
async fn the_demo_runs_twice_on_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("boathouse demo");
    let first = demo(&lake).await.unwrap_or_else(|error| panic!("{error}"));
    for part in [
        "1500 rows  orders",
        "== sql/demo/01_look.sql",
        "== sql/demo/06_change.sql",
        "== sql/demo/08_tpch.sql",
        // Every statement stands before its result and its time.
        "CREATE OR REPLACE VIEW revenue_by_nation AS\n",
        "CREATE VIEW\nTime: ",
        "INSERT INTO shipment_note (note, order_key) VALUES\n",
        "2 rows\nTime: ",
        "files=7 files_skipped_by_partition=6 files_skipped_by_statistics=0 files_read=1",
        "files=7 files_skipped_by_partition=0 files_skipped_by_statistics=6 files_read=1",
        "== sql/marts",
        "marts.nations\n├─ main.customer  (source)\n",
        "marts.growth      succeeded",
        "== What next",
        " sql '",
        " serve '",
        "dbapi.connect(",
    ] {
        assert!(first.contains(part), "the demo does not print {part:?}:\n{first}");
    }
    let export = folder.path().join("boathouse demo-files/revenue.csv");
    assert_eq!(std::fs::read_to_string(&export).unwrap().lines().next(), Some("nation,revenue"));

    let engine = Engine::open(lake.to_str().unwrap(), config()).await.unwrap();
    for (table, column) in [("orders", "o_orderyear"), ("lineitem", "l_shipyear")] {
        let create = rows(&engine, &format!("SHOW CREATE TABLE {table}")).await;
        assert!(create.contains(&format!("PARTITIONED BY ({column})")), "{create}");
    }
    for (place, text) in [("README.md", README), ("what next", &first)] {
        let sql = python_query(text).unwrap_or_else(|| panic!("{place} has no query in Python"));
        assert!(rows(&engine, sql).await.contains("| 1995 "), "{place}: {sql}");
    }

    let second = demo(&lake).await.unwrap_or_else(|error| panic!("the second time: {error}"));
    let statements = |text: &str| text.matches("\nTime: ").count();
    assert_eq!(statements(&first), statements(&second));
    assert!(second.contains("1500 rows  orders"), "{second}");
}

#[tokio::test]
async fn the_demo_leaves_a_strangers_folder_and_tables_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let error = demo(folder.path()).await.unwrap_err();
    assert!(error.contains("is not empty and not a lake") && error.contains("--lake"), "{error}");

    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE shipment_note (id INT); INSERT INTO shipment_note VALUES (1)").await;
    let error = demo(lake.path()).await.unwrap_err();
    assert!(error.contains("is a lake that the demo did not make"), "{error}");

    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE region (id INT); INSERT INTO region VALUES (1)").await;
    let error = demo(lake.path()).await.unwrap_err();
    assert!(error.contains("has a table \"region\" that the demo did not make"), "{error}");
    assert!(lake.text("SELECT id FROM region").await.contains("| 1 "));
}
