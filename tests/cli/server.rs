//! The same shell on a server, and the server's own command line.

use crate::{boathouse, check, served::Served};

const SCRIPT: &str = "\
CREATE TABLE t (id INT NOT NULL, name VARCHAR);
INSERT INTO t VALUES (1, 'one'), (2, NULL);
SELECT * FROM t ORDER BY id;
\\d t
\\dt
SET datafusion.execution.batch_size = 100;
SHOW datafusion.execution.batch_size;
\\format json
SELECT count(*) AS n, sum(id) AS total FROM t;
SELECT nam FROM t;
";

#[test]
fn a_server_and_a_lake_in_this_process_answer_alike() {
    let server = Served::lake("memory://", &[]);
    let here = boathouse(["sql", "memory://"]).input(SCRIPT).text();
    let there = boathouse(["sql", &server.url]).input(SCRIPT).text();
    assert_eq!(here, there);
    check!("same_on_a_server", there);
}

#[test]
fn an_open_address_needs_a_flag() {
    check!("listen_refused", boathouse(["serve", "memory://", "--listen", "0.0.0.0:0"]).text());
}

#[test]
fn each_statement_is_a_line_of_the_log_without_its_secrets() {
    let script = "SELECT 1 AS one; ALTER USER ada PASSWORD hush;";
    let output =
        boathouse(["sql", "memory://"]).variable("BOATHOUSE_LOG", "boathouse::query=info").input(script).output();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("query ended")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for part in ["query_id=", "state=\"done\"", "statement=\"SELECT\"", "rows=1", "executing_us=", "SELECT 1 AS one"] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    for part in ["state=\"failed\"", "error_kind=", "ALTER USER ada PASSWORD '***'"] {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
    assert!(!lines[1].contains("hush"), "{}", lines[1]);
}
