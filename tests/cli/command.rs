//! Backslash commands in scripts.

use std::fs;

use crate::{boathouse, check};

const SETUP: &str = "\
CREATE SCHEMA sales;
CREATE TABLE orders (id BIGINT NOT NULL, total DECIMAL(10, 2) COMMENT 'with tax');
CREATE TABLE sales.leads (id INT);
CREATE VIEW totals AS SELECT sum(total) AS total FROM orders;
";

fn run(commands: &str) -> String {
    let text = boathouse(["sql", "memory://"]).input(&format!("{SETUP}{commands}")).text();
    // The tags of the setup are of no interest.
    text.replace("CREATE SCHEMA\nCREATE TABLE\nCREATE TABLE\nCREATE VIEW\n", "")
}

#[test]
fn tables_views_and_schemas_are_listed() {
    check!("command_d", run("\\d"));
    check!("command_dt", run("\\dt"));
    check!("command_dt_pattern", run("\\dt s*.l?ads"));
    check!("command_dv", run("\\dv"));
    check!("command_dn", run("\\dn"));
}

#[test]
fn a_table_is_described() {
    check!("command_d_name", run("\\d orders\n\\d sales.leads"));
    check!("command_d_missing", run("\\d order"));
}

#[test]
fn functions_are_found_by_pattern() {
    check!("command_df", run("\\df octet_l*"));
}

#[test]
fn display_settings_can_be_switched() {
    check!(
        "command_switches",
        run("\\x\nSELECT 1 AS a;\n\\x off\n\\timing on\nSELECT 2 AS b;\n\\format csv\nSELECT 3 AS c;")
    );
}

#[test]
fn files_are_included_and_results_redirected() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("part.sql"), "SELECT 'part' AS source;\n").unwrap();
    let script =
        "\\i part.sql\n\\o out.txt\nSELECT 'file' AS target;\n\\o\nSELECT 'screen' AS target;\n\\q\nSELECT 'never';";
    check!("command_include_output", boathouse(["sql", "memory://"]).folder(folder.path()).input(script).text());
    check!("command_output_file", fs::read_to_string(folder.path().join("out.txt")).unwrap());
}

#[test]
fn an_unknown_command_suggests_the_nearest() {
    check!("command_unknown", boathouse(["sql", "memory://"]).input("\\timng").text());
}
