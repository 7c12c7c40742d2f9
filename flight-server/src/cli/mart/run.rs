//! `boathouse mart run`

use boathouse_engine::mart::{ExportReport, Report};

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

/// Runs the marts, delivers their exports, and tells of each when it is done. False when one of them is not up to date then.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let (engine, project) = open(&args.selection.place).await?;
    let names = &args.selection.names;
    let width = project.names().iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let told = |report: &Report| print!("{}", text::report(report, width));
    let reports = match args.rebuild {
        true => project.rebuild(names, told).await,
        false => project.run(names, args.force, told).await,
    };
    let reports = reports.map_err(|error| error_text(&error))?;
    let told = |report: &ExportReport| print!("{}", text::exported(report, width));
    let exported = project.export_behind(&reports, told).await;
    settle(&engine).await;
    let exported = exported.map_err(|error| error_text(&error))?;
    Ok(exported.iter().all(|report| report.outcome.is_good()) && reports.iter().all(|report| report.outcome.is_good()))
}
