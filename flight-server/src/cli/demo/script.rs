//! The demo's scripts, and how a statement, its result and its time are shown.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use boathouse_engine::parser;
use futures::StreamExt;
use nu_ansi_term::Color;

use super::{heading, say, unwritable};
use crate::{
    client::{Answer, Client, ClientError},
    shell::output::{Format, Look},
};

/// Name and text of each script of `sql/demo`, in the order of their numbers.
pub const SCRIPTS: [(&str, &str); 8] = [
    ("sql/demo/01_look.sql", include_str!("../../../../sql/demo/01_look.sql")),
    ("sql/demo/02_query.sql", include_str!("../../../../sql/demo/02_query.sql")),
    ("sql/demo/03_prune.sql", include_str!("../../../../sql/demo/03_prune.sql")),
    ("sql/demo/04_view.sql", include_str!("../../../../sql/demo/04_view.sql")),
    ("sql/demo/05_write.sql", include_str!("../../../../sql/demo/05_write.sql")),
    ("sql/demo/06_change.sql", include_str!("../../../../sql/demo/06_change.sql")),
    ("sql/demo/07_files.sql", include_str!("../../../../sql/demo/07_files.sql")),
    ("sql/demo/08_tpch.sql", include_str!("../../../../sql/demo/08_tpch.sql")),
];

/// The lake as the scripts name it, so that they also run in a shell.
pub(super) const LAKE: &str = "./boathouse-demo";

/// A table with more columns does not fit on a screen: its values go under each other.
const COLUMNS_MAX: usize = 8;

/// Runs a script and stops at the first error, which then names the script.
pub async fn run(
    client: &dyn Client,
    name: &str,
    text: &str,
    lake: &str,
    look: Look,
    out: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    say(out, &heading(look, name))?;
    let folder = lake.trim_end_matches('/').replace('\'', "''");
    for sql in parser::split(&text.replace(LAKE, &folder)) {
        let sql = sql.trim();
        say(out, &format!("{}\n\n", painted(sql, look)))?;
        let started = Instant::now();
        let answer = show(client, sql, look, out).await;
        answer.map_err(|error| ClientError::new(error.kind, format!("{name}: {}", error.text)))?;
        say(out, &format!("Time: {}\n\n", time(started.elapsed())))?;
    }
    Ok(())
}

async fn show(client: &dyn Client, sql: &str, look: Look, out: &mut (dyn Write + Send)) -> Result<(), ClientError> {
    match client.run(sql).await? {
        Answer::Rows(mut rows) => {
            let format = if rows.schema().fields().len() > COLUMNS_MAX { Format::Line } else { Format::Table };
            let mut printer = format.printer(rows.schema(), look).map_err(unwritable)?;
            while let Some(batch) = rows.next().await {
                printer.batch(&batch?, &mut *out).map_err(unwritable)?;
            }
            printer.end(&mut *out).map_err(unwritable)
        }
        Answer::Changed { rows, .. } => say(out, &format!("{rows} row{}\n", if rows == 1 { "" } else { "s" })),
        Answer::Done(tag) => say(out, &format!("{tag}\n")),
    }
}

/// A statement as it stands in the script, its comments dimmed.
fn painted(sql: &str, look: Look) -> String {
    if !look.colors {
        return format!("{sql};");
    }
    let paint = |line: &str| match line.starts_with("--") {
        true => Color::DarkGray.paint(line).to_string(),
        false => Color::Cyan.paint(line).to_string(),
    };
    format!("{};", sql.lines().map(paint).collect::<Vec<_>>().join("\n"))
}

fn time(elapsed: Duration) -> String {
    let millis = elapsed.as_secs_f64() * 1_000.0;
    if millis < 1_000.0 { format!("{millis:.1} ms") } else { format!("{:.2} s", millis / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_folder_is_run_in_the_order_of_its_number() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/demo");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("sql/demo/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect();
        files.sort();
        assert_eq!(files, SCRIPTS.map(|(name, _)| name));
    }
}
