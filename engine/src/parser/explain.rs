//! `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] statement`, `EXPLAIN (ANALYZE, VERBOSE, FORMAT f) statement`, `EXPLAIN MART name`,
//! which is EXPLAIN REFRESH MART.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Location, Token},
};

use super::{Ast, Explain, ExplainFormat, MartChange, Parser, clause};
use crate::EngineError;

/// Parses what follows the keyword EXPLAIN.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Explain, EngineError> {
    let mut options = Options { analyze: false, verbose: false, format: ExplainFormat::Indent };
    if has_option_list(parser) {
        parser.inner.parser.next_token();
        loop {
            option(parser, &mut options)?;
            if !parser.inner.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if !parser.inner.parser.consume_token(&Token::RParen) {
            return Err(parser.expected("\",\" or \")\""));
        }
    } else {
        options.analyze = parser.inner.parser.parse_keyword(Keyword::ANALYZE);
        options.verbose = parser.inner.parser.parse_keyword(Keyword::VERBOSE);
        if parser.inner.parser.parse_keyword(Keyword::FORMAT) {
            options.format = format(parser)?;
        }
    }
    if let Token::Word(word) = parser.inner.parser.peek_token().token
        && word.keyword == Keyword::EXPLAIN
    {
        return Err(parser.expected("a statement to explain"));
    }
    let start = offset(parser.sql, parser.inner.parser.peek_token().span.start);
    let statement = match clause::take_word(&mut parser.inner.parser, "MART") {
        true => Box::new(mart(parser)?),
        false => Box::new(parser.statement()?),
    };
    Ok(Explain { analyze: options.analyze, verbose: options.verbose, format: options.format, start, statement })
}

/// The run of a mart, by its name.
fn mart(parser: &mut Parser<'_>) -> Result<Ast, EngineError> {
    let name = parser.inner.parser.parse_object_name(false).map_err(|error| parser.fault(error))?;
    clause::finish(&parser.inner.parser, "the end of the statement").map_err(|error| parser.fault(error))?;
    Ok(Ast::Mart(Box::new(MartChange::Refresh { name, force: false })))
}

/// A place of the tokenizer's, which counts lines and characters from 1, in bytes.
fn offset(sql: &str, place: Location) -> usize {
    let line = usize::try_from(place.line).unwrap_or(usize::MAX).saturating_sub(1);
    let column = usize::try_from(place.column).unwrap_or(usize::MAX).saturating_sub(1);
    let before: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let within = sql[before..].char_indices().nth(column).map_or(sql.len() - before, |(at, _)| at);
    before + within
}

struct Options {
    analyze: bool,
    verbose: bool,
    format: ExplainFormat,
}

/// Tells `EXPLAIN (ANALYZE) SELECT 1` from `EXPLAIN (SELECT 1)`.
fn has_option_list(parser: &Parser<'_>) -> bool {
    let parser = &parser.inner.parser;
    parser.peek_token().token == Token::LParen
        && matches!(
            &parser.peek_nth_token(1).token,
            Token::Word(word) if matches!(word.keyword, Keyword::ANALYZE | Keyword::VERBOSE | Keyword::FORMAT)
        )
}

fn option(parser: &mut Parser<'_>, options: &mut Options) -> Result<(), EngineError> {
    match parser.inner.parser.parse_one_of_keywords(&[Keyword::ANALYZE, Keyword::VERBOSE, Keyword::FORMAT]) {
        Some(Keyword::ANALYZE) => options.analyze = switch(parser),
        Some(Keyword::VERBOSE) => options.verbose = switch(parser),
        Some(_) => options.format = format(parser)?,
        None => return Err(parser.expected("ANALYZE, VERBOSE or FORMAT")),
    }
    Ok(())
}

/// `ANALYZE`, `ANALYZE true`, `ANALYZE off`.
fn switch(parser: &mut Parser<'_>) -> bool {
    let parser = &mut parser.inner.parser;
    match parser.peek_token().token {
        Token::Word(word) if matches!(word.value.to_lowercase().as_str(), "true" | "on") => {
            parser.next_token();
            true
        }
        Token::Word(word) if matches!(word.value.to_lowercase().as_str(), "false" | "off") => {
            parser.next_token();
            false
        }
        _ => true,
    }
}

fn format(parser: &mut Parser<'_>) -> Result<ExplainFormat, EngineError> {
    let format = match parser.inner.parser.peek_token().token {
        Token::Word(word) => match word.value.to_lowercase().as_str() {
            "indent" | "text" => Some(ExplainFormat::Indent),
            "tree" => Some(ExplainFormat::Tree),
            _ => None,
        },
        _ => None,
    };
    match format {
        Some(format) => {
            parser.inner.parser.next_token();
            Ok(format)
        }
        None => Err(parser.expected("INDENT or TREE")),
    }
}
