//! The demo's retail example: files as they come become tables that can be trusted, then what the business reads, and that
//! goes out to others. Then a broken delivery comes, and nobody but its owner hears of it.
//!
//! Definitions and settings are those of `sql/retail`. A copy lies beside the lake, so that what is told at the end can be
//! typed wherever the demo was run.

mod raw;

use std::{fs, io::Write, path::PathBuf, sync::Arc};

use arrow::{array::RecordBatch, error::ArrowError};
use boathouse_engine::{Engine, ErrorKind, MartOptions, MartOutcome, Project, mart::Clock, parser};
use futures::{StreamExt, stream};

use super::{folder, heading, marts, quoted_for_shell, say, script};
use crate::{
    cli::mart::text,
    client::{ClientError, Embedded},
    config::{Config, Flags},
    shell::output::Look,
};

const BRONZE: &str = include_str!("../../../../sql/retail/bronze.sql");
const SETTINGS: &str = include_str!("../../../../sql/retail/boathouse.toml");
const LOOK: (&str, &str) = ("sql/retail/look.sql", include_str!("../../../../sql/retail/look.sql"));
const BAD_DAY: (&str, &str) = ("sql/retail/bad_day.sql", include_str!("../../../../sql/retail/bad_day.sql"));
const AUDIT: (&str, &str) = ("sql/retail/audit.sql", include_str!("../../../../sql/retail/audit.sql"));

/// Name and text of each definition.
const MARTS: [(&str, &str); 4] = [
    ("marts.customer_value.sql", include_str!("../../../../sql/retail/marts/marts.customer_value.sql")),
    ("marts.daily_sales.sql", include_str!("../../../../sql/retail/marts/marts.daily_sales.sql")),
    ("silver.customers.sql", include_str!("../../../../sql/retail/marts/silver.customers.sql")),
    ("silver.orders.sql", include_str!("../../../../sql/retail/marts/silver.orders.sql")),
];

/// Makes the example in the lake, from its raw files to the delivery that is refused.
pub(super) async fn run(
    engine: &Arc<Engine>,
    lake: &str,
    look: Look,
    out: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    say(out, &heading(look, "sql/retail: from raw files to marts"))?;
    load(engine, out).await?;
    let project = project(engine, lake).await?;
    say(out, &format!("\n{}\n", project.graph(&[])?))?;
    if !run_marts(&project, out).await? {
        return Err(ClientError::new(ErrorKind::Internal, "the marts of sql/retail were not made".to_owned()));
    }
    let client = Embedded::new(engine, lake);
    script::run(&client, LOOK.0, LOOK.1, lake, look, out).await?;
    script::run(&client, BAD_DAY.0, BAD_DAY.1, lake, look, out).await?;
    say(
        out,
        "The marts run again. A test refuses the rows of silver.orders: they were written, and nobody sees them.\n\n",
    )?;
    if run_marts(&project, out).await? {
        return Err(ClientError::new(ErrorKind::Internal, "the marts took prices in cents".to_owned()));
    }
    script::run(&client, AUDIT.0, AUDIT.1, lake, look, out).await
}

/// What to type to go on with the example.
pub(super) fn next(boathouse: &str, lake: &str) -> String {
    let quoted = quoted_for_shell(lake);
    let folder = files(lake);
    let settings = quoted_for_shell(&folder.join("boathouse.toml").to_string_lossy());
    let marts = quoted_for_shell(&folder.join("marts").to_string_lossy());
    format!(
        "
The retail example: the day in cents is taken out of the raw rows, and the marts run again and are delivered. Their
definitions are in {marts}:

    {boathouse} sql {quoted} -c \"DELETE FROM bronze.orders WHERE file = 'orders-2026-01-31.csv'\"
    {boathouse} mart run --lake {quoted} --config {settings}
    {boathouse} sql {quoted} -c \"SELECT * FROM silver.orders_quarantine LIMIT 5\"
"
    )
}

/// Refuses a lake whose raw rows are another's.
pub(super) async fn check(engine: &Arc<Engine>, lake: &str) -> Result<(), ClientError> {
    for (table, rows) in raw_tables(0)? {
        folder::check_table(engine, lake, "bronze", table, &rows.schema()).await?;
    }
    Ok(())
}

