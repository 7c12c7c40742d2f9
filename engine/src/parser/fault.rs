//! The parser's complaints in our words, with their place.

use datafusion::{
    error::DataFusionError,
    sql::sqlparser::{
        parser::ParserError,
        tokenizer::{Span, Token, TokenWithSpan, TokenizerError},
    },
};

use super::{keywords, limit, refuse::older_version};
use crate::{
    EngineError,
    error::{Place, convert, did_you_mean, token_place},
};

pub(super) fn from_tokenizer(error: &TokenizerError, sql: &str) -> EngineError {
    let text = lowercase_first(error.message.trim_end_matches('.'));
    EngineError::invalid(format!("syntax error: {text}"))
        .at(sql, Place::point(error.location.line, error.location.column))
}

/// sqlparser keeps the place of a fault only in its text: `... at Line: 1, Column: 5`.
pub(super) fn from_parser(error: ParserError, sql: &str, tokens: &[TokenWithSpan]) -> EngineError {
    let text = match error {
        ParserError::RecursionLimitExceeded => return limit::too_deep(),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (text, location) = split_location(&text);
    let (message, found) = reword(text);
    let place = location.and_then(|(line, column)| match (line, column) {
        (0, 0) => end_of(sql),
        _ => token_place(tokens, line, column),
    });
    let mut error = EngineError::invalid(message).at(sql, place.or_else(|| end_of(sql)));
    error.hint = found.and_then(|found| hint(&found));
    error
}

pub(super) fn from_datafusion(error: DataFusionError, sql: &str, tokens: &[TokenWithSpan]) -> EngineError {
    match error {
        DataFusionError::SQL(error, _) => from_parser(*error, sql, tokens),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let place = diagnostic.span.and_then(Place::of_span);
            from_datafusion(*inner, sql, tokens).at(sql, place)
        }
        other => convert(other, Some(sql)),
    }
}

pub(super) fn expected(expected: &str, found: &TokenWithSpan, sql: &str) -> EngineError {
    let text = match &found.token {
        Token::EOF => "the end of the text".to_owned(),
        token => format!("\"{token}\""),
    };
    let error = EngineError::invalid(format!("syntax error: expected {expected}, found {text}"));
    at_token(error, found, sql)
}

pub(super) fn at_token(error: EngineError, token: &TokenWithSpan, sql: &str) -> EngineError {
    error.at(sql, Place::of_token_span(token.span).or_else(|| end_of(sql)))
}

/// `text at Line: 1, Column: 5` -> `text`, (1, 5).
fn split_location(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some((before, location)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let numbers = location.split_once(", Column: ").and_then(|(line, column)| {
        let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, digits.parse().ok()?))
    });
    (before, numbers)
}

/// `Expected: x, found: y` -> our sentence and the token found.
fn reword(text: &str) -> (String, Option<String>) {
    let Some((expected, found)) =
        text.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ").or(rest.split_once(" found: ")))
    else {
        return (format!("syntax error: {}", lowercase_first(text.trim_end_matches('.'))), None);
    };
    let found_text = if found == "EOF" { "the end of the text".to_owned() } else { format!("\"{found}\"") };
    (format!("syntax error: expected {expected}, found {found_text}"), Some(found.to_owned()))
}

fn hint(found: &str) -> Option<String> {
    let upper = found.to_uppercase();
    if found == "EOF" || keywords().contains(&upper.as_str()) || !upper.chars().all(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    did_you_mean(&upper, keywords().iter().copied())
}

/// A version where no table is named, if there is one: the parser only stumbles over it.
pub(super) fn time_travel(sql: &str, tokens: &[TokenWithSpan]) -> Option<EngineError> {
    let words: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let is = |token: &TokenWithSpan, names: &[&str]| match &token.token {
        Token::Word(word) => {
            word.quote_style.is_none() && names.iter().any(|name| word.value.eq_ignore_ascii_case(name))
        }
        _ => false,
    };
    let found = words.windows(3).position(|w| {
        is(w[0], &["VERSION", "TIMESTAMP", "SYSTEM_TIME", "SYSTEM_VERSION"]) && is(w[1], &["AS"]) && is(w[2], &["OF"])
    })?;
    // These grammars know versions: they stumbled over something else.
    let own = is(words[0], &["RESTORE", "DESCRIBE", "DESC", "SHOW", "COPY"])
        || is(words[0], &["CREATE"]) && words[..found].iter().any(|word| is(word, &["CLONE"]));
    if own && !words.iter().any(|word| is(word, &["SELECT"])) {
        return None;
    }
    let mut before = words[..found].iter().rev().copied().peekable();
    let _ = before.next_if(|word| is(word, &["FOR"]));
    let name = before.next();
    while before.next_if(|word| word.token == Token::Period).is_some() {
        before.next();
    }
    let _ = before.next_if(|word| is(word, &["TABLE"]));
    let changes = ["INTO", "OVERWRITE", "UPDATE", "TRUNCATE", "VACUUM", "OPTIMIZE", "ALTER", "DROP"];
    match name {
        Some(name) if before.next().is_some_and(|word| is(word, &changes)) => {
            Some(older_version().at(sql, Place::of_token_span(name.span)))
        }
        _ => Some(misplaced_version(words[found].span, sql)),
    }
}

pub(super) fn misplaced_version(span: Span, sql: &str) -> EngineError {
    EngineError::invalid("VERSION AS OF stands right behind the name of a table that is read, before its alias")
        .with_hint("Write FROM t VERSION AS OF 3 AS x, or FROM t TIMESTAMP AS OF '2026-01-31 12:00' AS x.")
        .at(sql, Place::of_token_span(span).or_else(|| end_of(sql)))
}

/// Just after the last character that is not blank.
fn end_of(sql: &str) -> Option<Place> {
    let text = sql.trim_end();
    let line = text.lines().count();
    let last = text.lines().last()?;
    Place::point(line as u64, last.chars().count() as u64 + 1)
}

fn lowercase_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
