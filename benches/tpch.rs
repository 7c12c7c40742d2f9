//! The 22 TPC-H queries, one line each: `cargo bench -p boathouse-benches --bench tpch -- --scale 1 --runs 5 --store both`.

use std::{path::Path, process::ExitCode};

use boathouse_benches::{Bench, Store, end, measure};
use boathouse_engine::EngineError;
use boathouse_flight_server::tpch::QUERIES;
use clap::{Parser, ValueEnum};

/// TPC-H on a folder and on S3: best time of some runs, in milliseconds
#[derive(Debug, Parser)]
struct Args {
    /// 1 is about 1 GB of text
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// How often each query runs; the best time counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    #[arg(long, value_enum, default_value_t = Stores::Both)]
    store: Stores,
    /// Only these queries: 1,6,18
    #[arg(long, value_delimiter = ',')]
    query: Vec<usize>,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Folder,
    S3,
    Both,
}

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<(), EngineError> {
    let stores: &[Store] = match args.store {
        Stores::Folder => &[Store::Folder],
        Stores::S3 => &[Store::S3],
        Stores::Both => &[Store::Folder, Store::S3],
    };
    for store in stores {
        run_on(*store, args).await?;
    }
    Ok(())
}

async fn run_on(store: Store, args: &Args) -> Result<(), EngineError> {
    println!("TPC-H at scale {} on {}, best of {}", args.scale, store.name(), args.runs);
    let bench = Bench::tpch(store, args.scale, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    let mut total = 0.0;
    for (number, sql) in QUERIES {
        if !args.query.is_empty() && !args.query.contains(&number) {
            continue;
        }
        let measured = measure(&bench.engine, sql, args.runs as usize).await?;
        let millis = measured.best.as_secs_f64() * 1_000.0;
        total += millis;
        println!("q{number:02} {:>6} {millis:>9.1} ms {:>6} rows", store.name(), measured.rows);
    }
    println!("all {:>6} {total:>9.1} ms\n", store.name());
    Ok(())
}
