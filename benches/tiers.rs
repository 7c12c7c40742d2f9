//! What a far store costs, and what is saved by keeping blocks of it near by:
//! `cargo bench -p boathouse-benches --profile dist --bench tiers -- --scale 1`.
//!
//! The TPC-H queries, each once, over S3 with the delay of a distance: without blocks near by, with them from empty, again,
//! after a restart, and on a folder as the floor. For each pass its time, the requests for data and logs, and their bytes.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use boathouse_benches::{Bench, Store, end, measure};
use boathouse_engine::{Engine, EngineConfig, StorageOptions, WarmOptions};
use boathouse_flight_server::tpch::QUERIES;
use boathouse_storage::{Lake, store::StoreLayer};
use clap::Parser;
use object_store::throttle::{ThrottleConfig, ThrottledStore};

/// TPC-H over a far store: seconds, requests and bytes of each pass
#[derive(Debug, Parser)]
struct Args {
    /// 1 is about 1 GB of text
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Until the first byte of an answer, in milliseconds
    #[arg(long, default_value_t = 30)]
    delay: u64,
    /// How fast one answer comes, in MB/s
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    speed: u64,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<()> {
    println!("TPC-H at scale {}, {} ms and {} MB/s away", args.scale, args.delay, args.speed);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (s3, near) = (Bench::tpch(Store::S3, args.scale, cache).await?, cache.join("tiers-near"));
    if near.exists() {
        std::fs::remove_dir_all(&near)?;
    }
    let warm = WarmOptions { folder: near, bytes_max: 64 << 30, memory_bytes_max: 64 << 20 };
    pass("far, nothing near by", &far(args, &s3, None).await?).await?;
    let engine = far(args, &s3, Some(&warm)).await?;
    pass("from an empty folder", &engine).await?;
    pass("again", &engine).await?;
    engine.idle().await;
    drop(engine);
    pass("after a restart", &far(args, &s3, Some(&warm)).await?).await?;
    pass("on a folder", &Bench::tpch(Store::Folder, args.scale, cache).await?.engine).await
}

/// An engine that has nothing in memory, far from its bucket.
async fn far(args: &Args, bench: &Bench, warm: Option<&WarmOptions>) -> Result<Arc<Engine>> {
    let throttle = ThrottleConfig {
        wait_get_per_call: Duration::from_millis(args.delay),
        wait_get_per_byte: Duration::from_nanos(1_000 / args.speed),
        wait_list_per_call: Duration::from_millis(args.delay),
        ..ThrottleConfig::default()
    };
    let layer: StoreLayer = Arc::new(move |store| Arc::new(ThrottledStore::new(store, throttle)));
    let options = StorageOptions { warm: warm.cloned(), ..bench.storage.clone() };
    let lake = Lake::open_layered(bench.engine.lake().url().as_str(), &options, Some(layer)).await?;
    Ok(Engine::on(lake, EngineConfig::default())?)
}

async fn pass(name: &str, engine: &Arc<Engine>) -> Result<()> {
    let (before, mut seconds) = (engine.lake_usage().store, 0.0);
    for (_, sql) in QUERIES {
        seconds += measure(engine, sql, 1).await?.best.as_secs_f64();
    }
    let after = engine.lake_usage().store;
    let (requests, bytes) = (after.get + after.head - before.get - before.head, after.bytes_read - before.bytes_read);
    println!("{name:>22}: {seconds:>7.2} s {requests:>6} requests {:>8.1} MB", bytes as f64 / 1e6);
    Ok(())
}