/// In the order of their statements in `bronze.sql`.
fn raw_tables(loaded_us: i64) -> Result<[(&'static str, RecordBatch); 2], ClientError> {
    let lost = |error: ArrowError| ClientError::new(ErrorKind::Internal, error.to_string());
    Ok([("customers", raw::customers().map_err(lost)?), ("orders", raw::orders(loaded_us).map_err(lost)?)])
}

/// Raw rows, in place of those of an earlier demo.
async fn load(engine: &Arc<Engine>, out: &mut (dyn Write + Send)) -> Result<(), ClientError> {
    let session = engine.session();
    session.execute("CREATE SCHEMA IF NOT EXISTS bronze").await?;
    let loaded_us = Clock::default().now_ms().saturating_mul(1000);
    for (create, (table, rows)) in parser::split(BRONZE).into_iter().zip(raw_tables(loaded_us)?) {
        let count = session.load(create, rows.schema(), stream::iter([Ok(rows)]).boxed()).await?;
        say(out, &format!("{count:>12} rows  bronze.{table}\n"))?;
    }
    Ok(())
}

/// The marts and their destinations, by the files beside the lake, which are written anew.
async fn project(engine: &Arc<Engine>, lake: &str) -> Result<Project, ClientError> {
    let folder = files(lake);
    let marts = folder.join("marts");
    let unwritable = |error: std::io::Error| {
        let text = format!("could not write the retail example to \"{}\": {error}", folder.display());
        ClientError::new(ErrorKind::Unavailable, text)
    };
    fs::create_dir_all(&marts).map_err(unwritable)?;
    for (name, text) in MARTS {
        fs::write(marts.join(name), text).map_err(unwritable)?;
    }
    let settings = folder.join("boathouse.toml");
    fs::write(&settings, settings_of(lake)?).map_err(unwritable)?;
    let refused = |error: crate::config::ConfigError| ClientError::new(ErrorKind::InvalidSql, error.to_string());
    let config = Config::load(Some(&settings), Flags::default()).map_err(refused)?;
    let definitions = boathouse_engine::mart::read_folder(&marts).map_err(marts::faulty)?;
    let destinations = config.destinations.map_err(refused)?;
    let options = MartOptions { destinations, ..MartOptions::default() };
    Project::open(engine, definitions, options).await.map_err(marts::faulty)
}

/// Where definitions and settings are written to, beside the lake.
fn files(lake: &str) -> PathBuf {
    PathBuf::from(format!("{}-files", lake.trim_end_matches('/'))).join("retail")
}

/// The settings with the paths of this lake, which hold wherever they are read from.
fn settings_of(lake: &str) -> Result<String, ClientError> {
    let lost =
        |why: String| ClientError::new(ErrorKind::Unavailable, format!("the folder \"{lake}\" has no path: {why}"));
    let path = std::path::absolute(lake.trim_end_matches('/')).map_err(|error| lost(error.to_string()))?;
    let path = path.to_str().ok_or_else(|| lost("it is not UTF-8".to_owned()))?;
    Ok(SETTINGS.replace(script::LAKE, &escaped(path)))
}

/// As it stands between the quotes of a text in TOML.
fn escaped(text: &str) -> String {
    let each = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        letter if letter.is_control() => format!("\\u{:04X}", u32::from(letter)),
        letter => letter.to_string(),
    });
    each.collect()
}

/// Runs the marts and delivers what they published. False when one of them was not.
async fn run_marts(project: &Project, out: &mut (dyn Write + Send)) -> Result<bool, ClientError> {
    let width = project.names().iter().map(String::len).max().unwrap_or_default();
    let reports = project.run(&[], false, |_| {}).await?;
    for report in &reports {
        say(out, &text::report(report, width))?;
    }
    for report in &project.export_behind(&reports, |_| {}).await? {
        say(out, &text::exported(report, width))?;
    }
    say(out, "\n")?;
    Ok(reports
        .iter()
        .all(|report| matches!(report.outcome, MartOutcome::Succeeded { .. } | MartOutcome::Skipped { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_part_of_the_example() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/retail");
        let names = |folder: &str| {
            let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut all: Vec<String> = all.collect();
            all.sort();
            all
        };
        assert_eq!(names(&format!("{folder}/marts")), MARTS.map(|(name, _)| name));
        assert_eq!(names(folder), ["audit.sql", "bad_day.sql", "boathouse.toml", "bronze.sql", "look.sql", "marts"]);
    }

    #[test]
    fn settings_name_the_folders_of_the_lake_whatever_it_is_called() {
        let settings = settings_of("/tmp/a \"b\"\\c/").unwrap();
        let settings: toml::Table = toml::from_str(&settings).unwrap();
        assert_eq!(settings["marts"].as_str(), Some("/tmp/a \"b\"\\c-files/retail/marts"));
        assert_eq!(settings["destinations"]["warehouse"]["url"].as_str(), Some("/tmp/a \"b\"\\c-files/warehouse"));
    }
}
