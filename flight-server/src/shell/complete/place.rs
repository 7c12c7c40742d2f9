//! Where the cursor is in a statement.

use super::{name::unquoted, relation::CLAUSE_WORDS};
use crate::shell::lex::{Kind, Lexer, pieces};

/// Words after which a table is named.
const TABLE_WORDS: [&str; 7] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "VIEW"];

/// Where the cursor is in a statement.
#[derive(Debug)]
pub struct Place {
    /// Where the word to complete starts.
    pub start: usize,
    pub prefix: String,
    /// `a.b.` before it.
    pub qualifiers: Vec<String>,
    /// The last keyword-like word or symbol before the name.
    pub before: String,
    /// The clause: the last of the words that start one.
    pub clause: String,
}

impl Place {
    /// `None` inside a string, a comment or a number, where nothing can be completed.
    pub fn find(statement: &str, at: usize) -> Option<Self> {
        let mut place = Self {
            start: at,
            prefix: String::new(),
            qualifiers: Vec::new(),
            before: String::new(),
            clause: String::new(),
        };
        let mut dot = false;
        let mut name = None;
        for (kind, range) in pieces(statement) {
            if range.start >= at {
                break;
            }
            let piece = &statement[range.clone()];
            if range.end >= at && !matches!(kind, Kind::Blank | Kind::Symbol) {
                match kind {
                    Kind::Word => {}
                    // A closed quote ends its name; an open one is being typed.
                    Kind::QuotedName if range.end > at || !is_closed(piece) => {}
                    _ => return None,
                }
                place.start = range.start;
                place.prefix = statement[range.start..at].trim_start_matches(['"', '`']).to_owned();
                break;
            }
            match kind {
                Kind::Blank | Kind::Comment => {}
                Kind::Symbol if piece == "." => {
                    place.qualifiers.extend(name.take());
                    dot = true;
                }
                Kind::Word | Kind::QuotedName => {
                    if !std::mem::take(&mut dot) {
                        place.qualifiers.clear();
                        let upper = piece.to_uppercase();
                        if CLAUSE_WORDS.contains(&upper.as_str()) {
                            place.clause = upper;
                        }
                    }
                    place.before_name(name.take());
                    name = Some(unquoted(piece));
                }
                _ => {
                    dot = false;
                    place.qualifiers.clear();
                    name = None;
                    place.before = piece.to_owned();
                }
            }
        }
        if !dot {
            place.qualifiers.clear();
            place.before_name(name.take());
        }
        Some(place)
    }

    fn before_name(&mut self, name: Option<String>) {
        if let Some(name) = name {
            self.before = name.to_uppercase();
        }
    }

    pub fn expects_table(&self) -> bool {
        TABLE_WORDS.contains(&self.before.as_str()) || (self.before == "," && self.clause == "FROM")
    }
}

fn is_closed(quoted: &str) -> bool {
    let mut lexer = Lexer::default();
    lexer.next(quoted);
    lexer.is_closed()
}
