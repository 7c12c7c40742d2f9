//! `boathouse serve` as an operator runs it: settings, signals, what it prints.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::boathouse;

#[test]
fn a_signal_ends_the_server_well_after_one_line_on_standard_output() {
    for signal in ["-INT", "-TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_boathouse"))
            .args(["serve", "memory://", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on grpc://127.0.0.1:"), "{line}");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused_before_any_work_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("boathouse.toml");
    std::fs::write(&file, "[server]\nlisen = '127.0.0.1:0'\n").unwrap();
    let wrong_key = boathouse(["serve", "memory://", "--config", file.to_str().unwrap()]).output();
    let wrong_flag = boathouse(["serve", "memory://", "--statement-timeout", "soon"]).output();
    let wrong_variable = boathouse(["serve", "memory://"]).variable("BOATHOUSE_MEMORY", "much").output();
    let no_file = boathouse(["serve", "memory://", "--config", "no/such/file.toml"]).output();
    for (output, code, named) in [
        (wrong_key, 1, "lisen"),
        (wrong_flag, 2, "soon"),
        (wrong_variable, 1, "BOATHOUSE_MEMORY"),
        (no_file, 1, "no/such/file.toml"),
    ] {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(named), "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_lake_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing-here");
    let output = boathouse(["serve", missing.to_str().unwrap(), "--listen", "127.0.0.1:0"]).output();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("nothing-here"), "{text}");
    let url = format!("file://{}", missing.display());
    let output = boathouse(["serve", &url, "--listen", "127.0.0.1:0"]).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("nothing-here") && !told.contains("Another process"), "{told}");
    assert!(output.stdout.is_empty(), "a server that does not serve must not say that it listens");
}
