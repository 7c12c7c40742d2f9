//! Small steps that our own grammars share: words, strings, option lists, and clauses that are known but not supported.

use datafusion::sql::sqlparser::{
    ast::Ident,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token},
};

/// A clause that we know from elsewhere and do not carry out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unsupported {
    /// As a person would say it: `DEFAULT for a column`.
    pub(crate) clause: String,
    /// What to do instead. A whole sentence.
    pub(crate) hint: String,
    pub(crate) span: Span,
}

/// Why a grammar stopped.
#[derive(Debug)]
pub(super) enum Fault {
    Syntax(ParserError),
    Unsupported(Unsupported),
}

impl From<ParserError> for Fault {
    fn from(error: ParserError) -> Self {
        Fault::Syntax(error)
    }
}

/// Stops at the next token, which begins the clause.
pub(super) fn unsupported<T>(parser: &Parser<'_>, clause: String, hint: &str) -> Result<T, Fault> {
    let span = parser.peek_token_ref().span;
    Err(Fault::Unsupported(Unsupported { clause, hint: hint.into(), span }))
}

/// The next token in upper case when it is a word without quotes.
pub(super) fn peek_word(parser: &Parser<'_>) -> Option<String> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

/// Whether the next token is this word, given in upper case.
pub(super) fn is_word(parser: &Parser<'_>, word: &str) -> bool {
    is_nth_word(parser, 0, word)
}

/// The same for a token further on.
pub(super) fn is_nth_word(parser: &Parser<'_>, n: usize, word: &str) -> bool {
    match &parser.peek_nth_token_ref(n).token {
        Token::Word(next) => next.quote_style.is_none() && next.value.eq_ignore_ascii_case(word),
        _ => false,
    }
}

/// Takes the word, or leaves the parser where it is.
pub(super) fn take_word(parser: &mut Parser<'_>, word: &str) -> bool {
    take_words(parser, &[word])
}

/// Takes all the words, or none.
pub(super) fn take_words(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let there = words.iter().enumerate().all(|(n, word)| is_nth_word(parser, n, word));
    if there {
        words.iter().for_each(|_| drop(parser.next_token()));
    }
    there
}

/// Refuses a clause that was there before.
pub(super) fn once(parser: &Parser<'_>, seen: &mut Vec<String>, word: &str) -> Result<(), ParserError> {
    if seen.iter().any(|other| other == word) {
        return parser.expected(&format!("{word} only once"), parser.peek_token());
    }
    seen.push(word.into());
    Ok(())
}

/// A string in single quotes.
pub(super) fn string(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(text),
        _ => parser.expected("a string in single quotes", token),
    }
}

/// `(a, b)`
pub(super) fn identifiers(parser: &mut Parser<'_>) -> Result<Vec<Ident>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let names = parser.parse_comma_separated(|parser| parser.parse_identifier())?;
    parser.expect_token(&Token::RParen)?;
    Ok(names)
}

/// `('key' = 'value', key value, ...)`. Keys are words with dots, or strings; values are strings, words or numbers.
pub(super) fn pairs(parser: &mut Parser<'_>) -> Result<Vec<(String, String)>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let pairs = parser.parse_comma_separated(|parser| {
        let key = key(parser)?;
        let _ = parser.consume_token(&Token::Eq);
        Ok((key, value(parser)?))
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(pairs)
}

/// The name of an option: a word with dots, or a string.
pub(super) fn key(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) => Ok(text),
        Token::Word(word) => {
            let mut key = word.value;
            while parser.consume_token(&Token::Period) {
                key = format!("{key}.{}", parser.parse_identifier()?.value);
            }
            Ok(key)
        }
        _ => parser.expected("the name of an option", token),
    }
}

/// The text of a string, a word or a number.
pub(super) fn value(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let minus = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let token = parser.next_token();
    match token.token {
        Token::Number(digits, _) => Ok(format!("{minus}{digits}")),
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) if minus.is_empty() => Ok(text),
        Token::Word(word) if minus.is_empty() => Ok(word.value),
        _ => parser.expected("a value: a string, a word or a number", token),
    }
}

/// The statement must end here.
pub(super) fn finish(parser: &Parser<'_>, expected: &str) -> Result<(), ParserError> {
    match parser.peek_token_ref().token {
        Token::EOF | Token::SemiColon => Ok(()),
        _ => parser.expected(expected, parser.peek_token()),
    }
}

/// Moves to the end of the statement.
pub(super) fn skip_statement(parser: &mut Parser<'_>) {
    while !matches!(parser.peek_token_ref().token, Token::EOF | Token::SemiColon) {
        parser.next_token();
    }
}

/// The text between two places, which count lines and characters from 1.
pub(super) fn slice(sql: &str, start: Location, end: Location) -> Option<String> {
    let (start, end) = (offset(sql, start)?, offset(sql, end)?);
    sql.get(start..end).map(str::to_string)
}

/// The text from a place on.
pub(super) fn slice_from(sql: &str, start: Location) -> Option<&str> {
    sql.get(offset(sql, start)?..)
}

fn offset(sql: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let mut start = 0;
    for _ in 0..line {
        start += sql.get(start..)?.find('\n')? + 1;
    }
    let rest = sql.get(start..)?;
    Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
}
