//! Finds in the statement what an error's message quotes: a name, a literal, an expression as the library writes it.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Span, Token, Tokenizer},
};

use crate::error::Place;

/// Where the first thing quoted that the text holds stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    One(Place),
    /// It stands there several times; this is the most likely one.
    Many(Place),
}

/// A token without what differs between a statement and the library's words for it.
#[derive(Debug, Clone)]
struct Piece {
    text: String,
    span: Span,
}

/// The place of the first quotation that stands once in `sql`, else of the first that stands there at all.
pub(super) fn find(message: &str, sql: &str) -> Option<Found> {
    let text = pieces(sql);
    let mut many = None;
    for quoted in quotations(message) {
        let places = places(&quoted, &text);
        match places.as_slice() {
            [] => {}
            [only] => return Some(Found::One(*only)),
            [first, second, ..] => {
                many.get_or_insert(if names_again(message) { *second } else { *first });
            }
        }
    }
    many.map(Found::Many)
}

/// Of two mentions of a name that may stand once, the second is the fault.
fn names_again(message: &str) -> bool {
    ["twice", "two columns", "same name", "more than once", "duplicate", "not unique"]
        .iter()
        .any(|words| message.contains(words))
}

/// What stands in quotes or where a name always stands: `"t"`, `'a + b'`, `round` of `function round(Utf8)`, `specified: 3`.
fn quotations(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = &rest[start..start + 1];
        let Some(length) = rest[start + 1..].find(quote) else { break };
        found.push(rest[start + 1..start + 1 + length].to_owned());
        rest = &rest[start + 2 + length..];
    }
    if let Some((_, call)) = message.split_once("function ")
        && let Some((name, _)) = call.split_once('(')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    {
        found.push(name.to_owned());
    }
    for words in ["with position ", "specified: ", "unsupported SQL type ", "the window "] {
        let Some((_, name)) = message.split_once(words) else { continue };
        let end = if words.ends_with("type ") { name.len() } else { name.find([' ', ',']).unwrap_or(name.len()) };
        found.push(name[..end].to_owned());
    }
    found.retain(|quoted| !quoted.is_empty());
    found
}

/// The clause that a message speaks of, or the function that it names without quotes: better than no place.
pub(super) fn clause(message: &str, sql: &str) -> Option<Place> {
    const CLAUSES: [(&str, &str); 14] = [
        ("HAVING", "having"),
        ("WHERE clause", "where"),
        ("join condition", "on"),
        ("LIMIT", "limit"),
        ("OFFSET", "offset"),
        ("BETWEEN", "between"),
        ("window", "over"),
        ("Window", "over"),
        ("SELECT DISTINCT", "distinct"),
        ("ORDER BY", "order"),
        ("GROUP BY", "group"),
        ("UNION", "union"),
        ("INTERSECT", "intersect"),
        ("values list", "values"),
    ];
    let text = pieces(sql);
    let words: Vec<&str> = message.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let calls = text.windows(2).filter(|pair| pair[1].text == "(" && words.contains(&pair[0].text.as_str()));
    let call = calls.map(|pair| pair[0].span).next();
    let spoken = CLAUSES.iter().filter(|(words, _)| message.contains(words));
    let clause = || spoken.filter_map(|(_, word)| text.iter().find(|piece| piece.text == *word)).map(|p| p.span).next();
    // `parameter $2 is missing`: where a later one stands.
    let parameter = || {
        let number = |text: &str| text.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let missing = message.strip_prefix("parameter ").and_then(|rest| number(rest.split(' ').next()?))?;
        text.iter().find(|piece| number(&piece.text).is_some_and(|n| n > missing)).map(|piece| piece.span)
    };
    call.or_else(clause).or_else(parameter).and_then(Place::of_token_span)
}

fn places(quoted: &str, text: &[Piece]) -> Vec<Place> {
    let wanted = pieces(quoted);
    let whole = text.iter().filter(|piece| piece.text == quoted);
    let mut spans: Vec<Span> = whole.map(|piece| piece.span).collect();
    if spans.is_empty() && !wanted.is_empty() {
        let same = |window: &&[Piece]| window.iter().zip(&wanted).all(|(a, b)| a.text == b.text);
        let spans_of = |window: &[Piece]| window.iter().fold(Span::empty(), |all, piece| all.union(&piece.span));
        spans = text.windows(wanted.len()).filter(same).map(spans_of).collect();
    }
    spans.into_iter().filter_map(Place::of_token_span).collect()
}

/// Tokens without blanks; `t.a` is `a`, and `Int64(1)` is `1`, as the library writes a literal.
fn pieces(text: &str) -> Vec<Piece> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location() else { return Vec::new() };
    let mut pieces: Vec<Piece> = Vec::new();
    for token in tokens {
        let text = match token.token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::Word(word) if word.quote_style.is_some() => word.value,
            Token::Word(word) => word.value.to_lowercase(),
            Token::SingleQuotedString(text) => text,
            other => other.to_string(),
        };
        let mut span = token.span;
        // Only a name has a qualifier; `2.5` is one token.
        if let [.., qualifier, dot] = pieces.as_slice()
            && dot.text == "."
            && text != "*"
        {
            span = qualifier.span.union(&span);
            pieces.truncate(pieces.len() - 2);
        }
        pieces.push(Piece { text, span });
        if let [.., kind, open, value, close] = pieces.as_slice()
            && open.text == "("
            && close.text == ")"
            && is_literal_type(&kind.text)
        {
            let value = value.clone();
            pieces.truncate(pieces.len() - 4);
            pieces.push(value);
        }
    }
    pieces
}

fn is_literal_type(word: &str) -> bool {
    const TYPES: [&str; 16] = [
        "boolean",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "utf8",
        "largeutf8",
        "utf8view",
        "date32",
        "binary",
    ];
    TYPES.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(message: &str, sql: &str) -> Option<(bool, usize, usize)> {
        Some(match find(message, sql)? {
            Found::One(place) => (true, place.column, place.column_end),
            Found::Many(place) => (false, place.column, place.column_end),
        })
    }

    #[test]
    fn names_literals_and_expressions_are_found_as_the_library_writes_them() {
        assert_eq!(at("no \"b\" here", "SELECT a, B FROM t"), Some((true, 11, 12)));
        assert_eq!(at("table \"main.t\" is bad", "SELECT a FROM t"), Some((true, 15, 16)));
        assert_eq!(at("bad 't.a + Int64(1)'", "SELECT a+1 FROM t"), Some((true, 8, 11)));
        assert_eq!(at("bad 'x.csv'", "COPY t FROM 'x.csv'"), Some((true, 13, 20)));
        assert_eq!(at("there is no function round(Utf8)", "SELECT round('a')"), Some((true, 8, 13)));
        assert_eq!(at("nothing of it", "SELECT 1"), None);
    }

    #[test]
    fn of_several_mentions_the_first_counts_unless_the_name_may_stand_once() {
        assert_eq!(at("bad \"a\"", "SELECT a, a"), Some((false, 8, 9)));
        assert_eq!(at("column \"a\" is named twice", "SELECT a, a, a"), Some((false, 11, 12)));
    }
}
