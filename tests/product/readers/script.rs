//! Scripts of statements, and what stands over each in comments.

use std::{collections::BTreeMap, path::Path};

use boathouse_engine::parser;

/// A statement and what is asked after it.
#[derive(Debug, Default)]
pub struct Step {
    pub sql: String,
    /// Each with its table.
    pub queries: Vec<(String, String)>,
    /// What a library says from then on instead of reading a table: by library and table.
    pub refusals: BTreeMap<(String, String), String>,
}

/// The scripts of `sql/`, by name.
pub fn scripts() -> Vec<(String, Vec<Step>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("product/readers/sql");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |file: std::path::PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        (name, parser::split(&text).into_iter().map(step).collect())
    };
    let mut scripts: Vec<_> = files.map(read).collect();
    scripts.sort_by(|(a, _), (b, _)| a.cmp(b));
    scripts
}

fn step(text: &str) -> Step {
    let mut step = Step::default();
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("-- ") else {
            step.sql.push_str(line);
            step.sql.push('\n');
            continue;
        };
        if let Some((table, query)) = comment.strip_prefix("ask ").and_then(|asked| asked.split_once(": ")) {
            step.queries.push((table.to_owned(), query.to_owned()));
        } else if let Some((who, error)) = comment.split_once(": ")
            && let Some((library, table)) = who.split_once(" cannot read ")
        {
            step.refusals.insert((library.to_owned(), table.to_owned()), error.to_owned());
        }
    }
    step.sql = step.sql.trim().to_owned();
    step
}
