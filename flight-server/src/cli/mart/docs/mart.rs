//! The page of one mart.

use std::{collections::BTreeSet, fmt::Write};

use boathouse_engine::mart::{About, MartRun};
use chrono::DateTime;

use super::{
    super::{
        graph::{nodes, state},
        page::{Page, attribute, escaped, svg},
    },
    file_name,
};

/// Runs that are shown.
const RUNS: usize = 20;

/// The page; `marts` are all, for what it reads and what reads it.
pub(super) fn html(mart: &About, marts: &[About]) -> String {
    let mut body = format!("<p><a href=\"../index.html\">Marts</a></p>\n<h1>{}</h1>\n", escaped(&mart.name));
    if let Some(description) = &mart.description {
        let _ = writeln!(body, "<p>{}</p>", escaped(description));
    }
    body.push_str(&facts(mart));
    body.push_str(&lineage(mart, marts));
    body.push_str(&columns(mart));
    body.push_str(&tests(mart));
    body.push_str(&runs(mart));
    let _ = writeln!(body, "<h2>SQL</h2>\n<pre><code>{}</code></pre>", escaped(&mart.sql));
    Page { title: &mart.name, body: &body, script: "" }.html()
}

/// `2026-01-31 06:15:00 UTC`
pub(super) fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map(|time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
}

/// HTML.
pub(super) fn tags(tags: &[String]) -> String {
    tags.iter().map(|tag| format!("<span class=\"tag\">{}</span>", escaped(tag))).collect()
}

/// What the definition promises, and whether that is kept; HTML.
pub(super) fn freshness(mart: &About) -> String {
    match (&mart.freshness, mart.late) {
        (None, _) => String::new(),
        (Some(promise), None) => format!("<span class=\"passed\">in time</span> ({})", escaped(promise)),
        (Some(promise), Some(late)) => format!("<span class=\"{}\">late</span> ({})", late.word(), escaped(promise)),
    }
}

fn facts(mart: &About) -> String {
    let state = state(mart);
    let mut html = String::from("<dl>\n");
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(html, "<dt>{name}</dt><dd>{value}</dd>");
        }
    };
    let plain = |text: &Option<String>| text.as_deref().map(escaped).unwrap_or_default();
    fact("State", format!("<span{}>{state}</span>", attribute("class", state)));
    if let Some(run) = mart.runs.published() {
        let version = run.version.map(|version| format!(", version {version}")).unwrap_or_default();
        fact("Published", format!("{}, {} rows{version}", time(run.ended_ms), run.rows));
    }
    fact("Freshness", freshness(mart));
    fact("Owner", plain(&mart.owner));
    fact("Tags", tags(&mart.tags));
    fact("Strategy", mart.strategy.to_owned());
    fact("Key", escaped(&mart.key.join(", ")));
    fact("Partitions", escaped(&mart.partition_by.join(", ")));
    fact("Intervals", plain(&mart.interval));
    fact("Runs", plain(&mart.refresh));
    fact("Defined by", escaped(&mart.file));
    html + "</dl>\n"
}

/// All that it is made of, and all that is made of it.
fn lineage(mart: &About, marts: &[About]) -> String {
    let reads = |name: &str| marts.iter().find(|other| other.name == name).map_or(&[][..], |other| &other.reads[..]);
    let mut shown: BTreeSet<&str> = [mart.name.as_str()].into();
    let mut left: Vec<&str> = vec![&mart.name];
    while let Some(name) = left.pop() {
        left.extend(reads(name).iter().map(String::as_str).filter(|read| shown.insert(*read)));
    }
    let mut left: Vec<&str> = vec![&mart.name];
    while let Some(name) = left.pop() {
        let readers = marts.iter().filter(|other| other.reads.iter().any(|read| read == name));
        left.extend(readers.map(|other| other.name.as_str()).filter(|reader| shown.insert(*reader)));
    }
    let mut nodes = nodes(marts, &|name| Some(file_name(name)));
    nodes.retain(|node| shown.contains(node.name.as_str()));
    for node in nodes.iter_mut().filter(|node| node.name == mart.name) {
        node.class.push_str(" this");
    }
    format!("<h2>Lineage</h2>\n<div class=\"scroll\">\n{}</div>\n", svg(&nodes))
}

fn columns(mart: &About) -> String {
    let mut html = String::from(
        "<h2>Columns</h2>\n<table>\n<tr><th>Column</th><th>Type</th><th>Description</th><th>Owner</th></tr>\n",
    );
    for column in &mart.columns {
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        let (name, data_type) = (escaped(&column.name), escaped(&column.data_type));
        let description = escaped(column.description.as_deref().unwrap_or_default());
        let owner = escaped(column.owner.as_deref().or(mart.owner.as_deref()).unwrap_or_default());
        let tags = tags(&column.tags);
        let _ = writeln!(
            html,
            "<tr><td>{name}</td><td>{data_type}{not_null}</td><td>{description}{tags}</td><td>{owner}</td></tr>"
        );
    }
    html + "</table>\n"
}

/// The tests of the definition, and what the last run that came so far found.
fn tests(mart: &About) -> String {
    if mart.tests.is_empty() {
        return String::new();
    }
    let mut html =
        String::from("<h2>Tests</h2>\n<table>\n<tr><th>Test</th><th>On violation</th><th>Last result</th></tr>\n");
    for test in &mart.tests {
        let tested = mart.runs.runs.iter().rev();
        let mut found = tested.flat_map(|run| run.tests.iter().map(move |found| (run, found)));
        let found = found.find(|(_, found)| found.name == test.name).map(|(run, found)| {
            let state = found.state.word();
            let count = if found.violations > 0 { format!(", {} found", found.violations) } else { String::new() };
            let samples = found.samples.iter().map(|sample| format!("<br>{}", escaped(sample))).collect::<String>();
            format!("<span class=\"{state}\">{state}</span>{count}, {}{samples}", time(run.ended_ms))
        });
        let (name, found) = (escaped(&test.name), found.unwrap_or_default());
        let _ = writeln!(html, "<tr><td>{name}</td><td>{}</td><td>{found}</td></tr>", test.on_violation);
    }
    html + "</table>\n"
}

fn runs(mart: &About) -> String {
    if mart.runs.runs.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h2>Last runs</h2>\n<table>\n<tr><th>Began</th><th>State</th><th>Why</th><th>Took</th><th>Rows</th><th>Version</th>\
         <th>Read</th></tr>\n",
    );
    for run in mart.runs.runs.iter().rev().take(RUNS) {
        html.push_str(&row(run));
    }
    html + "</table>\n"
}

fn row(run: &MartRun) -> String {
    let (state, began, why) = (run.state.word(), time(run.started_ms), run.cause.word());
    let took = (run.ended_ms - run.started_ms) as f64 / 1000.0;
    let (rows, version) = match run.version {
        Some(version) => (run.rows.to_string(), version.to_string()),
        None => (String::new(), String::new()),
    };
    let read = run.inputs.iter().map(|input| format!("{}@v{}", input.table, input.version)).collect::<Vec<_>>();
    let error = run.error.as_deref().map(|error| format!("<br>{}", escaped(error))).unwrap_or_default();
    format!(
        "<tr><td>{began}</td><td><span class=\"{state}\">{state}</span>{error}</td><td>{why}</td><td>{took:.1} s</td>\
         <td>{rows}</td><td>{version}</td><td>{}</td></tr>\n",
        escaped(&read.join(", "))
    )
}
