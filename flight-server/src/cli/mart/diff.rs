//! `boathouse mart diff`

use std::path::PathBuf;

use boathouse_engine::{
    Engine,
    mart::{Diff, DiffOptions, diff},
};

use super::{error_text, text::plural};
use crate::config::{Config, Flags};

/// The flags of `boathouse mart diff`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The name of the mart, schema.table
    #[arg(value_name = "MART")]
    pub name: String,
    /// A folder (./lake) or a bucket (s3://bucket/prefix)
    #[arg(long, value_name = "LAKE")]
    pub lake: String,
    /// The version to compare with [default: that of the run before]
    #[arg(long, value_name = "VERSION")]
    pub from: Option<u64>,
    /// The version that is compared [default: the newest]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<u64>,
    /// How many rows of each kind are shown
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub rows: usize,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Shows in what the versions differ.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let config = Config::load(args.config.as_deref(), Flags::default()).map_err(|error| error_text(&error))?;
    let engine = Engine::open(&args.lake, config.engine).await.map_err(|error| error_text(&error))?;
    let options = DiffOptions { from: args.from, to: args.to, samples: args.rows };
    let found = diff(&engine, &args.name, options).await.map_err(|error| error_text(&error))?;
    print!("{}", told(&args.name, &found));
    Ok(true)
}

fn told(mart: &str, diff: &Diff) -> String {
    let Diff { from, to, rows: (before, after), key, added, removed, changed, columns, samples } = diff;
    let rows = |count: &u64| format!("{count} {}", plural(*count, "row"));
    let mut text = format!("{mart}  version {from} -> {to}, {before} -> {}\n", rows(after));
    let by = if key.is_empty() {
        "it has no key, so a row that changed is one that went and one that came".to_owned()
    } else {
        format!("by {}", key.join(", "))
    };
    let changed = if key.is_empty() { String::new() } else { format!(", {changed} changed") };
    text += &format!("  {} added, {removed} removed{changed} ({by})\n", rows(added));
    for line in columns.iter().chain(samples) {
        text += &format!("  {line}\n");
    }
    text
}
