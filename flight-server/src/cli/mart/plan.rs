//! `boathouse mart plan`

use boathouse_engine::mart::{Change, Planned};

use super::{Selection, error_text, open, text::plural};

/// Shows what a run would do.
pub(super) async fn run(selection: &Selection) -> Result<bool, String> {
    let (_, project) = open(&selection.place).await?;
    let planned = project.plan(&selection.names).await.map_err(|error| error_text(&error))?;
    let width = planned.iter().map(|planned| planned.mart.chars().count()).max().unwrap_or_default();
    for planned in &planned {
        let (what, why) = said(&planned.change);
        let mart = &planned.mart;
        println!("{mart:width$}  {what:<10}  {}{why}", planned.strategy);
        println!("{:width$}  reads {}", "", or_nothing(&planned.reads));
        let columns: Vec<String> = planned.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        println!("{:width$}  makes {}{}", "", columns.join(", "), tests(planned));
        for (to, target, mode) in &planned.exports {
            println!("{:width$}  exports to {to}: {target}, {mode}", "");
        }
        if let (Some(first), Some(last)) = (planned.intervals.first(), planned.intervals.last()) {
            let count = planned.intervals.len() as u64;
            println!("{:width$}  runs {count} {}, from {first} to {last}", "", plural(count, "interval"));
        }
    }
    let count = planned.iter().filter(|planned| planned.change != Change::UpToDate).count();
    println!("{count} of {} {} would run", planned.len(), plural(planned.len() as u64, "mart"));
    Ok(true)
}

fn tests(planned: &Planned) -> String {
    match planned.tests as u64 {
        0 => String::new(),
        count => format!("; {count} {}", plural(count, "test")),
    }
}

fn or_nothing(reads: &[String]) -> String {
    if reads.is_empty() { "nothing".to_owned() } else { reads.join(", ") }
}

/// What the mart is, and why.
fn said(change: &Change) -> (&'static str, String) {
    let version = |version: &Option<u64>| version.map_or_else(|| "none".to_owned(), |version| format!("v{version}"));
    match change {
        Change::New => ("new", String::new()),
        Change::Definition => ("changed", "  its definition is another one".to_owned()),
        Change::Inputs(inputs) => {
            let each = inputs.iter().map(|(table, from, to)| format!("{table} {} -> {}", version(from), version(to)));
            let each: Vec<String> = each.collect();
            ("stale", if each.is_empty() { String::new() } else { format!("  {}", each.join(", ")) })
        }
        Change::Upstream(marts) => ("stale", format!("  runs behind {}", marts.join(", "))),
        Change::Time => ("stale", "  intervals are over".to_owned()),
        Change::Rows => ("changed", "  another writer changed the rows of its table".to_owned()),
        Change::Always => ("always", "  its rows depend on more than the versions of tables".to_owned()),
        Change::UpToDate => ("up to date", String::new()),
    }
}
