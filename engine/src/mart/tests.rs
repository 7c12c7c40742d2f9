//! Marts from definition to rows.

mod by_hand;
mod cancel;
mod columns;
mod diff;
mod incremental;
mod intervals;
mod statements;
mod strategies;
mod turn;

use std::{sync::Arc, time::Duration};

use boathouse_storage::catalog::{Claim, MartRunState, MartTestState};

use super::{Change, Clock, Definition, LeaseTimes, MartOptions, MartOutcome, Project, Report};
use crate::{Engine, EngineConfig, Outcome};

async fn engine() -> Arc<Engine> {
    let config = EngineConfig { threads: 2, ..EngineConfig::default() };
    Engine::open("memory://", config).await.unwrap()
}

async fn execute(engine: &Arc<Engine>, script: &str) {
    for sql in crate::parser::split(script) {
        if let Outcome::Rows(rows) = engine.session().execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")) {
            rows.collect().await.unwrap();
        }
    }
}

/// The rows of a query as text, cells with blanks between.
async fn rows(engine: &Arc<Engine>, sql: &str) -> String {
    let Outcome::Rows(rows) = engine.session().execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")) else {
        panic!("{sql} is no query");
    };
    let batches = rows.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells =
        |line: &str| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ");
    lines.map(cells).collect::<Vec<_>>().join("\n")
}

/// A process that ended is known after a moment.
fn options() -> MartOptions {
    let lease = LeaseTimes {
        beat: Duration::from_millis(20),
        dead_after: Duration::from_millis(200),
        look: Duration::from_millis(10),
    };
    MartOptions { lease, clock: Clock::of(|| 1_800_000_000_000), ..MartOptions::default() }
}

async fn project(engine: &Arc<Engine>, marts: &[(&str, &str)]) -> Project {
    opened(engine, marts).await.unwrap_or_else(|faults| panic!("{faults}"))
}

async fn opened(engine: &Arc<Engine>, marts: &[(&str, &str)]) -> Result<Project, String> {
    let definitions = marts.iter().map(|(name, text)| Definition::parse(&format!("marts/{name}.sql"), text).unwrap());
    Project::open(engine, definitions.collect(), options())
        .await
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

async fn run(project: &Project) -> Vec<Report> {
    project.run(&[], false, |_| {}).await.unwrap()
}

fn words(reports: &[Report]) -> Vec<&'static str> {
    reports.iter().map(|report| report.outcome.word()).collect()
}

const ORDERS: &str =
    "CREATE TABLE orders AS SELECT * FROM (VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30)) AS v (id, region, amount)";
const REVENUE: &str =
    "/*---\ndescription = \"By region\"\n[[test]]\nunique = \"region\"\n[[test]]\nexpect = \"revenue >= 0\"\n---*/
SELECT region, sum(amount) AS revenue FROM orders GROUP BY region";

#[tokio::test]
async fn a_mart_is_built_and_skipped_until_something_changes() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let marts = [("m.revenue", REVENUE), ("m.total", "SELECT sum(revenue) AS total FROM m.revenue")];
    let project = project(&engine, &marts).await;
    assert_eq!(project.names(), ["m.revenue", "m.total"]);
    assert_eq!(project.plan(&[]).await.unwrap()[0].change, Change::New);
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
    assert_eq!(rows(&engine, "SELECT * FROM m.revenue ORDER BY 1").await, "a 40\nb 20");
    assert_eq!(rows(&engine, "SELECT total FROM m.total").await, "60");

    let version = || rows(&engine, "SELECT name, version FROM system.marts ORDER BY 1");
    let before = version().await;
    assert_eq!(before, "m.revenue 0\nm.total 0");
    assert_eq!(words(&run(&project).await), ["skipped", "skipped"]);
    assert!(project.plan(&[]).await.unwrap().iter().all(|planned| planned.change == Change::UpToDate));
    assert_eq!(version().await, before);

    execute(&engine, "INSERT INTO orders VALUES (4, 'c', 40)").await;
    let changes = project.plan(&[]).await.unwrap();
    assert_eq!(changes[0].change, Change::Inputs(vec![("main.orders".into(), Some(0), Some(1))]));
    assert_eq!(changes[1].change, Change::Upstream(vec!["m.revenue".into()]));
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
    assert_eq!(rows(&engine, "SELECT total FROM m.total").await, "100");
    assert_eq!(version().await, "m.revenue 1\nm.total 1");
    assert_eq!(
        rows(&engine, "SELECT mart, state, rows, inputs FROM system.mart_runs WHERE mart = 'm.revenue'").await,
        "m.revenue succeeded 2 main.orders@v0\nm.revenue succeeded 3 main.orders@v1"
    );
    assert_eq!(words(&project.run(&["m.total".into()], true, |_| {}).await.unwrap()), ["succeeded"]);
    // Somebody tidied the table up: its rows are those of the run all the same.
    execute(&engine, "INSERT INTO orders VALUES (5, 'd', 1); OPTIMIZE m.total").await;
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
}

