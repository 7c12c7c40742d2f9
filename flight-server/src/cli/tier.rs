//! `boathouse tier`: what is old, what its move would bring, and the move into the cold tier, where the lake is.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use boathouse_engine::{
    Engine, EngineConfig,
    tier::{Cooled, TableTiers, TierRun},
};
use chrono::Utc;

use super::show::show;
use crate::{
    client::Embedded,
    config::{Config, Flags},
    shell::output::Format,
};

/// The flags of `boathouse tier`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Show what a run would move, and what that would save a month; nothing is moved
    Plan(Place),
    /// Move what is old into the cold tier, a partition at a time
    Run(Place),
    /// Show where the files of tables lie, and what that costs a month
    Status(Place),
}

/// Which lake, and which of its tables.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// A folder (./lake) or a bucket (s3://bucket/prefix)
    #[arg(value_name = "LAKE")]
    pub lake: String,
    /// A table, schema.table; all that have a policy when none is given
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Command {
    fn place(&self) -> &Place {
        match self {
            Self::Plan(place) | Self::Run(place) | Self::Status(place) => place,
        }
    }

    /// The lake that it is about.
    pub fn lake(&self) -> &str {
        &self.place().lake
    }
}

/// Does it. What it tells is on standard output, errors on standard error; 1 when a partition could not be moved.
pub async fn run(args: Args) -> ExitCode {
    let done = match &args.command {
        Command::Plan(place) => plan(place).await,
        Command::Run(place) => move_old(place).await,
        Command::Status(place) => status(place).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn config(place: &Place) -> Result<EngineConfig, String> {
    Config::load(place.config.as_deref(), Flags::default()).map(|config| config.engine).map_err(|error| told(&error))
}

async fn open(place: &Place) -> Result<Arc<Engine>, String> {
    Engine::open(&place.lake, config(place)?).await.map_err(|error| told(&error))
}

fn told(error: &dyn std::fmt::Display) -> String {
    format!("ERROR: {error}")
}

async fn plan(place: &Place) -> Result<bool, String> {
    let engine = open(place).await?;
    let now_ms = Utc::now().timestamp_millis();
    let tables = engine.tiers(place.table.as_deref(), now_ms).await.map_err(|error| told(&error))?;
    let mut all = Due::default();
    for table in &tables {
        match &table.policy {
            Ok(Some(policy)) => {
                println!("{}  cold after {} days by {}", table.table, days(policy.cold_after), policy.on);
            }
            Ok(None) if place.table.is_some() => {
                let hint = "HINT: ALTER TABLE t SET TIER (cold_after = '90 days', on = column) makes one.";
                return Err(format!("ERROR: table \"{}\" has no tier policy\n{hint}", table.table));
            }
            Ok(None) => continue,
            Err(reason) => {
                println!("{}  {reason}", table.table);
                continue;
            }
        }
        for tiers in table.partitions.iter().filter(|tiers| tiers.old.files > 0) {
            let due = Due::of(&engine, table, tiers.old.files, tiers.old.bytes);
            println!("  {:<28}  {due}", name(&tiers.partition.to_string()));
            all = all.and(&due);
        }
    }
    println!("{:<30}  {all}", "would move");
    println!("Costs are of a month, at the bytes that there are now.");
    Ok(true)
}

/// Files that a move writes grow to this size.
const COLD_FILE_BYTES: u64 = 512 << 20;

/// What would move, and what it costs a month before and after; a cost is missing where a class has no price.
#[derive(Debug, Clone, Copy)]
struct Due {
    files: u64,
    bytes: u64,
    before: Option<f64>,
    after: Option<f64>,
}

impl Default for Due {
    fn default() -> Self {
        Self { files: 0, bytes: 0, before: Some(0.0), after: Some(0.0) }
    }
}

impl Due {
    fn of(engine: &Engine, table: &TableTiers, files: u64, bytes: u64) -> Self {
        let prices = &engine.config().prices;
        let before = prices.month(&table.warm_class, files, bytes);
        // A partition becomes few large files.
        let after = prices.month(&table.cold_class, bytes.div_ceil(COLD_FILE_BYTES), bytes);
        Self { files, bytes, before, after }
    }

    fn and(&self, other: &Self) -> Self {
        let sum = |one: Option<f64>, other: Option<f64>| one.zip(other).map(|(one, other)| one + other);
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            before: sum(self.before, other.before),
            after: sum(self.after, other.after),
        }
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let money = |cost: Option<f64>| cost.map_or_else(|| "no price".to_owned(), |cost| format!("{cost:.4}"));
        let (files, bytes) = (counted(self.files), self.bytes);
        write!(f, "{files}, {bytes} bytes, cost {} -> {}", money(self.before), money(self.after))
    }
}

fn counted(files: u64) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

fn days(time: std::time::Duration) -> String {
    let days = time.as_secs_f64() / 86_400.0;
    if days.fract() == 0.0 { format!("{days:.0}") } else { format!("{days:.2}") }
}

/// A table without partitions is one.
fn name(partition: &str) -> &str {
    if partition.is_empty() { "all of it" } else { partition }
}

async fn move_old(place: &Place) -> Result<bool, String> {
    let engine = open(place).await?;
    let (mut moved, mut failed) = (0_u64, 0_u64);
    let mut each = |cooled: Cooled| {
        let partition = cooled.partition.to_string();
        let what = format!("{}  {}", cooled.table, name(&partition));
        match cooled.moved {
            Ok(done) if done.version.is_none() => println!("{what}  nothing was left to move"),
            Ok(done) => {
                moved += 1;
                println!(
                    "{what}  {}, {} bytes -> {}, {} bytes",
                    counted(done.files_removed),
                    done.bytes_removed,
                    counted(done.files_added),
                    done.bytes_added
                );
            }
            Err(error) => {
                failed += 1;
                println!("{what}  not moved, the next run tries again");
                eprintln!("{}", told(&error));
            }
        }
    };
    let run = TierRun { table: place.table.as_deref(), now_ms: Utc::now().timestamp_millis() };
    let ran = engine.cool(run, &mut each).await;
    engine.idle().await;
    ran.map_err(|error| told(&error))?;
    println!("partitions moved: {moved}, failed: {failed}");
    Ok(failed == 0)
}

async fn status(place: &Place) -> Result<bool, String> {
    let client = Embedded::open(&place.lake, config(place)?).await.map_err(|error| told(&error))?;
    let table = place.table.as_deref().map(|table| match table.contains('.') {
        true => table.replace('\'', "''"),
        false => format!("main.{}", table.replace('\'', "''")),
    });
    let only = table.map(|table| format!(" WHERE table_name = '{table}'")).unwrap_or_default();
    let sql = format!(
        "SELECT table_name, tier, storage_class, count(*) AS partitions, sum(files) AS files, sum(bytes) AS bytes, \
         sum(files_due) AS files_due, sum(bytes_due) AS bytes_due, sum(cost_month) AS cost_month \
         FROM system.tiers{only} GROUP BY table_name, tier, storage_class ORDER BY table_name, tier DESC"
    );
    Ok(show(client, &sql, Format::Table).await)
}
