//! `DESCRIBE [TABLE] t`, `DESCRIBE DETAIL t`, `DESCRIBE HISTORY t [LIMIT n]`, `DESCRIBE query`.

use datafusion::sql::sqlparser::{keywords::Keyword, tokenizer::Token};

use super::{Describe, Parser};
use crate::EngineError;

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
                return Ok(Describe::Detail(name(parser)?));
            }
            Keyword::HISTORY if followed_by_name(parser) => {
                parser.inner.parser.next_token();
                return Ok(Describe::History { table: name(parser)?, limit: limit(parser)? });
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
                return Ok(Describe::Detail(name(parser)?));
            }
            _ => {}
        },
        _ => {}
    }
    Ok(Describe::Table(name(parser)?))
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

fn name(parser: &mut Parser<'_>) -> Result<datafusion::sql::sqlparser::ast::ObjectName, EngineError> {
    parser.inner.parser.parse_object_name(false).map_err(|error| parser.fault(error))
}
