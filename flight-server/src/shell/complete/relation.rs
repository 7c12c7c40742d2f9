//! The tables that a statement names.

use super::name::unquoted;
use crate::shell::lex::{Kind, pieces};

/// Words that start a clause, so that a comma is known to separate tables or expressions.
pub const CLAUSE_WORDS: [&str; 12] =
    ["SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "SET", "VALUES", "ON", "USING", "INTO", "UPDATE"];

/// A table that a statement names.
#[derive(Debug, PartialEq, Eq)]
pub struct Relation {
    pub path: Vec<String>,
    pub alias: Option<String>,
}

impl Relation {
    pub fn name(&self) -> &String {
        // A path has at least one part.
        &self.path[self.path.len() - 1]
    }

    pub fn is_called(&self, name: &str) -> bool {
        self.alias.as_deref() == Some(name) || (self.alias.is_none() && self.name() == name)
    }
}

/// The tables after FROM, JOIN, INTO and UPDATE, wherever they stand.
pub fn relations_in(statement: &str) -> Vec<Relation> {
    let words: Vec<(Kind, &str)> = pieces(statement)
        .filter(|(kind, _)| !matches!(kind, Kind::Blank | Kind::Comment))
        .map(|(kind, range)| (kind, &statement[range]))
        .collect();
    let is_name = |at: usize| words.get(at).is_some_and(|(kind, _)| matches!(kind, Kind::Word | Kind::QuotedName));
    let is = |at: usize, text: &str| words.get(at).is_some_and(|(_, word)| word.eq_ignore_ascii_case(text));
    let mut relations = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let starts = ["FROM", "JOIN", "INTO", "UPDATE"].iter().any(|word| is(at, word));
        at += 1;
        while starts && is_name(at) {
            let mut path = vec![unquoted(words[at].1)];
            at += 1;
            while is(at, ".") && is_name(at + 1) {
                path.push(unquoted(words[at + 1].1));
                at += 2;
            }
            at += usize::from(is(at, "AS"));
            let mut alias = None;
            if is_name(at) && !is_clause_word(words[at].1) {
                alias = Some(unquoted(words[at].1));
                at += 1;
            }
            relations.push(Relation { path, alias });
            if !is(at, ",") {
                break;
            }
            at += 1;
        }
    }
    relations
}

/// Words that follow a table and are not its alias.
fn is_clause_word(word: &str) -> bool {
    let word = word.to_uppercase();
    CLAUSE_WORDS.contains(&word.as_str())
        || matches!(
            word.as_str(),
            "JOIN" | "INNER" | "LEFT" | "RIGHT" | "FULL" | "CROSS" | "NATURAL" | "LIMIT" | "UNION" | "EXCEPT"
        )
        || matches!(word.as_str(), "INTERSECT" | "OFFSET" | "QUALIFY" | "WINDOW" | "LATERAL" | "AS")
}
