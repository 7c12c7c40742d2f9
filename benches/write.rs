//! What small writes cost: `cargo bench -p boathouse-benches --bench write -- --appends 1000 --clients 8 --threads 2`.
//!
//! Many small INSERTs of many clients into one table on a folder, each acknowledged when it is on the disk; then a query
//! over the files that they leave, OPTIMIZE (with `--upkeep` what a server does by itself), and queries over the table
//! beside the same ones over a table that one statement wrote. One line each, the ratio last: how many times as long the
//! first takes. `--rows 10000` makes tables of which the query's time is reading, and not planning.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_benches::{end, measure};
use boathouse_engine::{Engine, EngineConfig};
use clap::Parser;

/// Small appends, and what they leave
#[derive(Debug, Parser)]
struct Args {
    /// INSERTs
    #[arg(long, default_value_t = 1_000)]
    appends: usize,
    /// Rows of each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Lets a server's upkeep compact the table, in place of OPTIMIZE
    #[arg(long)]
    upkeep: bool,
    /// Fails when a query takes more than so many times as long as over the table that was written at once
    #[arg(long)]
    ratio_max: Option<f64>,
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
/// Read beside a table that was written at once: all rows, a text of each, a few rows.
const QUERIES: [(&str, &str); 4] = [
    ("sum", QUERY),
    ("texts", "SELECT count(DISTINCT substr(name, 1, 6)) FROM t WHERE name LIKE '%7%'"),
    ("range", "SELECT count(*), min(name) FROM t WHERE id BETWEEN {middle} AND {middle} + 100"),
    ("row", "SELECT name FROM t WHERE id = {middle}"),
];
/// How often each is run over either table, in turn.
const ROUNDS: usize = 15;
/// How many engines open the lake anew and run it first of all.
const FIRST_ROUNDS: usize = 5;
/// Upkeep leaves a table of fewer files alone.
const SMALL_FILES_MIN: usize = 32;
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
const UPKEEP_WAIT_MAX: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("write");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let (folder, clients) = (folder.to_string_lossy().into_owned(), args.clients as usize);
    let mut config = EngineConfig { threads: args.threads, statements_running_max: clients, ..EngineConfig::default() };
    if args.upkeep {
        config.upkeep_interval = Some(UPKEEP_INTERVAL);
    }
    let engine = Engine::create(&folder, config.clone()).await?;
    engine.session().execute("CREATE TABLE t (id BIGINT, name VARCHAR)").await?;
    let started = Instant::now();
    append(&engine, args.appends, args.rows, clients).await?;
    let seconds = started.elapsed().as_secs_f64();
    let table = engine.lake().table("main", "t").await?;
    println!(
        "{} appends of {clients} clients: {seconds:.2} s, {:.0} a second, {} commits, {} files",
        args.appends,
        args.appends as f64 / seconds,
        table.version(),
        table.file_count()
    );
    let before = measure(&engine, QUERY, 5).await?.best;
    println!("the query over these files: {:.2} ms", millis(before));
    let started = Instant::now();
    match args.upkeep {
        true => keep_up(&engine).await?,
        false => drop(engine.session().execute("OPTIMIZE t").await?),
    }
    let what = if args.upkeep { "upkeep" } else { "OPTIMIZE" };
    let files = engine.lake().table("main", "t").await?.file_count();
    println!("{what}: {:.2} s, {files} files", started.elapsed().as_secs_f64());
    let all = rows(0, args.appends as u64 * args.rows);
    engine.session().execute(&format!("CREATE TABLE at_once AS {all}")).await?;
    engine.idle().await;
    let worst = compare(&engine, &folder, &config, args.appends as u64 * args.rows / 2).await?;
    match args.ratio_max {
        Some(most) if worst > most => Err(format!("a query takes {worst:.2} times as long, {most} allowed").into()),
        _ => Ok(()),
    }
}

/// Waits until a server's upkeep has nothing left to do for the table.
async fn keep_up(engine: &Arc<Engine>) -> Result<(), Failure> {
    let upkeep = engine.keep_up().ok_or("upkeep is not configured")?;
    let compacted = async {
        while engine.lake().table("main", "t").await?.file_count() >= SMALL_FILES_MIN {
            tokio::time::sleep(POLL).await;
        }
        Ok::<(), Failure>(())
    };
    tokio::time::timeout(UPKEEP_WAIT_MAX, compacted).await.map_err(|_| "upkeep does not compact the table")??;
    engine.idle().await;
    drop(upkeep);
    Ok(())
}

/// Runs the queries over both tables, in turn, and says how long each takes at best; gives the worst ratio.
async fn compare(engine: &Arc<Engine>, folder: &str, config: &EngineConfig, middle: u64) -> Result<f64, Failure> {
    let mut worst = 0_f64;
    for (name, sql) in QUERIES {
        let sql = sql.replace("{middle}", &middle.to_string());
        let both = [sql.clone(), sql.replace("FROM t", "FROM at_once")];
        let mut best = [Duration::MAX; 2];
        for round in 0..ROUNDS {
            // None of them is always the one that finds the caches of the processor warm.
            for at in [round % 2, (round + 1) % 2] {
                best[at] = best[at].min(measure(engine, &both[at], 1).await?.best);
            }
        }
        worst = worst.max(told(name, best));
        let mut first = [Duration::MAX; 2];
        for round in 0..FIRST_ROUNDS {
            for at in [round % 2, (round + 1) % 2] {
                let engine = Engine::open(folder, config.clone()).await?;
                first[at] = first[at].min(measure(&engine, &both[at], 1).await?.best);
                engine.idle().await;
            }
        }
        worst = worst.max(told(&format!("{name}, first query of a process"), first));
    }
    Ok(worst)
}

/// Prints a line; gives the ratio.
fn told(name: &str, [small, at_once]: [Duration; 2]) -> f64 {
    let ratio = small.as_secs_f64() / at_once.as_secs_f64();
    let (small, at_once) = (millis(small), millis(at_once));
    println!("{name}: {small:.2} ms, {at_once:.2} ms where the rows were written at once: {ratio:.2} times");
    ratio
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A query that yields `count` rows from `first` on.
fn rows(first: u64, count: u64) -> String {
    let last = first + count - 1;
    format!("SELECT value AS id, 'row ' || value AS name FROM generate_series({first}, {last}) AS s (value)")
}

async fn append(engine: &Arc<Engine>, appends: usize, rows_each: u64, clients: usize) -> Result<(), Failure> {
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let session = engine.session();
        tasks.spawn(async move {
            for n in (client..appends).step_by(clients) {
                let sql = match rows_each {
                    1 => format!("INSERT INTO t VALUES ({n}, 'row {n}')"),
                    _ => format!("INSERT INTO t {}", rows(n as u64 * rows_each, rows_each)),
                };
                session.execute(&sql).await?;
            }
            Ok::<(), boathouse_engine::EngineError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
