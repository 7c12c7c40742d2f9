//! Rules in the definition of a column or a table: CHECK, DEFAULT, GENERATED, and what is known from elsewhere.

use datafusion::sql::sqlparser::{
    ast::{Expr, Ident},
    keywords::Keyword,
    parser::Parser,
    tokenizer::Token,
};

use super::{
    clause::{Fault, is_word, peek_word, take_word, take_words, unsupported},
    create::{Check, Column},
};

/// Why files cannot have rules.
pub(super) const FILES: &str = "Files are read as they are; a CREATE TABLE has rules.";
const KEYS: &str = "Tables have no keys; CHECK and NOT NULL are enforced. Leave the constraint out.";

/// `[CONSTRAINT name] CHECK (condition)`; nothing when another word follows.
pub(super) fn check(parser: &mut Parser<'_>) -> Result<Option<Check>, Fault> {
    if let Some(word @ ("PRIMARY" | "FOREIGN")) = peek_word(parser).as_deref() {
        return unsupported(parser, format!("{word} KEY"), KEYS);
    }
    if is_word(parser, "UNIQUE") {
        return unsupported(parser, "UNIQUE".into(), KEYS);
    }
    let name = if take_word(parser, "CONSTRAINT") { Some(parser.parse_identifier()?) } else { None };
    match (name, peek_word(parser).as_deref()) {
        (name, Some("CHECK")) => Ok(Some(condition(parser, name)?)),
        (Some(_), Some(word @ ("PRIMARY" | "FOREIGN" | "UNIQUE" | "REFERENCES"))) => {
            unsupported(parser, word.to_owned(), KEYS)
        }
        (Some(_), _) => Ok(parser.expected("CHECK (condition) after the constraint's name", parser.peek_token())?),
        (None, _) => Ok(None),
    }
}

fn condition(parser: &mut Parser<'_>, name: Option<Ident>) -> Result<Check, Fault> {
    parser.expect_keyword(Keyword::CHECK)?;
    let condition = in_brackets(parser)?;
    if is_word(parser, "NOT") && parser.peek_nth_token_ref(1).token.to_string().eq_ignore_ascii_case("ENFORCED") {
        return unsupported(parser, "NOT ENFORCED".into(), "A CHECK is enforced; leave it or its NOT ENFORCED out.");
    }
    Ok(Check { name, condition })
}

fn in_brackets(parser: &mut Parser<'_>) -> Result<Expr, Fault> {
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(expr)
}

/// Takes one rule behind a column's type. False when none follows.
pub(super) fn column_rule(parser: &mut Parser<'_>, column: &mut Column, ruled: bool) -> Result<bool, Fault> {
    let word = peek_word(parser).unwrap_or_default();
    match word.as_str() {
        "DEFAULT" | "GENERATED" | "CHECK" | "CONSTRAINT" if !ruled => {
            unsupported(parser, format!("{word} for a column of files"), FILES)
        }
        "DEFAULT" => {
            parser.next_token();
            column.default = Some(default(parser)?);
            Ok(true)
        }
        "GENERATED" => {
            column.generated = Some(generated(parser)?);
            Ok(true)
        }
        "CHECK" | "CONSTRAINT" => {
            column.checks.extend(check(parser)?);
            Ok(true)
        }
        "PRIMARY" => unsupported(parser, "PRIMARY KEY for a column".into(), KEYS),
        "UNIQUE" | "REFERENCES" => unsupported(parser, format!("{word} for a column"), KEYS),
        "AS" if parser.peek_nth_token_ref(1).token == Token::LParen => {
            unsupported(parser, "AS for a column".into(), "Write GENERATED ALWAYS AS (expression).")
        }
        "MATERIALIZED" => {
            unsupported(parser, "MATERIALIZED for a column".into(), "Write GENERATED ALWAYS AS (expression).")
        }
        "IDENTITY" | "AUTO_INCREMENT" | "AUTOINCREMENT" => {
            unsupported(parser, format!("{word} for a column"), IDENTITY)
        }
        "COLLATE" | "CHARACTER" => {
            unsupported(parser, format!("{word} for a column"), "Text is UTF-8 and compares by bytes.")
        }
        _ => Ok(false),
    }
}

const IDENTITY: &str = "Numbers that no two rows share would make every write wait for every other; give them in the query, \
                        with row_number() or uuid().";

/// A value as it stands, or an expression in brackets.
pub(super) fn default(parser: &mut Parser<'_>) -> Result<Expr, Fault> {
    Ok(match parser.parse_prefix()? {
        Expr::Nested(inner) => *inner,
        other => other,
    })
}

fn generated(parser: &mut Parser<'_>) -> Result<Expr, Fault> {
    let by_default = take_words(parser, &["GENERATED", "BY", "DEFAULT"]);
    if !by_default && !take_words(parser, &["GENERATED", "ALWAYS"]) {
        return Ok(parser.expected("GENERATED ALWAYS AS (expression)", parser.peek_token())?);
    }
    parser.expect_keyword(Keyword::AS)?;
    if by_default || is_word(parser, "IDENTITY") {
        return unsupported(parser, "an identity column".into(), IDENTITY);
    }
    let expr = in_brackets(parser)?;
    if is_word(parser, "VIRTUAL") {
        return unsupported(parser, "VIRTUAL for a column".into(), "Generated columns are stored; leave it out.");
    }
    let _ = take_word(parser, "STORED");
    Ok(expr)
}
