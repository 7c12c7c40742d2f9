//! What serving costs: `cargo bench -p boathouse-benches --profile dist --bench flight -- --rows 10000000 --runs 3`.
//!
//! One client on this machine reads TPC-H's `lineitem` and a table of integers from Boathouse, from a bare arrow-flight
//! server and from pyarrow's, which send the same batches from memory; then it sends them the same. Then small queries: one
//! client alone, many at once, and one beside clients that do not read. Every server is a process of its own.

mod bare;
mod client;
mod servers;
mod small;
mod streams;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use boathouse_benches::end;
use clap::{Parser, ValueEnum};

/// Rows a second over Flight SQL, beside servers that only send
#[derive(Debug, Parser)]
struct Args {
    /// Rows of both tables
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// How often each stream is read and sent; the best time counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Threads of Boathouse's engine
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Clients that send small queries at once
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// How long they do
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A Python that has pyarrow
    #[arg(long, env = "BOATHOUSE_TEST_PYTHON", default_value = "python3")]
    python: PathBuf,
    /// What the servers run
    #[arg(long, hide = true, requires = "place")]
    serve: Option<Served>,
    #[arg(long, hide = true)]
    place: Option<PathBuf>,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Served {
    Boathouse,
    Bare,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (args.serve, &args.place) {
        (Some(Served::Boathouse), Some(lake)) => servers::boathouse(lake).await,
        (Some(Served::Bare), Some(folder)) => bare::serve(folder).await,
        _ => run(&args).await,
    };
    end(done)
}

async fn run(args: &Args) -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flight-{}", args.rows));
    let data = streams::Data::make(args, &folder).await?;
    streams::run(args, &data).await?;
    small::run(args, &data).await
}
