//! The demo, as a newcomer runs it: on a new folder, and again on the same one; and the load under it.

mod load;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::util::pretty::pretty_format_batches;
use boathouse_engine::{Engine, MartOptions, Outcome, Project, mart::read_folder};
use boathouse_flight_server::{
    cli::demo::{Args, run},
    config::{Config, Flags},
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
        "== sql/retail: from raw files to marts",
        " rows  bronze.orders\n",
        "silver.orders         succeeded",
        "marts.daily_sales     delivered  to warehouse: daily_sales, ",
        "marts.customer_value  delivered  to spreadsheet: customer_value, ",
        // The delivery in cents.
        "silver.orders         failed     nothing was published",
        "  failed prices are in euros, not in cents: ",
        "marts.daily_sales     blocked    silver.orders was not published",
        "== What next",
        " -c \"DELETE FROM bronze.orders WHERE file = 'orders-2026-01-31.csv'\"",
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

    put_right(&engine, &folder.path().join("boathouse demo-files")).await;

    let second = demo(&lake).await.unwrap_or_else(|error| panic!("the second time: {error}"));
    let statements = |text: &str| text.matches("\nTime: ").count();
    assert_eq!(statements(&first), statements(&second));
    assert!(second.contains("1500 rows  orders"), "{second}");
}

/// What the demo says to type: the day in cents goes, and all of the retail example is published and delivered.
async fn put_right(engine: &Arc<Engine>, files: &Path) {
    let revenue = "SELECT sum(revenue) FROM marts.daily_sales";
    let before = rows(engine, revenue).await;
    let session = engine.session();
    session.execute("DELETE FROM bronze.orders WHERE file = 'orders-2026-01-31.csv'").await.unwrap();
    let settings = files.join("retail/boathouse.toml");
    let config = Config::load(Some(&settings), Flags::default()).unwrap();
    let definitions = read_folder(&config.marts.unwrap()).unwrap();
    let options = MartOptions { destinations: config.destinations.unwrap(), ..MartOptions::default() };
    let project = Project::open(engine, definitions, options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    assert!(runs.iter().all(|report| report.outcome.is_good()), "{runs:?}");
    let exports = project.export_behind(&runs, |_| {}).await.unwrap();
    assert_eq!(exports.iter().filter(|report| report.outcome.is_good()).count(), 2, "{exports:?}");
    // Nothing of that day was there, so nothing has changed.
    assert_eq!(rows(engine, revenue).await, before);
    let rest = "SELECT
        (SELECT count(DISTINCT order_id) FROM bronze.orders)
            = (SELECT count(*) FROM silver.orders) + (SELECT count(*) FROM silver.orders_quarantine) AS complete,
        (SELECT count(*) FROM silver.orders_quarantine) BETWEEN 20 AND 100 AS few";
    assert!(rows(engine, rest).await.contains("| true     | true |"), "{}", rows(engine, rest).await);
    for (place, part) in
        [("warehouse/daily_sales", "part-00000.parquet"), ("spreadsheet/customer_value", "part-00000.csv")]
    {
        let manifest = std::fs::read_to_string(files.join(place).join("manifest.json")).unwrap();
        assert!(manifest.contains(part), "{manifest}");
    }
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

    let lake = TestLake::folder().await;
    lake.run("CREATE SCHEMA bronze; CREATE TABLE bronze.orders (id INT)").await;
    let error = demo(lake.path()).await.unwrap_err();
    assert!(error.contains("has a table \"bronze.orders\" that the demo did not make"), "{error}");
}
