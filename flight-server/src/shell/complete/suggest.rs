//! The candidates for a place, in the order in which they are shown.

use boathouse_engine::parser;

use super::{
    argument,
    name::quoted,
    place::Place,
    relation::{Relation, relations_in},
};
use crate::{
    client::{Names, TableNames},
    shell::lex::{Kind, pieces},
};

/// Suggestions shown at once.
pub const SUGGESTIONS_MAX: usize = 200;

/// The schema that names without one belong to.
const SCHEMA_DEFAULT: &str = "main";

/// Suggestions for the part of the text from `start` to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Suggestions {
    pub start: usize,
    pub values: Vec<String>,
}

/// What fits at byte `at` of `text`.
pub fn suggest(names: &Names, text: &str, at: usize) -> Suggestions {
    if text.trim_start().starts_with('\\') {
        return argument::suggest(names, &text[..at]);
    }
    let statement = statement_around(text, at);
    let Some(place) = Place::find(statement, at - offset(text, statement)) else {
        return Suggestions { start: at, values: Vec::new() };
    };
    let start = offset(text, statement) + place.start;
    // Without the unfinished word, whose open quote may hide what follows.
    let rest = format!("{} {}", &text[offset(text, statement)..start], &statement[at - offset(text, statement)..]);
    Suggestions { start, values: candidates(names, &rest, &place).finish(&place) }
}

/// The statement that the cursor is in: between two semicolons.
fn statement_around(text: &str, at: usize) -> &str {
    let ends = || pieces(text).filter(|(kind, _)| *kind == Kind::Semicolon).map(|(_, range)| range);
    let start = ends().take_while(|range| range.end <= at).last().map_or(0, |range| range.end);
    let end = ends().find(|range| range.start >= at).map_or(text.len(), |range| range.start);
    &text[start..end]
}

fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// Suggestions in the order they are shown, without repetition.
#[derive(Default)]
pub struct Candidates {
    pub values: Vec<String>,
}

impl Candidates {
    pub fn add(&mut self, value: impl Into<String>) {
        self.values.push(value.into());
    }

    fn finish(self, place: &Place) -> Vec<String> {
        let prefix = place.prefix.to_lowercase();
        let mut seen = std::collections::HashSet::new();
        let fits = |value: &String| value.trim_start_matches('"').to_lowercase().starts_with(&prefix);
        self.values.into_iter().filter(fits).filter(|value| seen.insert(value.clone())).take(SUGGESTIONS_MAX).collect()
    }
}

fn candidates(names: &Names, statement: &str, place: &Place) -> Candidates {
    let mut found = Candidates::default();
    let relations = relations_in(statement);
    if !place.qualifiers.is_empty() {
        qualified(names, &relations, &place.qualifiers, &mut found);
        return found;
    }
    if place.expects_table() {
        tables(names, &mut found);
        if place.prefix.is_empty() {
            return found;
        }
    } else if matches!(place.before.as_str(), "SET" | "RESET") && place.clause != "UPDATE" {
        names.settings.iter().for_each(|setting| found.add(setting));
    }
    let starts = place.before.is_empty();
    for relation in relations.iter().filter(|_| !starts && !place.expects_table()) {
        for table in find_tables(names, &relation.path) {
            table.columns.iter().for_each(|column| found.add(quoted(column)));
        }
        found.add(quoted(relation.alias.as_ref().unwrap_or(relation.name())));
    }
    if place.prefix.is_empty() {
        return found;
    }
    // Keywords follow the case in which the person types.
    let upper = place.prefix.starts_with(char::is_uppercase);
    let keywords = parser::keywords().iter().map(|word| if upper { (*word).to_owned() } else { word.to_lowercase() });
    if starts {
        keywords.for_each(|word| found.add(word));
    } else {
        names.functions.iter().for_each(|function| found.add(format!("{function}(")));
        keywords.for_each(|word| found.add(word));
        tables(names, &mut found);
    }
    found
}

/// Tables of the default schema by their names, those of others with their schema, then the schemas.
pub fn tables(names: &Names, found: &mut Candidates) {
    let is_own = |table: &&TableNames| table.schema == SCHEMA_DEFAULT;
    names.tables.iter().filter(is_own).for_each(|table| found.add(quoted(&table.name)));
    for table in names.tables.iter().filter(|table| !is_own(table)) {
        found.add(format!("{}.{}", quoted(&table.schema), quoted(&table.name)));
    }
    names.schemas.iter().for_each(|schema| found.add(format!("{}.", quoted(schema))));
}

/// After a dot: the columns of an alias or a table, or the tables of a schema.
fn qualified(names: &Names, relations: &[Relation], qualifiers: &[String], found: &mut Candidates) {
    if let [qualifier] = qualifiers {
        for relation in relations.iter().filter(|relation| relation.is_called(qualifier)) {
            for table in find_tables(names, &relation.path) {
                table.columns.iter().for_each(|column| found.add(quoted(column)));
            }
        }
        let of_schema = names.tables.iter().filter(|table| &table.schema == qualifier);
        of_schema.for_each(|table| found.add(quoted(&table.name)));
    }
    for table in find_tables(names, qualifiers) {
        table.columns.iter().for_each(|column| found.add(quoted(column)));
    }
}

fn find_tables<'a>(names: &'a Names, path: &'a [String]) -> impl Iterator<Item = &'a TableNames> {
    names.tables.iter().filter(move |table| match path {
        [name] => &table.name == name && table.schema == SCHEMA_DEFAULT,
        [schema, name] | [_, schema, name] => &table.name == name && &table.schema == schema,
        _ => false,
    })
}