#[tokio::test]
async fn a_failed_test_publishes_nothing_and_blocks_what_reads_the_mart() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let marts = [("m.revenue", REVENUE), ("m.total", "SELECT sum(revenue) AS total FROM m.revenue")];
    let project = project(&engine, &marts).await;
    run(&project).await;
    execute(&engine, "INSERT INTO orders VALUES (4, 'c', -5)").await;
    let reports = run(&project).await;
    assert_eq!(words(&reports), ["failed", "blocked"]);
    let MartOutcome::Failed(error) = &reports[0].outcome else { panic!("{reports:?}") };
    assert!(error.message.contains("the test \"expect(revenue >= 0)\" failed"), "{error}");
    let test = &reports[0].tests[1];
    assert_eq!(
        (test.state, test.violations, test.samples.clone()),
        (MartTestState::Failed, 1, vec!["region: c, revenue: -5".into()])
    );
    assert_eq!(rows(&engine, "SELECT * FROM m.revenue ORDER BY 1").await, "a 40\nb 20");
    assert_eq!(engine.lake().table("m", "revenue").await.unwrap().version(), 0);
    let document = engine.lake().mart("m.total").await.unwrap();
    assert_eq!(document.runs.last().unwrap().state, MartRunState::Blocked);
    assert_eq!(
        rows(&engine, "SELECT test, state, violations FROM system.mart_tests WHERE state = 'failed'").await,
        "expect(revenue >= 0) failed 1"
    );
    execute(&engine, "DELETE FROM orders WHERE amount < 0").await;
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
}

#[tokio::test]
async fn a_first_run_whose_test_fails_leaves_no_table() {
    let engine = engine().await;
    let mart = "/*---\n[[test]]\nunique = \"a\"\n---*/ SELECT 1 AS a UNION ALL SELECT 1";
    let project = project(&engine, &[("m.t", mart)]).await;
    assert_eq!(words(&run(&project).await), ["failed"]);
    assert!(engine.session().execute("SELECT * FROM m.t").await.is_err());
    assert_eq!(
        rows(&engine, "SELECT test, state, samples FROM system.mart_tests").await,
        "unique(a) failed a: 1, rows_of_it: 2"
    );
}

#[tokio::test]
async fn every_kind_of_test_finds_what_is_wrong_and_nothing_else() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE parents AS SELECT 1 AS id UNION ALL SELECT NULL").await;
    let kinds = "/*---
