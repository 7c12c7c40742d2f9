//! `boathouse mart`: a folder of definitions over a lake.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{Call, boathouse, check, served::Served};

const ORDERS: &str = "CREATE TABLE orders AS SELECT * FROM (VALUES (1, 'north', 10), (2, 'south', 20), (3, 'north', 30)) AS v (id, region, amount)";
const REVENUE: &str = "\
/*---
owner = \"bi@example.com\"
description = \"Revenue per region\"

[[test]]
unique = \"region\"

[[test]]
expect = \"revenue >= 0\"
---*/
SELECT region, sum(amount) AS revenue
FROM orders
GROUP BY region
";
const TOTAL: &str = "SELECT sum(revenue) AS total FROM marts.revenue\n";

/// A lake with orders, and two marts.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path().join("sql/marts")).unwrap();
        fs::create_dir(place.path().join("lake")).unwrap();
        place.sql(ORDERS);
        place.write("marts.revenue.sql", REVENUE);
        place.write("marts.total.sql", TOTAL);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join("sql/marts").join(name), text).unwrap();
    }

    fn sql(&self, sql: &str) -> String {
        boathouse(["sql", "lake", "--format", "csv", "-c", sql]).folder(self.path()).stdout()
    }

    fn mart(&self, arguments: &[&str]) -> Call {
        let more = ["--lake", "lake", "--marts", "sql/marts"];
        boathouse(["mart"].iter().chain(arguments).chain(&more)).folder(self.path())
    }
}

#[test]
fn marts_are_planned_run_skipped_tested_and_told_of() {
    let place = Place::new();
    check!("mart_plan_new", place.mart(&["plan"]).text());
    check!("mart_run", place.mart(&["run"]).text());
    assert_eq!(place.sql("SELECT * FROM marts.revenue ORDER BY 1"), "region,revenue\nnorth,40\nsouth,20\n");
    check!("mart_run_again", place.mart(&["run"]).text());
    place.sql("INSERT INTO orders VALUES (4, 'east', 5)");
    check!("mart_plan_stale", place.mart(&["plan"]).text());
    check!("mart_run_one", place.mart(&["run", "marts.revenue"]).text());
    check!("mart_test", place.mart(&["test"]).text());
    check!("mart_graph", place.mart(&["graph"]).text());
    let history = boathouse(["mart", "history", "marts.revenue", "--lake", "lake", "--format", "csv"]);
    let history = history.folder(place.path()).stdout();
    let runs: Vec<&str> = history.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect();
    assert_eq!(runs, ["marts.revenue,succeeded,3,1,main.orders@v1,", "marts.revenue,succeeded,2,0,main.orders@v0,"]);
}

#[test]
fn a_failed_test_leaves_the_rows_that_were_there() {
    let place = Place::new();
    place.mart(&["run"]).stdout();
    place.sql("INSERT INTO orders VALUES (4, 'east', -5)");
    check!("mart_run_failed", place.mart(&["run"]).text());
    assert_eq!(place.sql("SELECT * FROM marts.total"), "total\n60\n");
}

#[test]
fn faults_tell_file_line_and_cure_and_nothing_runs() {
    let place = Place::new();
    place.write("marts.broken.sql", "/*---\nownr = \"me\"\n---*/\nSELECT 1 AS a\n");
    place.write("total.sql", "SELECT 1 AS a\n");
    check!("mart_faults_of_files", place.mart(&["run"]).text());
    fs::remove_file(place.path().join("sql/marts/total.sql")).unwrap();
    place.write("marts.broken.sql", "/*---\n[[test]]\nunique = \"totl\"\n---*/\nSELECT total\nFROM marts.total\n");
    place.write("marts.other.sql", "SELECT id,\n  amont\nFROM orders\n");
    check!("mart_faults_of_marts", place.mart(&["run"]).text());
    assert!(!place.path().join("lake/marts").exists());
    let text = place.mart(&["run", "marts.totl"]).text();
    assert!(text.contains("2 faults"), "{text}");
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    check!("mart_unknown", place.mart(&["run", "marts.totl"]).text());
    let call = boathouse(["mart", "run", "--lake", "lake", "--marts", "nowhere"]);
    check!("mart_no_folder", call.folder(place.path()).text());
    check!("mart_no_folder_said", boathouse(["mart", "run", "--lake", "lake"]).folder(place.path()).text());
    fs::write(place.path().join("boathouse.toml"), "marts = \"sql/marts\"\n").unwrap();
    let call = boathouse(["mart", "run", "--lake", "lake", "--config", "boathouse.toml"]);
    assert!(call.folder(place.path()).stdout().contains("marts.total    succeeded"));
}

