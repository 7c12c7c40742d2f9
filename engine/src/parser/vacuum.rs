//! `VACUUM [TABLE] t [RETAIN n HOURS] [DRY RUN]`.

use datafusion::sql::sqlparser::{
    ast::ObjectName,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

#[derive(Debug, Clone)]
pub(crate) struct Vacuum {
    pub name: ObjectName,
    pub hours: Option<u64>,
    pub dry_run: bool,
}

/// Parses from the keyword VACUUM on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Vacuum, ParserError> {
    parser.next_token();
    let _ = parser.parse_keyword(Keyword::TABLE);
    let name = parser.parse_object_name(false)?;
    let mut hours = None;
    if word(parser, "RETAIN") {
        hours = Some(parser.parse_literal_uint()?);
        if !word(parser, "HOURS") && !word(parser, "HOUR") {
            return parser.expected("HOURS", parser.peek_token());
        }
    }
    let dry_run = word(parser, "DRY");
    if dry_run && !word(parser, "RUN") {
        return parser.expected("RUN", parser.peek_token());
    }
    Ok(Vacuum { name, hours, dry_run })
}

/// Takes a word that need not be a keyword of the library's.
fn word(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let found = matches!(&parser.peek_token().token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted));
    if found {
        parser.next_token();
    }
    found
}
