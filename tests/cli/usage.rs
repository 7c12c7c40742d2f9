//! Help, versions, wrong usage, and lakes that cannot be opened.

use crate::{boathouse, check};

#[test]
fn without_arguments_it_shows_help_with_examples() {
    let text = boathouse([""; 0]).text();
    check!("help_without_arguments", text);
}

#[test]
fn the_version_is_one_line() {
    check!("version", boathouse(["--version"]).text());
}

#[test]
fn the_shell_explains_its_flags() {
    check!("help_sql", boathouse(["sql", "--help"]).text());
}

#[test]
fn the_demo_is_small_and_lies_here_by_default() {
    let help = boathouse(["demo", "--help"]).stdout();
    assert!(help.contains("[default: 0.1]") && help.contains("[default: ./boathouse-demo]"), "{help}");
}

#[test]
fn wrong_usage_ends_with_two() {
    check!("usage_unknown_flag", boathouse(["sql", "memory://", "--formt", "csv"]).text());
    check!("usage_unknown_format", boathouse(["sql", "memory://", "--format", "xml"]).text());
    check!("usage_command_and_file", boathouse(["sql", "memory://", "-c", "SELECT 1", "-f", "x.sql"]).text());
}

#[test]
fn a_missing_lake_is_named_with_the_way_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    check!("missing_lake", boathouse(["sql", "./nowhere", "-c", "SELECT 1"]).folder(folder.path()).text());
}

#[test]
fn an_empty_folder_is_an_empty_lake() {
    let folder = tempfile::tempdir().unwrap();
    let call = boathouse(["sql", ".", "-c", "CREATE TABLE t AS SELECT 1 AS a", "-c", "SELECT * FROM t"]);
    check!("empty_folder", call.folder(folder.path()).text());
    assert!(folder.path().join("main/t/_delta_log").is_dir());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Port 1 is reserved and nothing listens there.
    let output = boathouse(["sql", "grpc://127.0.0.1:1", "-c", "SELECT 1"]).output();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("ERROR: ") && error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_wrong_log_filter_or_configuration_is_refused() {
    check!("wrong_log_filter", boathouse(["sql", "memory://"]).variable("BOATHOUSE_LOG", "a=b=c").text());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("boathouse.toml"), "[query]\nmemmory = \"1GiB\"\n").unwrap();
    let call = boathouse(["sql", "memory://", "--config", "boathouse.toml", "-c", "SELECT 1"]);
    check!("wrong_configuration", call.folder(folder.path()).text());
}