[[test]]
unique = [\"a\", \"b\"]
[[test]]
not_null = \"a\"
[[test]]
accepted_values = { column = \"b\", values = [\"x\", \"it's\"] }
[[test]]
relationships = { column = \"a\", to = \"parents\", key = \"id\" }
[[test]]
expect = \"b IS NOT NULL -- and so on\"
[[test]]
row_count = { min = 2, max = 3 }
[[test]]
freshness = { column = \"day\", max_age = \"2d\" }
---*/
";
    let warned = kinds.replace("[[test]]", "[[test]]\non_violation = \"warn\"");
    // The clock stands at 2027-01-15 08:00.
    let good = "SELECT * FROM (VALUES (1, 'x', DATE '2027-01-14'), (1, 'it''s', DATE '2000-01-01')) AS v (a, b, day)";
    let bad = "SELECT * FROM (VALUES (1, 'x', DATE '2027-01-13'), (1, 'x', NULL), (2, 'y', NULL), (NULL, NULL, NULL)) AS v (a, b, day)";
    let marts = [("m.bad", format!("{warned}{bad}")), ("m.good", format!("{kinds}{good}"))];
    let marts: Vec<(&str, &str)> = marts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let project = project(&engine, &marts).await;
    let reports = run(&project).await;
    assert_eq!(words(&reports), ["succeeded", "succeeded"], "{reports:?}");
    assert!(reports[1].tests.iter().all(|test| test.state == MartTestState::Passed), "{reports:?}");
    let found: Vec<_> = reports[0].tests.iter().map(|test| (test.name.as_str(), test.violations)).collect();
    let expected = [
        ("unique(a, b)", 1),
        ("not_null(a)", 1),
        ("accepted_values(b)", 1),
        ("relationships(a -> main.parents.id)", 1),
        ("expect(b IS NOT NULL -- and so on)", 1),
        ("row_count", 1),
        ("freshness(day)", 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(reports[0].tests[3].samples, ["a: 2, b: y, day: NULL"]);
    assert_eq!(reports[0].tests[5].samples, ["4 rows; from 2 to 3 are right"]);
    assert_eq!(reports[0].tests[6].samples, ["the newest value is 2 d 8 h old"]);
    let tested = project.test(&["m.good".into()]).await.unwrap();
    assert!(tested[0].tests.as_ref().unwrap().iter().all(|test| test.violations == 0), "{tested:?}");
}

#[tokio::test]
async fn rows_that_violate_a_test_are_left_out_or_put_aside() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE parents AS SELECT 1 AS id; CREATE TABLE raw AS SELECT * FROM (VALUES (1, 5), (2, 6), (NULL, 7), (1, -1)) AS v (p, n)").await;
    let mart = "/*---
[[test]]
relationships = { column = \"p\", to = \"parents\", key = \"id\" }
on_violation = \"quarantine\"
[[test]]
not_null = \"p\"
on_violation = \"quarantine\"
[[test]]
expect = \"n > 0\"
on_violation = \"drop\"
[[test]]
row_count = { min = 1 }
---*/
SELECT p, n FROM raw ORDER BY n";
    let project = project(&engine, &[("m.t", mart)]).await;
    for _ in 0..2 {
        let reports = project.run(&[], true, |_| {}).await.unwrap();
        assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
        let found: Vec<_> = reports[0].tests.iter().map(|test| (test.state.word(), test.violations)).collect();
        assert_eq!(found, [("passed", 0), ("quarantined", 1), ("quarantined", 1), ("dropped", 1)]);
        assert_eq!(rows(&engine, "SELECT * FROM m.t").await, "1 5");
        assert_eq!(
            rows(&engine, "SELECT coalesce(p, 0), n, violates FROM m.t_quarantine ORDER BY n").await,
            "2 6 relationships(p -> main.parents.id)\n0 7 not_null(p)"
        );
    }
}

#[tokio::test]
async fn a_contract_is_enforced_and_the_table_gets_what_is_declared() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let mart = |column: &str| {
        format!(
            "/*---\ncontract = true\npartition_by = \"region\"\n[[column]]\nname = \"region\"\ndescription = \"where\"\nnot_null = true\n{column}---*/\nSELECT region, sum(amount) AS revenue FROM orders GROUP BY 1"
        )
    };
    let declared = mart("[[column]]\nname = \"revenue\"\ntype = \"DECIMAL(21, 2)\"\n");
    let built = project(&engine, &[("m.t", &declared)]).await;
    assert_eq!(words(&run(&built).await), ["succeeded"]);
    execute(&engine, "ALTER TABLE m.t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')").await;
    let table = engine.lake().table("m", "t").await.unwrap();
    assert_eq!(table.partition_columns(), ["region"]);
    assert!(!table.schema().field(0).is_nullable());
    assert_eq!(table.schema().field(0).metadata()["comment"], "where");
    for (column, expected) in [
        ("", "marts/m.t.sql: column \"revenue\" is not declared\nHINT: The definition has contract = true"),
        (
            "[[column]]\nname = \"revenu\"\n",
            "marts/m.t.sql:8: column \"revenu\" is not one of the query's\nHINT: Did you mean \"revenue\"?",
        ),
        (
            "[[column]]\nname = \"revenue\"\ntype = \"INT\"\n",
            "marts/m.t.sql:8: column \"revenue\" of table \"m.t\" is INT",
        ),
        (
            "[[column]]\nname = \"revenue\"\ntype = \"MONEY, x INT\"\n",
            "marts/m.t.sql:8: \"MONEY, x INT\" is not a type",
        ),
    ] {
        let text = opened(&engine, &[("m.t", &mart(column))]).await.map(drop).unwrap_err();
        assert!(text.starts_with(expected), "{text}");
    }
    // Another definition: the table is made anew, its history and what people set stay.
    let wider = mart("[[column]]\nname = \"revenue\"\ntype = \"DECIMAL(23, 2)\"\n");
    let changed = project(&engine, &[("m.t", &wider)]).await;
    assert_eq!(changed.plan(&[]).await.unwrap()[0].change, Change::Definition);
    assert_eq!(words(&run(&changed).await), ["succeeded"]);
    let table = engine.lake().table("m", "t").await.unwrap();
    assert_eq!((table.version(), table.properties()["delta.enableChangeDataFeed"].as_str()), (2, "true"));
    assert_eq!(rows(&engine, "SELECT revenue FROM m.t ORDER BY region").await, "40.00\n20.00");
}

#[tokio::test]
async fn what_is_wrong_with_marts_is_told_and_nothing_runs() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE o AS SELECT 1 AS id; CREATE VIEW v AS SELECT * FROM o; CREATE SCHEMA m; CREATE TABLE m.hand AS SELECT 1 AS a").await;
    let told = async |marts: &[(&str, &str)]| opened(&engine, marts).await.map(drop).unwrap_err();
    let text = told(&[("m.a", "SELECT * FROM m.b"), ("m.b", "SELECT * FROM m.c"), ("m.c", "SELECT *\nFROM m.a")]).await;
    assert!(
        text.starts_with("marts/m.a.sql: marts read each other in a cycle: m.a -> m.b -> m.c -> m.a\nHINT: "),
        "{text}"
    );
    let text = told(&[("m.a", "WITH m AS (SELECT 1 AS x) SELECT * FROM m.a, m")]).await;
    assert!(text.starts_with("marts/m.a.sql: mart \"m.a\" reads itself"), "{text}");
    let text = told(&[("m.a", "SELECT 1 AS a"), ("x/m.a", "SELECT 2 AS a")]).await;
    assert!(
        text.starts_with("marts/x/m.a.sql:1: two marts have the name \"m.a\"\nDETAIL: The other one is marts/m.a.sql."),
        "{text}"
    );
    let text = told(&[
        ("m.a", "SELECT id FROM o"),
        ("m.b", "/*---\n[[test]]\nunique = \"ib\"\n---*/\nSELECT id,\n ie\nFROM m.a"),
    ])
    .await;
    assert!(text.starts_with("marts/m.b.sql:6: column \"ie\" does not exist"), "{text}");
    assert!(text.contains("LINE 6:  ie\n"), "{text}");
    let text =
        told(&[("m.b", "/*---\n[[test]]\nunique = \"ib\"\n[[test]]\nexpect = \"idd > 0\"\n---*/\nSELECT id FROM o")])
            .await;
    assert!(
        text.starts_with("marts/m.b.sql:2: column \"ib\" is not one of the query's\nHINT: Did you mean \"id\"?"),
        "{text}"
    );
    assert!(text.contains("\nmarts/m.b.sql:4: column \"idd\" does not exist"), "{text}");
    let text = told(&[("m.hand", "SELECT 1 AS a")]).await;
    assert!(
        text.starts_with("marts/m.hand.sql:1: there is a table \"m.hand\" already, which no mart has made\nHINT: "),
        "{text}"
    );
    let text = told(&[("main.v", "SELECT 1 AS a")]).await;
    assert!(text.contains("there is a view \"main.v\" already"), "{text}");
    let text = told(&[("m.a", "SELECT $1 AS a")]).await;
    assert!(text.contains("a mart has no parameters, but its query has $1"), "{text}");
    let text = told(&[("m.a", "SELECT 1 AS a, 2 AS \"A\"")]).await;
    assert!(text.contains("two columns of the query have the name \"A\""), "{text}");
    let drop = "/*---\n[[test]]\nexpect = \"a > 0\"\non_violation = \"drop\"\n---*/\nSELECT random() AS a";
    let text = told(&[("m.a", drop)]).await;
    assert!(
        text.starts_with("marts/m.a.sql:2: on_violation = \"drop\" needs a query that gives the same rows again"),
        "{text}"
    );
    assert!(engine.lake().marts().await.unwrap().is_empty());
    // Through a view, in the order in which they can run.
    run(&project(&engine, &[("m.z", "SELECT id FROM o")]).await).await;
    execute(&engine, "CREATE OR REPLACE VIEW v AS SELECT id FROM m.z").await;
    let ordered = project(&engine, &[("m.a", "SELECT * FROM v"), ("m.z", "SELECT id FROM o")]).await;
    assert_eq!(ordered.names(), ["m.z", "m.a"]);
    assert_eq!(words(&run(&ordered).await), ["skipped", "succeeded"]);
}

#[tokio::test]
async fn what_depends_on_more_than_tables_always_runs() {
    let engine = engine().await;
    let project =
        project(&engine, &[("m.now", "SELECT now() AS at"), ("m.runs", "SELECT count(*) AS n FROM system.mart_runs")])
            .await;
    for _ in 0..2 {
        assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
    }
    assert!(project.plan(&[]).await.unwrap().iter().all(|planned| planned.change == Change::Always));
}

#[tokio::test]
async fn a_view_that_changes_is_a_change() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE o AS SELECT 1 AS id; CREATE VIEW v AS SELECT id FROM o").await;
    let project = project(&engine, &[("m.t", "SELECT id FROM v")]).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(words(&run(&project).await), ["skipped"]);
    execute(&engine, "CREATE OR REPLACE VIEW v AS SELECT id + 1 AS id FROM o").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    execute(&engine, "CREATE OR REPLACE TABLE o AS SELECT 1 AS id").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    execute(&engine, "DROP TABLE o PURGE; CREATE TABLE o AS SELECT 7 AS id").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, "SELECT id FROM m.t").await, "8");
}

