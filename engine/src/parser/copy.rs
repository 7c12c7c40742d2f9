//! COPY: tokens to parts. See `statement/copy/` for what the options mean.

use datafusion::sql::sqlparser::{
    ast::{Ident, Query},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span, Token},
};

use super::{
    clause::{self, Fault, Unsupported, finish, identifiers, is_word, string, take_word, unsupported},
    version::{self, Versioned},
};

/// A parsed COPY.
#[derive(Debug, Clone)]
pub(crate) enum Copy {
    From(CopyFrom),
    To(CopyTo),
    Unsupported(Unsupported),
}

/// `COPY table [(column, ...)] FROM 'files' [[WITH] (option, ...)]`
#[derive(Debug, Clone)]
pub(crate) struct CopyFrom {
    /// With a version it is refused.
    pub(crate) table: Versioned,
    pub(crate) columns: Vec<Ident>,
    pub(crate) path: String,
    pub(crate) options: Vec<CopyOption>,
}

/// `COPY { table [{VERSION | TIMESTAMP} AS OF x] [(column, ...)] | (query) } TO 'file or folder' [[WITH] (option, ...)]`
#[derive(Debug, Clone)]
pub(crate) struct CopyTo {
    pub(crate) source: CopySource,
    pub(crate) path: String,
    pub(crate) options: Vec<CopyOption>,
}

#[derive(Debug, Clone)]
pub(crate) enum CopySource {
    Table { table: Versioned, columns: Vec<Ident> },
    Query(Box<Query>),
}

/// `NAME [value]`, the name in upper case.
#[derive(Debug, Clone)]
pub(crate) struct CopyOption {
    pub(crate) name: String,
    pub(crate) value: OptionValue,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OptionValue {
    /// `HEADER` alone.
    None,
    Text(String),
    /// `PARTITION_BY (a, b)`
    Names(Vec<Ident>),
}

/// Parses from the word COPY to the end of the statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Copy, ParserError> {
    match copy(parser) {
        Ok(copy) => Ok(copy),
        Err(Fault::Syntax(error)) => Err(error),
        Err(Fault::Unsupported(unsupported)) => {
            clause::skip_statement(parser);
            Ok(Copy::Unsupported(unsupported))
        }
    }
}

fn copy(parser: &mut Parser<'_>) -> Result<Copy, Fault> {
    parser.expect_keyword(Keyword::COPY)?;
    if is_word(parser, "INTO") {
        return unsupported(parser, "COPY INTO".into(), "Write COPY table FROM 'files' (FORMAT ...).");
    }
    if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        parser.expect_keyword(Keyword::TO)?;
        return copy_to(parser, CopySource::Query(query));
    }
    let table = version::named(parser)?;
    let columns = if parser.peek_token_ref().token == Token::LParen { identifiers(parser)? } else { Vec::new() };
    if take_word(parser, "TO") {
        return copy_to(parser, CopySource::Table { table, columns });
    }
    if !take_word(parser, "FROM") {
        return Ok(parser.expected("FROM 'files' or TO 'file'", parser.peek_token())?);
    }
    if is_word(parser, "STDIN") || is_word(parser, "PROGRAM") {
        return unsupported(parser, "COPY FROM other than files".into(), "Write COPY table FROM 'files'.");
    }
    let path = string(parser)?;
    let options = options(parser)?;
    Ok(Copy::From(CopyFrom { table, columns, path, options }))
}

fn copy_to(parser: &mut Parser<'_>, source: CopySource) -> Result<Copy, Fault> {
    if is_word(parser, "STDOUT") || is_word(parser, "PROGRAM") {
        return unsupported(parser, "COPY TO other than files".into(), "Run the query itself to see its rows.");
    }
    let path = string(parser)?;
    let options = options(parser)?;
    Ok(Copy::To(CopyTo { source, path, options }))
}

/// Ours are `[WITH] (NAME value, ...)`; `STORED AS format` and `PARTITIONED BY (...)` are taken as well.
fn options(parser: &mut Parser<'_>) -> Result<Vec<CopyOption>, Fault> {
    let mut options: Vec<CopyOption> = Vec::new();
    loop {
        let span = parser.peek_token_ref().span;
        let mut found = if take_word(parser, "STORED") {
            parser.expect_keyword(Keyword::AS)?;
            vec![CopyOption { name: "FORMAT".into(), value: OptionValue::Text(clause::value(parser)?), span }]
        } else if take_word(parser, "PARTITIONED") {
            parser.expect_keyword(Keyword::BY)?;
            vec![CopyOption { name: "PARTITION_BY".into(), value: OptionValue::Names(identifiers(parser)?), span }]
        } else if take_word(parser, "WITH") || take_word(parser, "OPTIONS") || next_is(parser, &Token::LParen) {
            parser.expect_token(&Token::LParen)?;
            let list = parser.parse_comma_separated(option)?;
            parser.expect_token(&Token::RParen)?;
            list
        } else {
            break;
        };
        options.append(&mut found);
    }
    finish(parser, "options in parentheses or the end of the statement")?;
    for (n, option) in options.iter().enumerate() {
        if options[..n].iter().any(|other| other.name == option.name) {
            return Ok(Err(ParserError::ParserError(format!(
                "option {} is given twice{}",
                option.name, option.span.start
            )))?);
        }
    }
    Ok(options)
}

fn option(parser: &mut Parser<'_>) -> Result<CopyOption, ParserError> {
    let span = parser.peek_token_ref().span;
    let token = parser.next_token();
    let name = match token.token {
        Token::Word(word) => word.value.to_uppercase(),
        Token::SingleQuotedString(text) => text.to_uppercase(),
        _ => return parser.expected("the name of an option", token),
    };
    let _ = parser.consume_token(&Token::Eq);
    let value = match parser.peek_token_ref().token {
        Token::Comma | Token::RParen => OptionValue::None,
        Token::LParen => OptionValue::Names(identifiers(parser)?),
        _ => OptionValue::Text(clause::value(parser)?),
    };
    Ok(CopyOption { name, value, span })
}

fn next_is(parser: &Parser<'_>, token: &Token) -> bool {
    parser.peek_token_ref().token == *token
}
