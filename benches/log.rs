//! What a large log costs: `cargo bench -p boathouse-benches --bench log -- --files 100000 --commits 10000 --runs 5`.
//!
//! Three tables that have a log and no data: many small commits, one commit of many files with statistics of 16 columns, and
//! the same behind a checkpoint. One line each: the best time to open the table from nothing, what the cache counts for it,
//! what the process grew by while it was opened first, and the best time to plan a query that needs one file.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use boathouse_benches::{end, measure};
use boathouse_engine::{Engine, EngineConfig};
use boathouse_storage::{Lake, StorageOptions};
use clap::{Parser, ValueEnum};
use deltalake::{DeltaTable, checkpoints::create_checkpoint};
use serde_json::{Value, json};

const COLUMNS: [(&str, &str); 16] = [
    ("id", "long"),
    ("n1", "long"),
    ("n2", "long"),
    ("n3", "long"),
    ("n4", "integer"),
    ("n5", "integer"),
    ("d1", "date"),
    ("d2", "date"),
    ("t1", "timestamp"),
    ("t2", "timestamp"),
    ("p1", "decimal(12,2)"),
    ("f1", "double"),
    ("s1", "string"),
    ("s2", "string"),
    ("s3", "string"),
    ("b1", "boolean"),
];

/// Opening and planning tables whose logs are large
#[derive(Debug, Parser)]
struct Args {
    /// Files of the tables with many files
    #[arg(long, default_value_t = 100_000)]
    files: usize,
    /// Commits of the table with many commits
    #[arg(long, default_value_t = 10_000)]
    commits: usize,
    /// How often each thing is done; the best time counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Only this table, which is how memory is measured: in a process of its own
    #[arg(long, value_enum)]
    only: Option<Table>,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    Commits,
    Files,
    Checkpoint,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Files => "files",
            Self::Checkpoint => "checkpoint",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    for table in [Table::Commits, Table::Files, Table::Checkpoint] {
        if args.only.is_none_or(|only| only == table) {
            run_on(table, args).await?;
        }
    }
    Ok(())
}

async fn run_on(table: Table, args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let count = if table == Table::Commits { args.commits } else { args.files };
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("log");
    let lake_folder = root.join(format!("{}-{count}", table.name()));
    make(table, count, &lake_folder).await?;
    let url = lake_folder.to_string_lossy().into_owned();
    let (mut best, mut grown, mut counted, mut files) = (f64::MAX, None, 0, 0);
    for _ in 0..args.runs {
        let lake = Lake::open(&url, &StorageOptions::default()).await?;
        let (before, started) = (memory("VmRSS"), Instant::now());
        let snapshot = lake.table("main", "t").await?;
        files = snapshot.file_count();
        best = best.min(started.elapsed().as_secs_f64() * 1_000.0);
        grown = grown.or(Some(memory("VmHWM").saturating_sub(before)));
        counted = snapshot.memory_bytes();
    }
    let engine = Engine::open(&url, EngineConfig::default()).await?;
    let sql = format!("EXPLAIN SELECT n1, s1 FROM t WHERE id = {}", count * 1_000 / 2 + 7);
    measure(&engine, &sql, 1).await?;
    let planned = measure(&engine, &sql, args.runs as usize).await?.best.as_secs_f64() * 1_000.0;
    println!(
        "{:<11} {files:>7} files: opened in {best:>8.1} ms, {:>6.1} MB counted, {:>6.1} MB at its height, planned in {planned:>6.2} ms",
        table.name(),
        counted as f64 / 1e6,
        grown.unwrap_or(0) as f64 / 1e3,
    );
    Ok(())
}

/// A figure of this process in kilobytes; 0 where the system does not tell.
fn memory(figure: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Writes the table, once.
async fn make(table: Table, count: usize, lake: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mark: PathBuf = lake.join("_complete");
    if mark.exists() {
        return Ok(());
    }
    let folder = lake.join("main/t");
    let log = folder.join("_delta_log");
    fs::create_dir_all(&log)?;
    fs::write(log.join(format!("{:020}.json", 0)), definition())?;
    if table == Table::Commits {
        for version in 1..=count {
            fs::write(log.join(format!("{version:020}.json")), add(version))?;
        }
    } else {
        let mut lines = String::new();
        for file in 1..=count {
            writeln!(lines, "{}", add(file))?;
        }
        fs::write(log.join(format!("{:020}.json", 1)), lines)?;
    }
    if table == Table::Checkpoint {
        let url = url::Url::from_directory_path(&folder).map_err(|()| "no folder")?;
        let mut loaded = DeltaTable::try_from_url(url).await?;
        loaded.load().await?;
        create_checkpoint(&loaded, None).await?;
    }
    Ok(fs::write(mark, "")?)
}

fn definition() -> String {
    let fields = COLUMNS.map(|(name, kind)| json!({"name": name, "type": kind, "nullable": true, "metadata": {}}));
    let schema = json!({"type": "struct", "fields": fields});
    let metadata = json!({"metaData": {"id": "bench", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.to_string(), "partitionColumns": [], "createdTime": 0,
        "configuration": {"delta.checkpointInterval": "1000000000"}}});
    format!("{}\n{metadata}\n", json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}))
}

/// A file whose ids are a thousand of their own.
fn add(file: usize) -> String {
    let (low, high) = (file * 1_000, file * 1_000 + 999);
    let bound = |name: &str, kind: &str, n: usize| -> Option<(String, Value)> {
        let value = match kind {
            "long" | "integer" => json!(n % 2_000_000_000),
            "date" => json!(format!("20{:02}-0{}-1{}", n % 100, 1 + n % 9, n % 10)),
            "timestamp" => json!(format!("20{:02}-0{}-1{}T0{}:00:00.000Z", n % 100, 1 + n % 9, n % 10, n % 10)),
            "string" => json!(format!("{name} value number {n}")),
            "boolean" => return None,
            _ => json!(n as f64 / 100.0),
        };
        Some((name.to_owned(), value))
    };
    let bounds = |n: usize| -> Value { COLUMNS.iter().filter_map(|(name, kind)| bound(name, kind, n)).collect() };
    let nulls: Value = COLUMNS.iter().map(|(name, _)| ((*name).to_owned(), json!(0))).collect();
    let stats = json!({"numRecords": 1_000, "minValues": bounds(low), "maxValues": bounds(high), "nullCount": nulls});
    let path = format!("part-{file:05}-00000000-0000-4000-8000-{file:012}-c000.snappy.parquet");
    json!({"add": {"path": path, "partitionValues": {}, "size": 1_000_000 + file, "modificationTime": 1_700_000_000_000_u64,
        "dataChange": true, "stats": stats.to_string()}})
    .to_string()
}
