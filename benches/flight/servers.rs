//! The servers that are measured, each in a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use boathouse_engine::{Engine, EngineConfig};
use boathouse_flight_server::server::{Listeners, ServerOptions, run};
use tokio::net::TcpListener;

use super::{Args, Result, Served};

/// A child that serves; killed when this is dropped.
pub struct Server {
    pub name: &'static str,
    child: Child,
    /// `http://127.0.0.1:port`.
    pub address: String,
}

impl Server {
    /// Boathouse on a lake. Results up to a sixteenth of `result_cache_bytes` come out of memory the second time.
    pub fn boathouse(args: &Args, lake: &Path, result_cache_bytes: u64) -> Result<Self> {
        let mut command = Self::own(Served::Boathouse, lake)?;
        command.env("BOATHOUSE_THREADS", args.threads.to_string());
        command.env("BOATHOUSE_RESULT_CACHE_BYTES", result_cache_bytes.to_string());
        Self::start("boathouse", command)
    }

    /// arrow-flight with the files of a folder in memory.
    pub fn bare(folder: &Path) -> Result<Self> {
        Self::start("bare arrow-flight", Self::own(Served::Bare, folder)?)
    }

    /// pyarrow with the same.
    pub fn pyarrow(args: &Args, folder: &Path) -> Result<Self> {
        let mut command = Command::new(&args.python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/flight/server.py")).arg(folder);
        Self::start("pyarrow", command)
    }

    fn own(served: Served, place: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let served = match served {
            Served::Boathouse => "boathouse",
            Served::Bare => "bare",
        };
        command.args(["--serve", served, "--place"]).arg(place);
        Ok(command)
    }

    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let Some(port) = line.trim().strip_prefix("port ") else {
            child.kill().ok();
            child.wait()?;
            return Err(format!("{name} does not serve").into());
        };
        Ok(Self { name, address: format!("http://127.0.0.1:{port}"), child })
    }

    /// Memory of the process now, in MB, where the system tells it.
    pub fn resident_mb(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the child of [`Server::boathouse`] runs.
pub async fn boathouse(lake: &Path) -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut config = EngineConfig::default();
    config.threads = number("BOATHOUSE_THREADS").and_then(|n| usize::try_from(n).ok()).unwrap_or(config.threads);
    config.result_cache_bytes_max = number("BOATHOUSE_RESULT_CACHE_BYTES").unwrap_or(config.result_cache_bytes_max);
    let engine = Engine::open(&lake.to_string_lossy(), config).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    run(Listeners::from(listener), engine, ServerOptions::default(), std::future::pending()).await?;
    Ok(())
}
