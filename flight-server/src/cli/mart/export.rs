//! `boathouse mart export`

use boathouse_engine::mart::ExportReport;

use super::{Selection, error_text, open, settle, text};

/// The flags of `boathouse mart export`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Only to this destination
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Deliver also what the destinations have: all rows
    #[arg(long)]
    pub again: bool,
}

/// Delivers, and tells of each export when it is done. False when a destination does not have the rows of the last run then.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let (engine, project) = open(&args.selection.place).await?;
    let width = project.names().iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let told = |report: &ExportReport| print!("{}", text::exported(report, width));
    let reports = project.export(&args.selection.names, args.to.as_deref(), args.again, told).await;
    settle(&engine).await;
    let reports = reports.map_err(|error| error_text(&error))?;
    if reports.is_empty() {
        println!("no mart has an export");
    }
    Ok(reports.iter().all(|report| report.outcome.is_good()))
}
