//! What brings things back: `RESTORE`, `UNDROP`, and the version of a clone.

use datafusion::sql::sqlparser::{
    ast::{Expr, ObjectName, TableVersion},
    parser::{Parser, ParserError},
};

use super::clause::{finish, take_word, take_words};

/// A parsed RESTORE or UNDROP.
#[derive(Debug, Clone)]
pub(crate) enum Recover {
    /// `RESTORE [TABLE] t TO [FOR] {VERSION | TIMESTAMP} AS OF x`
    Restore { table: ObjectName, to: TableVersion },
    /// `UNDROP [TABLE] t`
    Undrop { table: ObjectName },
}

/// `CREATE TABLE [IF NOT EXISTS] name SHALLOW CLONE table [{VERSION | TIMESTAMP} AS OF x]`
#[derive(Debug, Clone)]
pub(crate) struct CloneTable {
    pub(crate) name: ObjectName,
    pub(crate) if_not_exists: bool,
    pub(crate) source: ObjectName,
    pub(crate) version: Option<TableVersion>,
}

/// Parses from the word RESTORE to the end of the statement.
pub(super) fn restore(parser: &mut Parser<'_>) -> Result<Recover, ParserError> {
    parser.next_token();
    let _ = take_word(parser, "TABLE");
    let table = parser.parse_object_name(false)?;
    if !take_word(parser, "TO") {
        return parser.expected("TO VERSION AS OF or TO TIMESTAMP AS OF", parser.peek_token());
    }
    let Some(to) = version(parser)? else {
        return parser.expected("VERSION AS OF or TIMESTAMP AS OF", parser.peek_token());
    };
    finish(parser, "the end of the statement")?;
    Ok(Recover::Restore { table, to })
}

/// Parses from the word UNDROP to the end of the statement.
pub(super) fn undrop(parser: &mut Parser<'_>) -> Result<Recover, ParserError> {
    parser.next_token();
    let _ = take_word(parser, "TABLE");
    let table = parser.parse_object_name(false)?;
    finish(parser, "the end of the statement")?;
    Ok(Recover::Undrop { table })
}

/// Parses what follows SHALLOW CLONE.
pub(super) fn clone(parser: &mut Parser<'_>, name: ObjectName, if_not_exists: bool) -> Result<CloneTable, ParserError> {
    let source = parser.parse_object_name(false)?;
    let version = version(parser)?;
    finish(parser, "VERSION AS OF, TIMESTAMP AS OF or the end of the statement")?;
    Ok(CloneTable { name, if_not_exists, source, version })
}

/// `[FOR] {VERSION | TIMESTAMP} AS OF x`
fn version(parser: &mut Parser<'_>) -> Result<Option<TableVersion>, ParserError> {
    let value = |parser: &mut Parser<'_>| -> Result<Expr, ParserError> { parser.parse_expr() };
    let _ = take_word(parser, "FOR");
    if take_words(parser, &["VERSION", "AS", "OF"]) || take_words(parser, &["SYSTEM_VERSION", "AS", "OF"]) {
        return value(parser).map(TableVersion::VersionAsOf).map(Some);
    }
    if take_words(parser, &["TIMESTAMP", "AS", "OF"]) || take_words(parser, &["SYSTEM_TIME", "AS", "OF"]) {
        return value(parser).map(TableVersion::TimestampAsOf).map(Some);
    }
    Ok(None)
}
