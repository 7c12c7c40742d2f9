//! What was dropped is found by who does not know where it was.

use boathouse_tests::TestLake;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_tables_of_all_schemas_are_shown_together() {
    let lake = TestLake::memory().await;
    lake.run(
        "CREATE SCHEMA sales; CREATE TABLE sales.orders AS SELECT 1 AS id; CREATE TABLE orders AS SELECT 2 AS id;
         DROP TABLE sales.orders; DROP TABLE orders",
    )
    .await;
    let names = |text: String| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.map(|row| row.split('|').skip(1).take(2).map(str::trim).collect::<Vec<_>>().join(".")).collect()
    };
    assert_eq!(names(lake.text("SHOW DROPPED TABLES").await), ["main.orders", "sales.orders"]);
    assert_eq!(names(lake.text("SHOW DROPPED TABLES IN sales").await), ["sales.orders"]);
    assert_eq!(names(lake.text("SHOW DROPPED TABLES LIKE 'ord%'").await), ["main.orders", "sales.orders"]);
}
