//! `boathouse mart graph`

use std::{collections::BTreeSet, fs, path::PathBuf};

use boathouse_engine::mart::{About, MartRunState};

use super::{
    Selection, error_text, open_to_look,
    page::{Node, Page, svg},
    text::plural,
};

/// The flags of `boathouse mart graph`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Draw it into this file, a page of its own, instead of writing it as text
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Shows what reads what.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let (_, project) = open_to_look(&args.selection.place).await?;
    let Some(file) = &args.html else {
        print!("{}", project.graph(&args.selection.names).map_err(|error| error_text(&error))?);
        return Ok(true);
    };
    let marts = project.about(&args.selection.names).await.map_err(|error| error_text(&error))?;
    fs::write(file, html(&marts)).map_err(|error| format!("ERROR: could not write \"{}\": {error}", file.display()))?;
    println!("{} {} in {}", marts.len(), plural(marts.len() as u64, "mart"), file.display());
    Ok(true)
}

fn html(marts: &[About]) -> String {
    let drawing = svg(&nodes(marts, &|_| None));
    let count = marts.len();
    let body = format!(
        "<h1>Marts</h1>\n<p class=\"soft\">{count} {}; what is read stands to the left of what reads it, tables that are no \
         marts are dashed.</p>\n<div class=\"scroll\">\n{drawing}</div>\n",
        plural(count as u64, "mart")
    );
    Page { title: "Marts", body: &body, script: "" }.html()
}

/// The marts, and the tables besides that they read. `link` is where a mart's node leads.
pub(super) fn nodes(marts: &[About], link: &dyn Fn(&str) -> Option<String>) -> Vec<Node> {
    let known: BTreeSet<&str> = marts.iter().map(|mart| mart.name.as_str()).collect();
    let read: BTreeSet<&str> = marts.iter().flat_map(|mart| mart.reads.iter().map(String::as_str)).collect();
    let sources = read.difference(&known).map(|name| Node {
        name: (*name).to_owned(),
        class: "source".to_owned(),
        title: format!("{name}, a table that is no mart here"),
        link: None,
        reads: Vec::new(),
    });
    let marts = marts.iter().map(|mart| {
        let state = state(mart);
        let late = mart.late.map(|level| format!(" {}", level.word())).unwrap_or_default();
        let about = mart.description.as_deref().map(|text| format!("\n{text}")).unwrap_or_default();
        Node {
            name: mart.name.clone(),
            class: format!("mart {state}{late}"),
            title: format!("{}, {state}{}{about}", mart.name, if late.is_empty() { "" } else { ", late" }),
            link: link(&mart.name),
            reads: mart.reads.clone(),
        }
    });
    sources.chain(marts).collect()
}

/// How the last run went, in a word.
pub(super) fn state(mart: &About) -> &'static str {
    match (&mart.runs.lease, mart.runs.runs.last()) {
        (Some(_), _) => MartRunState::Running.word(),
        (None, Some(run)) => run.state.word(),
        (None, None) => "never run",
    }
}
