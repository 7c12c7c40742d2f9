//! Completion of backslash commands and their arguments.

use std::{fs, path::Path};

use super::suggest::{Candidates, SUGGESTIONS_MAX, Suggestions, tables};
use crate::{
    client::Names,
    shell::{command, output::Format},
};

/// `\` and what follows: the command's name, or its argument.
pub fn suggest(names: &Names, line: &str) -> Suggestions {
    let start_of_word = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let word = &line[start_of_word..];
    if let Some(name) = word.strip_prefix('\\') {
        let values = command::names().filter(|(known, _)| known.starts_with(name)).map(|(name, _)| format!("\\{name}"));
        return Suggestions { start: start_of_word, values: values.collect() };
    }
    let command = line.split_whitespace().next().unwrap_or_default();
    let mut found = Candidates::default();
    match command {
        "\\d" => tables(names, &mut found),
        "\\format" => Format::ALL.iter().for_each(|format| found.add(format.name())),
        "\\timing" | "\\x" | "\\pager" => ["on", "off"].iter().for_each(|value| found.add(*value)),
        "\\i" | "\\o" => return Suggestions { start: start_of_word, values: paths(word) },
        _ => {}
    }
    let values = found.values.into_iter().filter(|value| value.starts_with(word)).take(SUGGESTIONS_MAX).collect();
    Suggestions { start: start_of_word, values }
}

/// Files and folders whose path starts with `word`.
fn paths(word: &str) -> Vec<String> {
    let (folder, name) = word.rsplit_once('/').map_or(("", word), |(folder, name)| (&word[..=folder.len()], name));
    let entries = fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let mut values: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let is_folder = entry.file_type().ok()?.is_dir();
            let entry = entry.file_name().into_string().ok()?;
            let shown = entry.starts_with(name) && (name.starts_with('.') || !entry.starts_with('.'));
            shown.then(|| format!("{folder}{entry}{}", if is_folder { "/" } else { "" }))
        })
        .take(SUGGESTIONS_MAX)
        .collect();
    values.sort();
    values
}
