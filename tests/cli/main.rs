//! The binary as a person or a script calls it: what it prints, where, and its exit code.
//!
//! Belongs to the package of the binary (see its `Cargo.toml`), because cargo tells only that one where the binary lies and
//! builds it first. Snapshots are in `snapshots/`; paths, versions and times are filtered out.

#![allow(clippy::panic, clippy::unwrap_used)]

mod command;
mod disk;
mod export;
mod format;
mod interactive;
mod mart;
mod memory;
mod script;
mod serve;
mod served;
mod server;
mod tier;
mod usage;
mod user;

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// One call of the binary, with nothing of the caller's environment that could change what it prints.
pub struct Call {
    command: Command,
    input: Vec<u8>,
}

/// `boathouse` with these arguments.
pub fn boathouse<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("BOATHOUSE_")
            || name.starts_with("AWS_")
            || name.starts_with("OTEL_")
            || name == "NO_COLOR"
            || name == "PAGER"
        {
            command.env_remove(name);
        }
    }
    Call { command, input: Vec::new() }
}

impl Call {
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.as_bytes().to_vec();
        self
    }

    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn output(mut self) -> Output {
        let pipes = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = std::mem::take(&mut self.input);
        let writer = std::thread::spawn(move || {
            // A process that fails early does not read its input.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Exit code, standard output and standard error as one text.
    pub fn text(self) -> String {
        let output = self.output();
        let mut text = format!("exit code {}\n", output.status.code().unwrap());
        for (name, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
            let part = String::from_utf8(bytes.clone()).unwrap();
            assert!(!part.contains('\x1b'), "no colours where there is no terminal: {part}");
            if !part.is_empty() {
                text.push_str(&format!("---- {name}\n{part}"));
            }
        }
        text
    }

    /// Standard output of a call that must succeed.
    pub fn stdout(self) -> String {
        let output = self.output();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Compares with a named snapshot, without what differs from run to run.
#[macro_export]
macro_rules! check {
    ($name:expr, $text:expr) => {
        insta::with_settings!({
            omit_expression => true,
            prepend_module_to_snapshot => false,
            filters => vec![
                (r"Time: [0-9.]+ ms( \([0-9.:]+ s?\))?", "Time: [TIME]"),
                (r"(file://)?/[^ \n\x22]*/\.tmp[A-Za-z0-9]+", "[FOLDER]"),
                (r"boathouse [0-9]+\.[0-9]+\.[0-9]+", "boathouse [VERSION]"),
            ],
        }, { insta::assert_snapshot!($name, $text) })
    };
}
