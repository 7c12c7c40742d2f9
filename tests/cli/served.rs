//! `boathouse serve`, for as long as a test needs it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A server; ended when dropped.
pub struct Served {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Served {
    /// On a lake and a free port, with more arguments.
    pub fn lake(lake: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
        command.args(["serve", lake, "--listen", "127.0.0.1:0"]).args(more);
        Self::start(command)
    }

    /// The same, which writes all that can be logged into a file.
    pub fn logging(lake: &str, log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
        command.args(["serve", lake, "--listen", "127.0.0.1:0"]).env("BOATHOUSE_LOG", "trace");
        Self::listening(command.stderr(File::create(log).unwrap()))
    }

    /// What a command starts, when it listens.
    pub fn start(mut command: Command) -> Self {
        Self::listening(command.stderr(Stdio::null()))
    }

    fn listening(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("no server: {line:?}")).to_owned();
        Self { child, url }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
