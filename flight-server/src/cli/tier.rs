//! `boathouse tier`: what is old, what its move would bring, and the move into the cold tier, where the lake is.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use boathouse_engine::{
    Engine, EngineConfig,
    tier::{Cooled, MoveCost, TableTiers, TierPolicy, TierRun},
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
    /// Show what a run would move, what that costs and saves, and what is kept hot; nothing is moved
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
            Ok(Some(policy)) => println!("{}  {} by {}", table.table, ages(policy), policy.on),
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
        for tiers in &table.partitions {
            let partition = tiers.partition.to_string();
            if tiers.young.files > 0 {
                // Which of them have copies, a server knows: its system.tiers.
                let (files, bytes) = (counted(tiers.young.files), tiers.young.bytes);
                println!("  {:<28}  hot: {files}, {bytes} bytes", name(&partition));
            }
            if tiers.old.files > 0 {
                let due = Due::of(&engine, table, tiers.old.files, tiers.old.bytes);
                println!("  {:<28}  {due}", name(&partition));
                all = all.and(&due);
            }
        }
    }
    println!("{:<30}  {all}", "would move");
    println!(
        "Costs are of a month, at the bytes that there are now; \"once\" are the requests of the move, \"at least\" what is"
    );
    println!("billed for the shortest time of the class, were all deleted at once.");
    Ok(true)
}

/// When files of a table are hot, and when they become cold.
fn ages(policy: &TierPolicy) -> String {
    let hot = policy.hot.map(|hot| format!("hot for {} days", days(hot)));
    let cold = policy.cold_after.map(|cold| format!("cold after {} days", days(cold)));
    hot.into_iter().chain(cold).collect::<Vec<_>>().join(", ")
}

/// Files that a move writes grow to this size, and are sent in parts of this one.
const COLD_FILE_BYTES: u64 = 512 << 20;
const PART_BYTES: u64 = 5 << 20;

/// What would move, and what it costs; that is missing where a class has no price.
#[derive(Debug, Clone, Copy)]
struct Due {
    files: u64,
    bytes: u64,
    cost: Option<MoveCost>,
}

impl Default for Due {
    fn default() -> Self {
        Self { files: 0, bytes: 0, cost: Some(MoveCost::default()) }
    }
}

impl Due {
    fn of(engine: &Engine, table: &TableTiers, files: u64, bytes: u64) -> Self {
        let prices = &engine.config().prices;
        let class = &table.cold_class;
        // A partition becomes few large files.
        let cold_files = bytes.div_ceil(COLD_FILE_BYTES);
        // More than one part is begun and ended by a request each.
        let puts = if bytes > PART_BYTES { bytes.div_ceil(PART_BYTES) + 2 * cold_files } else { 1 };
        let cost = || {
            let after = prices.month(class, cold_files, bytes)?;
            Some(MoveCost {
                before: prices.month(&table.warm_class, files, bytes)?,
                after,
                once: prices.requests(class, puts)?,
                least: prices.least(class, after),
                days_min: prices.days_min(class),
            })
        };
        Self { files, bytes, cost: cost() }
    }

    fn and(&self, other: &Self) -> Self {
        let cost = self.cost.zip(other.cost).map(|(one, other)| one.and(&other));
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes, cost }
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} bytes, ", counted(self.files), self.bytes)?;
        let Some(cost) = self.cost else { return f.write_str("no price") };
        write!(f, "cost {:.4} -> {:.4}", cost.before, cost.after)?;
        if self.files == 0 {
            return Ok(());
        }
        write!(f, ", once {:.4}", cost.once)?;
        if cost.days_min > 0.0 {
            write!(f, ", at least {:.4} ({:.0} days)", cost.least, cost.days_min)?;
        }
        match cost.pays_after() {
            Some(days) => write!(f, ", pays after {:.0} days", days.ceil()),
            None => f.write_str(", never pays"),
        }
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
