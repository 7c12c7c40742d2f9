//! `boathouse mart`: plan, run and test the marts of a folder and those that statements made, where the lake is.

mod backfill;
mod diff;
mod docs;
mod export;
mod graph;
mod history;
mod page;
mod plan;
mod run;
mod test;
pub(crate) mod text;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use boathouse_engine::{
    Engine, MartOptions, Project,
    mart::{Destinations, Fault, read_folder, read_lake},
};

use crate::config::{Config, Flags};

/// How long the end waits for what goes on behind the last commit.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// The flags of `boathouse mart`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Check the definitions, and show what a run would do and why; nothing is written
    Plan(Selection),
    /// Bring marts up to date: those whose definition or inputs changed
    Run(run::Args),
    /// Run intervals again that are done
    Backfill(backfill::Args),
    /// Deliver to the destinations of the settings what they do not have of the marts' rows
    Export(export::Args),
    /// Carry out the tests over the rows that are published
    Test(Selection),
    /// Show which mart reads what
    Graph(graph::Args),
    /// Write a static site: every mart with its columns, tests, lineage and runs
    Docs(docs::Args),
    /// Show which rows came, went and changed between two versions of a mart
    Diff(diff::Args),
    /// Show the last runs
    History(history::Args),
}

impl Command {
    /// The lake that it is about.
    pub fn lake(&self) -> &str {
        match self {
            Self::Plan(args) | Self::Test(args) => &args.place.lake,
            Self::Graph(args) => &args.selection.place.lake,
            Self::Docs(args) => &args.place.lake,
            Self::Run(args) => &args.selection.place.lake,
            Self::Backfill(args) => &args.selection.place.lake,
            Self::Diff(args) => &args.lake,
            Self::Export(args) => &args.selection.place.lake,
            Self::History(args) => &args.lake,
        }
    }
}

/// Which marts.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Names of marts, schema.table; all when none is given
    #[arg(value_name = "MART")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub place: Place,
}

/// Where marts are.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// A folder (./lake) or a bucket (s3://bucket/prefix)
    #[arg(long, value_name = "LAKE")]
    pub lake: String,
    /// The folder of the definitions, besides those that CREATE MART made [default: `marts` of the settings]
    #[arg(long, value_name = "FOLDER")]
    pub marts: Option<PathBuf>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Does it. What it tells is on standard output, errors on standard error.
pub async fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Plan(args) => plan::run(&args).await,
        Command::Run(args) => run::run(&args).await,
        Command::Backfill(args) => backfill::run(&args).await,
        Command::Export(args) => export::run(&args).await,
        Command::Test(args) => test::run(&args).await,
        Command::Graph(args) => graph::run(&args).await,
        Command::Docs(args) => docs::run(&args).await,
        Command::Diff(args) => diff::run(&args).await,
        Command::History(args) => history::run(&args).await,
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

/// The marts of the folder and of the lake, checked. The error holds all faults.
async fn open(place: &Place) -> Result<(Arc<Engine>, Project), String> {
    opened(place, true).await
}

/// The same, to look at marts: nothing is delivered, so where they are exported to need not be known.
async fn open_to_look(place: &Place) -> Result<(Arc<Engine>, Project), String> {
    opened(place, false).await
}

async fn opened(place: &Place, delivers: bool) -> Result<(Arc<Engine>, Project), String> {
    let config = Config::load(place.config.as_deref(), Flags::default()).map_err(|error| error_text(&error))?;
    let destinations = match delivers {
        true => config.destinations.map_err(|error| error_text(&error))?,
        false => Destinations::elsewhere(),
    };
    let folder = place.marts.clone().or(config.marts);
    let mut definitions = folder.as_deref().map_or(Ok(Vec::new()), read_folder).map_err(faults)?;
    let engine = Engine::open(&place.lake, config.engine).await.map_err(|error| error_text(&error))?;
    definitions.extend(read_lake(&engine).await.map_err(faults)?);
    if folder.is_none() && definitions.is_empty() {
        let hint = "--marts FOLDER names their folder, or `marts` in the settings; CREATE MART makes one in the lake.";
        return Err(format!("ERROR: it is not said where the marts are\nHINT: {hint}"));
    }
    let options = MartOptions { destinations, ..MartOptions::default() };
    let project = Project::open(&engine, definitions, options).await.map_err(faults)?;
    Ok((engine, project))
}

fn faults(faults: Vec<Fault>) -> String {
    let texts: Vec<String> = faults.iter().map(|fault| format!("ERROR: {fault}")).collect();
    let count = match texts.len() {
        1 => String::new(),
        count => format!("\n{count} faults; nothing was run"),
    };
    texts.join("\n") + &count
}

fn error_text(error: &dyn std::fmt::Display) -> String {
    format!("ERROR: {error}")
}

/// Gives work behind the commits some time to end.
async fn settle(engine: &Engine) {
    let _ = tokio::time::timeout(SETTLE_MAX, engine.idle()).await;
}
