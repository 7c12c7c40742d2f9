//! What a repeated query costs, and where its time goes: `cargo bench -p boathouse-benches --bench cache -- --scale 0.1`.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_benches::{Bench, Store, end};
use boathouse_engine::{Engine, EngineError, Outcome, Session};
use boathouse_flight_server::tpch::QUERIES;
use clap::Parser;
use futures::StreamExt;

/// Queries that run on a kept plan, and queries whose rows are kept: medians
#[derive(Debug, Parser)]
struct Args {
    /// 1 is about 1 GB of text
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// How often each query runs in each way
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Only these queries: 1,6,18
    #[arg(long, value_delimiter = ',', default_value = "1,6,12,18")]
    query: Vec<usize>,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<(), EngineError> {
    let bench = Bench::tpch(Store::Folder, args.scale, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    let names = names(&bench.engine, args.runs).await?;
    println!("names: the newest version of one table looked up in {names:.0?}");
    for (number, sql) in QUERIES.iter().filter(|(number, _)| args.query.contains(number)) {
        let session = bench.engine.session();
        for (way, change) in [("run", "SET result_cache = false"), ("rows kept", "SET result_cache = true")] {
            session.execute(change).await?;
            let runs = if way == "run" { args.runs.min(10) } else { args.runs };
            let [prepare, answer] = medians(&session, sql, runs).await?;
            println!("q{number:02} {way:>9}: prepared in {prepare:>9.0?}, answered in {answer:>9.0?}");
        }
    }
    Ok(())
}

/// Medians of planning (or finding the plan) and of getting all rows; a first run, which fills the caches, is left out.
async fn medians(session: &Arc<Session>, sql: &str, runs: u64) -> Result<[Duration; 2], EngineError> {
    let (mut prepares, mut answers) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let started = Instant::now();
        let prepared = session.prepare(sql).await?;
        let planned = started.elapsed();
        if let Outcome::Rows(mut rows) = session.run(&prepared, &[]).await? {
            while let Some(batch) = rows.next().await {
                batch?;
            }
        }
        if run > 0 {
            prepares.push(planned);
            answers.push(started.elapsed() - planned);
        }
    }
    Ok([median(prepares), median(answers)])
}

/// How long the requests take that keep an answer fresh.
async fn names(engine: &Arc<Engine>, runs: u64) -> Result<Duration, EngineError> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        engine.lake().table("main", "lineitem").await?;
        times.push(started.elapsed());
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
