//! Names as statements write them and as the engine knows them.

use crate::shell::lex::{is_word, is_word_start};

/// Words that cannot be names without quotes.
const RESERVED: [&str; 24] = [
    "and", "as", "by", "case", "else", "end", "from", "group", "having", "in", "is", "join", "limit", "not", "on",
    "or", "order", "select", "table", "then", "union", "using", "when", "where",
];

/// A name as the engine knows it: lower case unless quoted.
pub fn unquoted(piece: &str) -> String {
    match piece.chars().next() {
        Some(quote @ ('"' | '`')) => {
            let inner = piece.trim_start_matches(quote).trim_end_matches(quote);
            inner.replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        _ => piece.to_lowercase(),
    }
}

/// A name as a statement must write it.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| is_word_start(c) && !c.is_uppercase())
        && name.chars().all(|c| is_word(c) && !c.is_uppercase())
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