#[tokio::test]
async fn one_process_at_a_time_runs_a_mart_and_a_dead_one_is_replaced() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let project = project(&engine, &[("m.revenue", REVENUE)]).await;
    let (one, two) = tokio::join!(run(&project), run(&project));
    let mut both = [words(&one)[0], words(&two)[0]];
    both.sort_unstable();
    // The second found the first at work, or its rows published.
    assert!(both == ["busy", "succeeded"] || both == ["skipped", "succeeded"], "{both:?}");
    assert_eq!(engine.lake().table("m", "revenue").await.unwrap().version(), 0);

    // A process that ended in the midst of a run, and one that ended behind its commit.
    let lake = engine.lake();
    let run_of = lake.mart("m.revenue").await.unwrap().runs[0].clone();
    for (number, left) in [(run_of.number, MartRunState::Succeeded), (5, MartRunState::Failed)] {
        lake.change_mart("m.revenue", |document| {
            let run = boathouse_storage::catalog::MartRun { id: number.to_string(), number, ..run_of.clone() };
            let claim = Claim { token: "dead".to_owned(), holder: "process 1".to_owned(), beat: 3 };
            document.lease = Some(boathouse_storage::catalog::MartLease { claim, run });
        })
        .await
        .unwrap();
        execute(&engine, &format!("INSERT INTO orders VALUES (9, 'z', {})", number % 7)).await;
        assert_eq!(words(&run(&project).await), ["succeeded"]);
        let document = lake.mart("m.revenue").await.unwrap();
        assert_eq!(document.lease, None);
        let told = document.runs.iter().find(|run| run.id == number.to_string()).unwrap();
        assert_eq!(told.state, left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marts_of_one_run_read_one_version_of_what_they_share() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let marts = [("m.a", "SELECT count(*) AS n FROM orders"), ("m.b", "SELECT sum(amount) AS s FROM orders")];
    let project = project(&engine, &marts).await;
    // Rows come between the two marts.
    let (sender, receiver) = std::sync::mpsc::channel();
    let writer = engine.clone();
    let told = move |report: &Report| {
        if report.mart == "m.a" {
            let (writer, sender) = (writer.clone(), sender.clone());
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(execute(&writer, "INSERT INTO orders VALUES (4, 'c', 1000)"));
            });
            sender.send(()).unwrap();
        }
    };
    project.run(&[], false, told).await.unwrap();
    receiver.recv().unwrap();
    assert_eq!(rows(&engine, "SELECT n, s FROM m.a, m.b").await, "3 60");
}
