//! ```text
//! CREATE [OR REPLACE] MART [IF NOT EXISTS] name [WITH (key = value, ...)] AS query
//! ALTER MART name SET (key = value, ...)
//! DROP MART [IF EXISTS] name [WITH TABLE]
//! REFRESH MART name [FORCE]
//! ```
//! Keys are those of a definition's block, and mean the same. A value is a text in single quotes, a number, TRUE, FALSE, a
//! list `['a', 'b']` or `('a', 'b')`, or more keys: `(cron = '15 6 * * *', timezone = 'UTC')`. NULL takes a key away.

use datafusion::sql::sqlparser::{
    ast::{ObjectName, Query},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span, Token},
};

use super::clause::{self, finish, is_nth_word, take_word, take_words};

/// Values in values.
const DEPTH_MAX: usize = 8;
const VALUE: &str = "a value: 'text', a number, TRUE, FALSE, NULL, a list ['a', 'b'] or keys (key = value, ...)";

/// A statement about a mart.
#[derive(Debug, Clone)]
pub(crate) enum MartChange {
    Create(CreateMart),
    Alter { name: ObjectName, options: Vec<MartOption> },
    Drop { name: ObjectName, if_exists: bool, with_table: bool },
    Refresh { name: ObjectName, force: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct CreateMart {
    pub name: ObjectName,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub options: Vec<MartOption>,
    pub query: Box<Query>,
    /// The query as the person wrote it.
    pub sql: String,
    /// The line on which it begins, from 1.
    pub line: usize,
}

/// `key = value`
#[derive(Debug, Clone)]
pub(crate) struct MartOption {
    pub key: String,
    pub value: Value,
    /// Of key and value.
    pub span: Span,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// As it is written.
    Number(String),
    Bool(bool),
    Null,
    /// Each with its place.
    List(Vec<(Value, Span)>),
    Keys(Vec<(String, Value)>),
}

/// Whether a statement about a mart comes next.
pub(super) fn is_next(parser: &Parser<'_>) -> bool {
    let at = if is_nth_word(parser, 0, "CREATE") && is_nth_word(parser, 1, "OR") { 3 } else { 1 };
    is_nth_word(parser, at, "MART")
}

/// Parses from CREATE, ALTER, DROP or REFRESH to the end of the statement.
pub(super) fn parse(parser: &mut Parser<'_>, sql: &str) -> Result<MartChange, ParserError> {
    if take_words(parser, &["CREATE", "OR", "REPLACE", "MART"]) {
        return create(parser, sql, true).map(MartChange::Create);
    }
    if take_words(parser, &["CREATE", "MART"]) {
        return create(parser, sql, false).map(MartChange::Create);
    }
    if take_words(parser, &["ALTER", "MART"]) {
        let name = parser.parse_object_name(false)?;
        if !take_word(parser, "SET") {
            return parser.expected("SET (key = value, ...)", parser.peek_token());
        }
        let options = options(parser)?;
        finish(parser, "the end of the statement")?;
        return Ok(MartChange::Alter { name, options });
    }
    if take_words(parser, &["DROP", "MART"]) {
        let if_exists = take_words(parser, &["IF", "EXISTS"]);
        let name = parser.parse_object_name(false)?;
        let with_table = take_words(parser, &["WITH", "TABLE"]);
        finish(parser, "WITH TABLE or the end of the statement")?;
        return Ok(MartChange::Drop { name, if_exists, with_table });
    }
    take_words(parser, &["REFRESH", "MART"]);
    let name = parser.parse_object_name(false)?;
    let force = take_word(parser, "FORCE");
    finish(parser, "FORCE or the end of the statement")?;
    Ok(MartChange::Refresh { name, force })
}

fn create(parser: &mut Parser<'_>, sql: &str, or_replace: bool) -> Result<CreateMart, ParserError> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(false)?;
    let options = if take_word(parser, "WITH") { options(parser)? } else { Vec::new() };
    if !clause::is_word(parser, "AS") {
        return parser.expected("WITH (key = value, ...) or AS and a query", parser.peek_token());
    }
    parser.expect_keyword(Keyword::AS)?;
    let start = parser.peek_token_ref().span.start;
    let query = parser.parse_query()?;
    let end = parser.get_current_token().span.end;
    finish(parser, "the end of the mart's query")?;
    let sql = clause::slice(sql, start, end).unwrap_or_else(|| query.to_string());
    let line = usize::try_from(start.line).unwrap_or(1);
    Ok(CreateMart { name, or_replace, if_not_exists, options, query, sql, line })
}

/// `(key = value, ...)`, each key once.
fn options(parser: &mut Parser<'_>) -> Result<Vec<MartOption>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut options: Vec<MartOption> = Vec::new();
    loop {
        let first = parser.peek_token();
        let key = key(parser)?;
        if options.iter().any(|option| option.key == key) {
            return parser.expected(&format!("the key {key} only once"), first);
        }
        parser.expect_token(&Token::Eq)?;
        let value = value(parser, 0)?;
        let span = first.span.union(&parser.get_current_token().span);
        options.push(MartOption { key, value, span });
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            return Ok(options);
        }
    }
}

/// A word, in lower case, or a text as it is.
fn key(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let token = parser.next_token();
    match token.token {
        Token::Word(word) if word.quote_style.is_none() => Ok(word.value.to_lowercase()),
        Token::Word(word) => Ok(word.value),
        Token::SingleQuotedString(text) => Ok(text),
        _ => parser.expected("a key", token),
    }
}

fn value(parser: &mut Parser<'_>, depth: usize) -> Result<Value, ParserError> {
    let token = parser.next_token();
    if depth > DEPTH_MAX {
        return parser.expected("values that are not so deep in each other", token);
    }
    match &token.token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(Value::Text(text.clone())),
        Token::Number(digits, _) => Ok(Value::Number(digits.clone())),
        Token::Minus => match parser.next_token().token {
            Token::Number(digits, _) => Ok(Value::Number(format!("-{digits}"))),
            _ => parser.expected(VALUE, token),
        },
        Token::Word(word) if word.quote_style.is_none() => match word.value.to_uppercase().as_str() {
            "TRUE" => Ok(Value::Bool(true)),
            "FALSE" => Ok(Value::Bool(false)),
            "NULL" => Ok(Value::Null),
            _ => parser.expected(VALUE, token),
        },
        Token::LBracket => list(parser, &Token::RBracket, depth),
        Token::LParen => {
            let is_key = matches!(parser.peek_token_ref().token, Token::Word(_) | Token::SingleQuotedString(_));
            match is_key && parser.peek_nth_token_ref(1).token == Token::Eq {
                true => keys(parser, depth),
                false => list(parser, &Token::RParen, depth),
            }
        }
        _ => parser.expected(VALUE, token),
    }
}

/// Behind the bracket that opens it.
fn list(parser: &mut Parser<'_>, end: &Token, depth: usize) -> Result<Value, ParserError> {
    let mut values = Vec::new();
    while !parser.consume_token(end) {
        let first = parser.peek_token_ref().span;
        let item = value(parser, depth + 1)?;
        values.push((item, first.union(&parser.get_current_token().span)));
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(end)?;
            break;
        }
    }
    Ok(Value::List(values))
}

fn keys(parser: &mut Parser<'_>, depth: usize) -> Result<Value, ParserError> {
    let mut keys: Vec<(String, Value)> = Vec::new();
    loop {
        let first = parser.peek_token();
        let key = key(parser)?;
        if keys.iter().any(|(other, _)| *other == key) {
            return parser.expected(&format!("the key {key} only once"), first);
        }
        parser.expect_token(&Token::Eq)?;
        keys.push((key, value(parser, depth + 1)?));
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            return Ok(Value::Keys(keys));
        }
    }
}
