//! `boathouse mart backfill`

use boathouse_engine::mart::{ExportReport, Report, time_ms};

use super::{Selection, error_text, open, settle, text};

/// The flags of `boathouse mart backfill`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// The first moment, in UTC: 2026-01-01 or "2026-01-01 06:00"
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: i64,
    /// The first moment behind it, in UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: i64,
}

fn time(text: &str) -> Result<i64, String> {
    time_ms(text).ok_or_else(|| "write a time in UTC as 2026-01-01 or \"2026-01-01 06:00\"".to_owned())
}

/// Runs the intervals of one mart again. False when it failed.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let [name] = args.selection.names.as_slice() else {
        return Err("ERROR: a backfill is of one mart\nHINT: Write its name, schema.table.".to_owned());
    };
    let (engine, project) = open(&args.selection.place).await?;
    let told = |report: &Report| print!("{}", text::report(report, name.chars().count()));
    let reports = project.backfill(name, args.from, args.to, told).await;
    let reports = reports.map_err(|error| error_text(&error))?;
    let told = |report: &ExportReport| print!("{}", text::exported(report, name.chars().count()));
    let exported = project.export_behind(&reports, told).await;
    settle(&engine).await;
    let exported = exported.map_err(|error| error_text(&error))?;
    Ok(exported.iter().all(|report| report.outcome.is_good()) && reports.iter().all(|report| report.outcome.is_good()))
}
