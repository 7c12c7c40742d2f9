//! The demo's marts, which are those of `sql/marts`.

use std::{io::Write, sync::Arc};

use boathouse_engine::{Definition, Engine, ErrorKind, MartOptions, Project, mart::Fault};

use super::{heading, say};
use crate::{cli::mart::text, client::ClientError, shell::output::Look};

/// Name and text of each definition.
const MARTS: [(&str, &str); 3] = [
    ("sql/marts/marts.growth.sql", include_str!("../../../../sql/marts/marts.growth.sql")),
    ("sql/marts/marts.late_lines.sql", include_str!("../../../../sql/marts/marts.late_lines.sql")),
    ("sql/marts/marts.nations.sql", include_str!("../../../../sql/marts/marts.nations.sql")),
];

/// Builds and tests them, and shows what reads what.
pub(super) async fn run(engine: &Arc<Engine>, look: Look, out: &mut (dyn Write + Send)) -> Result<(), ClientError> {
    say(out, &heading(look, "sql/marts"))?;
    let definitions = MARTS.iter().map(|(file, text)| Definition::parse(file, text));
    let definitions = definitions.collect::<Result<Vec<_>, _>>().map_err(|fault| faulty(vec![fault]))?;
    let project = Project::open(engine, definitions, MartOptions::default()).await.map_err(faulty)?;
    say(out, &format!("{}\n", project.graph(&[])?))?;
    let width = project.names().iter().map(String::len).max().unwrap_or_default();
    let reports = project.run(&[], false, |_| {}).await?;
    for report in &reports {
        say(out, &text::report(report, width))?;
    }
    Ok(())
}

/// Definitions that cannot be run.
pub(super) fn faulty(faults: Vec<Fault>) -> ClientError {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    ClientError::new(ErrorKind::InvalidSql, texts.join("\n"))
}
