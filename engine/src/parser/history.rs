//! What brings things back: `RESTORE`, `UNDROP`, and the version of a clone.

use datafusion::sql::sqlparser::{
    ast::{ObjectName, TableVersion},
    parser::{Parser, ParserError},
};

use super::{
    clause::{finish, take_word},
    version::{self, Versioned},
};

/// A parsed RESTORE or UNDROP.
#[derive(Debug, Clone)]
pub(crate) enum Recover {
    /// `RESTORE [TABLE] t [TO] [FOR] {VERSION | TIMESTAMP} AS OF x`
    Restore { table: ObjectName, to: TableVersion },
    /// `UNDROP [TABLE] t`
    Undrop { table: ObjectName },
}

/// `CREATE TABLE [IF NOT EXISTS] name SHALLOW CLONE table [{VERSION | TIMESTAMP} AS OF x]`
#[derive(Debug, Clone)]
pub(crate) struct CloneTable {
    pub(crate) name: ObjectName,
    pub(crate) if_not_exists: bool,
    pub(crate) source: Versioned,
}

/// Parses from the word RESTORE to the end of the statement.
pub(super) fn restore(parser: &mut Parser<'_>) -> Result<Recover, ParserError> {
    parser.next_token();
    let _ = take_word(parser, "TABLE");
    let table = parser.parse_object_name(false)?;
    let expected = if take_word(parser, "TO") { "" } else { "TO " };
    let Some(to) = version::behind(parser)? else {
        let expected = format!("{expected}VERSION AS OF or {expected}TIMESTAMP AS OF");
        return parser.expected(&expected, parser.peek_token());
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
    let source = version::named(parser)?;
    finish(parser, "VERSION AS OF, TIMESTAMP AS OF or the end of the statement")?;
    Ok(CloneTable { name, if_not_exists, source })
}
