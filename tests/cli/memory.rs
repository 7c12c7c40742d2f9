//! The process keeps to the memory that it was given.
#![cfg(target_os = "linux")]

use std::{fs, process::Command};

use crate::{boathouse, served::Served};

const LIMIT_MIB: usize = 384;

/// The most that was ever resident.
fn peak_mib(server: &Served) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn a_join_of_wide_rows_spills_and_the_process_stays_within_a_fifth_of_its_limit() {
    let spill = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
    command.args(["serve", "memory://", "--listen", "127.0.0.1:0", "--memory", &format!("{LIMIT_MIB}MiB")]);
    command.env("BOATHOUSE_SPILL_FOLDER", spill.path()).env("BOATHOUSE_THREADS", "2");
    let server = Served::start(command);
    // Much memory for little work: 480 MB a side.
    let rows =
        |a: &str, s: &str| format!("(SELECT value AS {a}, repeat('{s}', 8000) AS {s} FROM generate_series(1, 60000))");
    let (t, u) = (rows("a", "s"), rows("b", "r"));
    let sql = format!("SELECT count(*) AS n FROM {t} JOIN {u} ON a = b WHERE s <> r");
    let output = boathouse(["sql", &server.url, "--format", "csv", "-c", &sql]).output();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().nth(1), Some("60000"), "{errors}");
    let peak = peak_mib(&server);
    assert!(peak <= LIMIT_MIB * 6 / 5, "{peak} MiB");
}
