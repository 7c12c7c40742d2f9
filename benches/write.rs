//! What small writes cost: `cargo bench -p boathouse-benches --bench write -- --appends 1000 --clients 8 --threads 2`.
//!
//! Many small INSERTs of many clients into one table on a folder, each acknowledged when it is on the disk; then a query
//! over the files that they leave, OPTIMIZE, the query again, and over a table that was written at once. One line each.

use std::{path::Path, process::ExitCode, sync::Arc, time::Instant};

use boathouse_benches::measure;
use boathouse_engine::{Engine, EngineConfig};
use clap::Parser;

/// Small appends, and what they leave
#[derive(Debug, Parser)]
struct Args {
    /// INSERTs of one row
    #[arg(long, default_value_t = 1_000)]
    appends: usize,
    /// Clients that send them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    clients: u64,
    /// Threads of the engine
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

const QUERY: &str = "SELECT count(*), sum(id) FROM t";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("write");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let clients = args.clients as usize;
    let config = EngineConfig { threads: args.threads, statements_running_max: clients, ..EngineConfig::default() };
    let engine = Engine::create(&folder.to_string_lossy(), config).await?;
    engine.session().execute("CREATE TABLE t (id BIGINT, name VARCHAR)").await?;
    let started = Instant::now();
    append(&engine, args.appends, clients).await?;
    let seconds = started.elapsed().as_secs_f64();
    let version = engine.lake().table("main", "t").await?.version();
    println!(
        "{} appends of {clients} clients: {seconds:.2} s, {:.0} a second, {version} commits",
        args.appends,
        args.appends as f64 / seconds
    );
    let before = measure(&engine, QUERY, 5).await?.best;
    let started = Instant::now();
    engine.session().execute("OPTIMIZE t").await?;
    println!("OPTIMIZE: {:.2} s", started.elapsed().as_secs_f64());
    let after = measure(&engine, QUERY, 5).await?.best;
    engine.session().execute("CREATE TABLE at_once AS SELECT * FROM t").await?;
    let at_once = measure(&engine, &QUERY.replace("FROM t", "FROM at_once"), 5).await?.best;
    let [before, after, at_once] = [before, after, at_once].map(|time| time.as_secs_f64() * 1e3);
    println!(
        "the query: {before:.1} ms before, {after:.1} ms after, {at_once:.1} ms where the rows were written at once"
    );
    Ok(())
}

async fn append(engine: &Arc<Engine>, appends: usize, clients: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let session = engine.session();
        tasks.spawn(async move {
            for id in (client..appends).step_by(clients) {
                session.execute(&format!("INSERT INTO t VALUES ({id}, 'row {id}')")).await?;
            }
            Ok::<(), boathouse_engine::EngineError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
