//! `-c`, `-f` and standard input: order, places of errors, exit codes.

use std::fs;

use crate::{boathouse, check};

#[test]
fn several_commands_with_several_statements_run_in_order() {
    let first = "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)";
    let second = "SELECT count(*) AS n FROM t; SELECT 'last' AS word";
    check!("commands", boathouse(["sql", "memory://", "-c", first, "-c", second]).text());
}

#[test]
fn a_file_stops_at_its_first_error_and_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("load.sql"),
        "-- a comment\nSELECT 1 AS a;\n\nSELECT\n  nothing\nFROM (SELECT 1 AS a);\nSELECT 2;\n",
    )
    .unwrap();
    check!("file_with_error", boathouse(["sql", "memory://", "-f", "load.sql"]).folder(folder.path()).text());
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    check!("missing_file", boathouse(["sql", "memory://", "-f", "load.sql"]).folder(folder.path()).text());
}

#[test]
fn standard_input_may_leave_out_the_last_semicolon() {
    check!("standard_input", boathouse(["sql", "memory://"]).input("SELECT 1 AS a;\nSELECT\n2 AS b").text());
}

#[test]
fn an_empty_script_does_nothing() {
    check!("empty_script", boathouse(["sql", "memory://"]).input("-- nothing\n;\n").text());
}

#[test]
fn a_parse_error_shows_the_line_and_a_caret() {
    check!("parse_error", boathouse(["sql", "memory://", "-c", "SELECT 1\nFORM t"]).text());
}

#[test]
fn what_is_prepared_lasts_for_the_whole_script() {
    let setup = "CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 7 AS x";
    let prepare = "PREPARE p AS SELECT x + $1 AS y FROM s.t";
    let call = boathouse(["sql", "memory://", "-c", setup, "-c", prepare, "-c", "EXECUTE p(3)"]);
    check!("prepared_lasts", call.text());
}

#[test]
fn a_text_that_is_too_long_is_refused_by_its_size() {
    let long = format!("SELECT '{}';\nSELECT 'never';", "x".repeat(100 << 20));
    let text = boathouse(["sql", "memory://"]).input(&long).text();
    assert!(text.starts_with("exit code 1\n") && text.contains("16777216 allowed"), "{}", text.len());
    assert!(text.len() < 1_000);
}
