//! `boathouse mart history`: the runs that the lake knows, newest first.

use std::path::PathBuf;

use boathouse_engine::mart::full_name;

use crate::{
    cli::show::show,
    client::Embedded,
    config::{Config, Flags},
    shell::output::Format,
};

/// The flags of `boathouse mart history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Names of marts, schema.table; all when none is given
    #[arg(value_name = "MART")]
    pub names: Vec<String>,
    /// A folder (./lake) or a bucket (s3://bucket/prefix)
    #[arg(long, value_name = "LAKE")]
    pub lake: String,
    /// How they are written
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Shows the runs.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let config = Config::load(args.config.as_deref(), Flags::default()).map_err(|error| super::error_text(&error))?;
    let client = Embedded::open(&args.lake, config.engine).await.map_err(|error| super::error_text(&error))?;
    let listed: Vec<String> =
        args.names.iter().map(|name| format!("'{}'", full_name(name).replace('\'', "''"))).collect();
    let only = match listed.as_slice() {
        [] => String::new(),
        listed => format!(" WHERE mart IN ({})", listed.join(", ")),
    };
    let sql = format!(
        "SELECT started_at, mart, state, rows, version, inputs, error FROM system.mart_runs{only} ORDER BY started_at DESC, mart"
    );
    Ok(show(client, &sql, args.format).await)
}
