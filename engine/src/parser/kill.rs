//! `KILL [QUERY] 'id'`.

use datafusion::sql::sqlparser::{
    parser::{Parser, ParserError},
    tokenizer::Span,
};

use super::clause::{finish, string, take_word};

#[derive(Debug, Clone)]
pub(crate) struct Kill {
    pub id: String,
    /// Where the id stands.
    pub span: Span,
}

/// Parses from the keyword KILL on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Kill, ParserError> {
    parser.next_token();
    take_word(parser, "QUERY");
    let span = parser.peek_token_ref().span;
    let id = string(parser)?;
    finish(parser, "the end of the statement")?;
    Ok(Kill { id, span })
}
