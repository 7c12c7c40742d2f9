//! `SHOW ...`. The library's grammar has a dozen products' options; ours has one form for each thing.

use datafusion::sql::sqlparser::{
    ast::{Ident, ObjectName},
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::{
    clause::{finish, string, take_word, take_words},
    version::{self, Versioned},
};

/// A parsed SHOW.
#[derive(Debug, Clone)]
pub(crate) enum Show {
    Schemas { like: Option<String> },
    Tables { schema: Option<ObjectName>, like: Option<String>, views_only: bool },
    DroppedTables { schema: Option<ObjectName>, like: Option<String> },
    Columns { table: Versioned, like: Option<String> },
    Create { table: Versioned },
    Settings { like: Option<String> },
    Setting { name: Vec<Ident> },
    Functions { like: Option<String> },
    Users { like: Option<String> },
    Tokens { like: Option<String> },
    Marts { like: Option<String> },
    CreateMart { mart: ObjectName },
}

/// Parses from the word SHOW to the end of the statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Show, ParserError> {
    parser.next_token();
    let show = if take_word(parser, "SCHEMAS") || take_word(parser, "DATABASES") {
        Show::Schemas { like: like(parser)? }
    } else if take_word(parser, "TABLES") {
        Show::Tables { schema: within(parser)?, like: like(parser)?, views_only: false }
    } else if take_words(parser, &["DROPPED", "TABLES"]) {
        Show::DroppedTables { schema: within(parser)?, like: like(parser)? }
    } else if take_word(parser, "VIEWS") {
        Show::Tables { schema: within(parser)?, like: like(parser)?, views_only: true }
    } else if take_word(parser, "COLUMNS") {
        if !take_word(parser, "IN") && !take_word(parser, "FROM") {
            return parser.expected("FROM or IN and a table", parser.peek_token());
        }
        Show::Columns { table: version::named(parser)?, like: like(parser)? }
    } else if take_words(parser, &["CREATE", "MART"]) {
        Show::CreateMart { mart: parser.parse_object_name(false)? }
    } else if take_word(parser, "MARTS") {
        Show::Marts { like: like(parser)? }
    } else if take_words(parser, &["CREATE", "TABLE"]) || take_words(parser, &["CREATE", "VIEW"]) {
        Show::Create { table: version::named(parser)? }
    } else if take_word(parser, "SETTINGS") || take_word(parser, "ALL") {
        Show::Settings { like: like(parser)? }
    } else if take_word(parser, "FUNCTIONS") {
        Show::Functions { like: like(parser)? }
    } else if take_word(parser, "USERS") {
        Show::Users { like: like(parser)? }
    } else if take_word(parser, "TOKENS") {
        Show::Tokens { like: like(parser)? }
    } else if take_words(parser, &["TIME", "ZONE"]) {
        Show::Setting { name: vec![Ident::new("time_zone")] }
    } else if let Token::Word(_) = parser.peek_token_ref().token {
        let mut name = vec![parser.parse_identifier()?];
        while parser.consume_token(&Token::Period) {
            name.push(parser.parse_identifier()?);
        }
        Show::Setting { name }
    } else {
        let expected = "SCHEMAS, TABLES, VIEWS, COLUMNS, CREATE TABLE, SETTINGS, FUNCTIONS, USERS, TOKENS, MARTS or the \
                        name of a setting";
        return parser.expected(expected, parser.peek_token());
    };
    finish(parser, "LIKE 'pattern' or the end of the statement")?;
    Ok(show)
}

/// `{IN | FROM} name`
fn within(parser: &mut Parser<'_>) -> Result<Option<ObjectName>, ParserError> {
    if take_word(parser, "IN") || take_word(parser, "FROM") {
        return parser.parse_object_name(false).map(Some);
    }
    Ok(None)
}

/// `[LIKE] 'pattern'`
fn like(parser: &mut Parser<'_>) -> Result<Option<String>, ParserError> {
    if take_word(parser, "LIKE") || matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
        return string(parser).map(Some);
    }
    Ok(None)
}
