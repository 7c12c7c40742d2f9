//! `boathouse mart run`

use boathouse_engine::mart::Report;

use super::{Selection, error_text, open, settle, text};

/// The flags of `boathouse mart run`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Run also those that are up to date
    #[arg(long)]
    pub force: bool,
    /// Make their tables anew from their queries: none of the rows that are there stays
    #[arg(long)]
    pub rebuild: bool,
}

/// Runs the marts, and tells of each when it is done. False when one of them is not up to date then.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let (engine, project) = open(&args.selection).await?;
    let names = &args.selection.names;
    let width = project.names().iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let told = |report: &Report| print!("{}", text::report(report, width));
    let reports = match args.rebuild {
        true => project.rebuild(names, told).await,
        false => project.run(names, args.force, told).await,
    };
    settle(&engine).await;
    let reports = reports.map_err(|error| error_text(&error))?;
    Ok(reports.iter().all(|report| report.outcome.is_good()))
}