#[test]
fn a_server_runs_marts_by_itself() {
    let place = Place::new();
    place.write("marts.revenue.sql", &REVENUE.replace("/*---\n", "/*---\nrefresh = { every = \"1s\" }\n"));
    let path = |part: &str| place.path().join(part).to_str().unwrap().to_owned();
    let server = Served::lake(&path("lake"), &["--marts", &path("sql/marts")]);
    let ask = |sql: &str| boathouse(["sql", &server.url, "--format", "csv", "-c", sql]).stdout();
    // Long enough for a busy machine; a server that runs nothing fails it.
    let until = |sql: &str, wanted: &str| {
        let begun = Instant::now();
        loop {
            let found = ask(sql);
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{sql}: {found}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let state = "SELECT name, refresh, state, rows FROM system.marts";
    until(state, "name,refresh,state,rows\nmarts.revenue,every 1s,succeeded,2\n");
    ask("INSERT INTO orders VALUES (4, 'east', 5)");
    until("SELECT * FROM marts.revenue ORDER BY 1", "region,revenue\neast,5\nnorth,40\nsouth,20\n");
    // The other one says nothing of when.
    assert_eq!(ask("SELECT count(*) AS n FROM system.marts WHERE name = 'marts.total'"), "n\n0\n");
    let causes = ask("SELECT DISTINCT cause FROM system.mart_runs WHERE state = 'succeeded'");
    assert_eq!(causes, "cause\nschedule\n");
}

#[test]
fn rows_are_kept_made_by_intervals_and_made_anew() {
    let place = Place::new();
    let days: Vec<String> = [3, 2, 1].map(|ago| format!("date_trunc('day', now()) - INTERVAL '{ago} days'")).into();
    let events: Vec<String> = days.iter().enumerate().map(|(n, day)| format!("({day}, {n})")).collect();
    place.sql(&format!("CREATE TABLE events AS SELECT * FROM (VALUES {}) AS v (ts, x)", events.join(", ")));
    let dates = place.sql("SELECT CAST(CAST(ts AS DATE) AS VARCHAR) AS day FROM events ORDER BY 1");
    let dates: Vec<&str> = dates.lines().skip(1).collect();
    let [first, second, last] = dates.as_slice() else { panic!("{dates:?}") };
    let mart = format!(
        "/*---\nstrategy = \"append\"\ninterval = {{ column = \"ts\", grain = \"day\", lookback = 1, start = {first} }}\n---*/\n\
         SELECT ts, x FROM events WHERE ts >= $start AND ts < $end\n"
    );
    place.write("marts.days.sql", &mart);
    let plan = place.mart(&["plan", "marts.days"]).text();
    assert!(plan.contains(&format!("runs 3 intervals, from {first} to {last}")), "{plan}");
    let run = |arguments: &[&str], expected: &str| {
        let text = place.mart(arguments).text();
        assert!(text.contains(expected), "{arguments:?}: {text}");
    };
    run(&["run", "marts.days"], "succeeded  3 rows, version 2, 3 intervals");
    run(&["run", "marts.days"], "version 2 is up to date");
    place.sql("UPDATE events SET x = 10");
    run(&["backfill", "marts.days", "--from", first, "--to", second], "succeeded  3 rows, version 3, 1 interval ");
    assert_eq!(place.sql("SELECT x FROM marts.days ORDER BY ts"), "x\n10\n1\n2\n");
    run(&["backfill", "marts.days", "--from", "yesterday", "--to", second], "write a time in UTC as 2026-01-01");
    run(&["backfill", "--from", first, "--to", second], "ERROR: a backfill is of one mart\nHINT: ");
    run(&["backfill", "marts.revenue", "--from", first, "--to", second], "mart \"marts.revenue\" has no intervals");
    place.write("marts.days.sql", &mart.replace("SELECT ts, x", "SELECT ts, x, 1 AS one"));
    let refused = "HINT: boathouse mart run marts.days --rebuild makes it anew";
    run(&["run", "marts.days"], refused);
    run(&["run", "--rebuild", "marts.days"], "succeeded  3 rows, version 6, 3 intervals");
}

#[test]
fn two_versions_of_a_mart_are_compared() {
    let place = Place::new();
    place.mart(&["run"]).stdout();
    let diff = |arguments: &[&str]| {
        boathouse(["mart", "diff", "--lake", "lake"].iter().chain(arguments)).folder(place.path()).text()
    };
    let text = diff(&["marts.revenue"]);
    assert!(text.contains("ERROR: mart \"marts.revenue\" has no version before version 0\nHINT: "), "{text}");
    place.sql("INSERT INTO orders VALUES (4, 'east', 5); UPDATE orders SET amount = 15 WHERE id = 1; DELETE FROM orders WHERE id = 2");
    place.mart(&["run"]).stdout();
    // By the columns of its unique test, and without any.
    let text = diff(&["marts.revenue"]);
    let expected = "marts.revenue  version 0 -> 1, 2 -> 2 rows\n  1 row added, 1 removed, 1 changed (by region)\n  \
                    + region: east, revenue: 5\n  - region: south, revenue: 20\n  ~ region: north: revenue 40 -> 45\n";
    assert!(text.contains(expected), "{text}");
    let text = diff(&["marts.total", "--rows", "0"]);
    assert!(text.contains("version 0 -> 1, 1 -> 1 row\n  1 row added, 1 removed (it has no key"), "{text}");
    assert!(!text.contains("total: "), "{text}");
    let text = diff(&["marts.revenue", "--from", "1", "--to", "1"]);
    assert!(text.contains("version 1 -> 1, 2 -> 2 rows\n  0 rows added, 0 removed, 0 changed (by region)\n"), "{text}");
    assert!(diff(&["marts.revenue", "--to", "9"]).contains("has no version 9\nHINT: Its newest is 1."));
    assert!(diff(&["marts.none"]).contains("ERROR: mart \"marts.none\" was never published"));
    // Columns of one version alone are told of, and not compared.
    place.write("marts.total.sql", "SELECT sum(revenue) AS total, count(*) AS regions FROM marts.revenue\n");
    place.mart(&["run"]).stdout();
    let text = diff(&["marts.total"]);
    assert!(text.contains("version 1 -> 2, 1 -> 1 row\n  0 rows added, 0 removed"), "{text}");
    assert!(text.contains("\n  column regions BIGINT came\n"), "{text}");
}

#[test]
fn marts_have_a_drawing_and_a_site_in_which_texts_are_no_markup() {
    let place = Place::new();
    let evil = "<script>alert(\\\"x\\\")</script>";
    let column =
        "[[column]]\nname = \"region\"\nowner = \"sales@example.com\"\ntags = [\"geo\", \"<b>\"]\n\n[[test]]\nunique";
    let text = REVENUE.replace("Revenue per region", evil).replace("[[test]]\nunique", column);
    place.write("marts.revenue.sql", &text);
    place.mart(&["run"]).stdout();
    let call = place.mart(&["graph", "--html", "graph.html"]).text();
    assert!(call.contains("2 marts in graph.html"), "{call}");
    let read = |file: &str| fs::read_to_string(place.path().join(file)).unwrap();
    let graph = read("graph.html");
    assert_eq!((graph.matches("<rect ").count(), graph.matches("<path ").count()), (3, 2));
    assert!(graph.contains(">marts.revenue</text>") && graph.contains("class=\"source\""), "{graph}");
    let call = place.mart(&["docs", "site"]).text();
    assert!(call.contains("2 marts in site: open index.html"), "{call}");
    let (index, page) = (read("site/index.html"), read("site/marts/marts.revenue.html"));
    for html in [&graph, &index, &page] {
        assert!(!html.contains("<script>alert") && html.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"));
        // Nothing comes from elsewhere.
        assert!(!html.contains(" src=") && !html.contains("<link"), "{html}");
    }
    for expected in ["href=\"marts/marts.total.html\"", "bi@example.com", "data-text=\"marts.revenue", "id=\"search\""]
    {
        assert!(index.contains(expected), "{expected}: {index}");
    }
    for expected in [
        "<td>revenue</td><td>BIGINT</td><td></td><td>bi@example.com</td>",
        "<td>region</td><td>VARCHAR</td><td><span class=\"tag\">geo</span><span class=\"tag\">&lt;b&gt;</span></td><td>sales@example.com</td>",
        "<td>unique(region)</td><td>fail</td><td><span class=\"passed\">passed</span>",
        "<td>expect(revenue &gt;= 0)</td>",
        "GROUP BY region",
        "main.orders@v0",
        "href=\"marts.total.html\"",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // A mart that is no more has no page; what is not ours is not written over.
    fs::remove_file(place.path().join("sql/marts/marts.total.sql")).unwrap();
    fs::write(place.path().join("site/marts/notes.html"), "mine").unwrap();
    place.mart(&["docs", "site"]).stdout();
    assert!(!place.path().join("site/marts/marts.total.html").exists());
    assert_eq!(read("site/marts/notes.html"), "mine");
    let text = place.mart(&["docs", "sql"]).text();
    assert!(text.contains("ERROR: \"sql\" holds something other than pages about marts\nHINT: "), "{text}");
}

#[test]
fn marts_that_statements_made_run_beside_those_of_files_and_alone() {
    let place = Place::new();
    place.sql("CREATE MART marts.north WITH (owner = 'me') AS SELECT amount FROM orders WHERE region = 'north'");
    let text = boathouse(["mart", "run", "--lake", "lake"]).folder(place.path()).text();
    assert!(text.contains("marts.north  succeeded  2 rows, version 0") && !text.contains("marts.total"), "{text}");
    place.write("marts.sum.sql", "SELECT sum(amount) AS sum FROM marts.north\n");
    let text = place.mart(&["graph", "marts.sum"]).text();
    assert!(text.contains("marts.sum\n└─ marts.north\n"), "{text}");
    let text = place.mart(&["run"]).text();
    assert!(text.contains("marts.north    skipped") && text.contains("marts.sum      succeeded"), "{text}");
    place.write("marts.north.sql", "SELECT 1 AS one\n");
    let text = place.mart(&["run"]).text();
    let twice = "two marts have the name \"marts.north\"\nDETAIL: The other one is sql/marts/marts.north.sql.";
    assert!(text.contains(&format!("ERROR: CREATE MART marts.north:1: {twice}")), "{text}");
}

#[test]
fn a_server_without_a_folder_runs_the_marts_that_statements_made() {
    let place = Place::new();
    let server = Served::lake(place.path().join("lake").to_str().unwrap(), &[]);
    let ask = |sql: &str| boathouse(["sql", &server.url, "--format", "csv", "-c", sql]).stdout();
    ask("CREATE MART marts.north WITH (refresh = (every = '1s')) AS SELECT amount FROM orders WHERE region = 'north'");
    let begun = Instant::now();
    while ask("SELECT state FROM system.marts") != "state\nsucceeded\n" {
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not run");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ask("SELECT * FROM marts.north ORDER BY 1"), "amount\n10\n30\n");
    ask("REFRESH MART marts.north FORCE");
}
