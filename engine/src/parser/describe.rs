//! `DESCRIBE [TABLE] t`, `DESCRIBE DETAIL t`, `DESCRIBE HISTORY t [LIMIT n]`, `DESCRIBE query`. A version may follow `t`.

use datafusion::sql::sqlparser::{keywords::Keyword, tokenizer::Token};

use super::{
    Describe, Parser,
    version::{self, Versioned},
};
use crate::{EngineError, error::Place};

/// Parses what follows the keyword DESCRIBE.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Describe, EngineError> {
    match parser.inner.parser.peek_token().token {
        Token::LParen => return query(parser),
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES => return query(parser),
            Keyword::TABLE => {
                parser.inner.parser.next_token();
            }
            Keyword::DETAIL if followed_by_name(parser) => {
                parser.inner.parser.next_token();
                return Ok(Describe::Detail(table(parser)?));
            }
            Keyword::HISTORY if followed_by_name(parser) => {
                parser.inner.parser.next_token();
                let span = parser.inner.parser.peek_token_ref().span;
                let Versioned { name, version } = table(parser)?;
                if version.is_some() {
                    let error = EngineError::unsupported("DESCRIBE HISTORY of an older version is not supported");
                    return Err(error
                        .with_hint("DESCRIBE HISTORY t tells of all versions, with LIMIT n of the newest ones.")
                        .at(parser.sql, Place::of_token_span(span)));
                }
                return Ok(Describe::History { table: name, limit: limit(parser)? });
            }
            Keyword::EXTENDED | Keyword::FORMATTED if followed_by_name(parser) => {
                return Err(EngineError::unsupported(format!(
                    "DESCRIBE {} is not supported",
                    word.value.to_uppercase()
                ))
                .with_hint("DESCRIBE t lists the columns, DESCRIBE DETAIL t the table's properties."));
            }
            _ if word.value.eq_ignore_ascii_case("DETAIL") && followed_by_name(parser) => {
                parser.inner.parser.next_token();
                return Ok(Describe::Detail(table(parser)?));
            }
            _ => {}
        },
        _ => {}
    }
    Ok(Describe::Table(table(parser)?))
}

/// `DESCRIBE DETAIL t` against `DESCRIBE detail`, a table of that name.
fn followed_by_name(parser: &Parser<'_>) -> bool {
    matches!(
        parser.inner.parser.peek_nth_token(1).token,
        Token::Word(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)
    )
}

/// `[LIMIT n]`
fn limit(parser: &mut Parser<'_>) -> Result<Option<usize>, EngineError> {
    if !parser.inner.parser.parse_keyword(Keyword::LIMIT) {
        return Ok(None);
    }
    let rows = parser.inner.parser.parse_literal_uint().map_err(|error| parser.fault(error))?;
    Ok(Some(usize::try_from(rows).unwrap_or(usize::MAX)))
}

fn query(parser: &mut Parser<'_>) -> Result<Describe, EngineError> {
    let query = parser.inner.parser.parse_query().map_err(|error| parser.fault(error))?;
    Ok(Describe::Query(query))
}

fn table(parser: &mut Parser<'_>) -> Result<Versioned, EngineError> {
    version::named(&mut parser.inner.parser).map_err(|error| parser.fault(error))
}
