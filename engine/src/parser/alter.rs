//! ALTER TABLE and COMMENT ON: tokens to parts.
//!
//! As in CREATE our own grammar is taken exactly, and what is known from elsewhere is named as unsupported.

use datafusion::sql::sqlparser::{
    ast::{DataType, Expr, Ident, ObjectName},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::{
    clause::{self, Fault, Unsupported, finish, is_word, peek_word, string, take_word, take_words, unsupported},
    create::{self, Check, Column},
    create_rule,
};

#[derive(Debug, Clone)]
pub(crate) enum Alter {
    Table(Box<AlterTable>),
    Rename(RenameTable),
    Unsupported(Unsupported),
}

/// `ALTER TABLE [IF EXISTS] name action`, or a COMMENT ON, which is an action as well.
#[derive(Debug, Clone)]
pub(crate) struct AlterTable {
    pub(crate) name: ObjectName,
    pub(crate) if_exists: bool,
    pub(crate) action: Action,
}

/// `ALTER TABLE [IF EXISTS] name RENAME TO name`
#[derive(Debug, Clone)]
pub(crate) struct RenameTable {
    pub(crate) name: ObjectName,
    pub(crate) if_exists: bool,
    pub(crate) to: ObjectName,
}

/// A column, or a field of a column that is a STRUCT.
pub(crate) type Path = Vec<Ident>;

#[derive(Debug, Clone)]
pub(crate) enum Action {
    AddColumns { if_not_exists: bool, columns: Vec<NewColumn> },
    DropColumns { if_exists: bool, paths: Vec<Path> },
    RenameColumn { path: Path, to: Ident },
    AlterColumn { path: Path, change: ColumnChange },
    AddConstraint(Check),
    DropConstraint { if_exists: bool, name: Ident },
    SetProperties(Vec<(String, String)>),
    UnsetProperties { if_exists: bool, keys: Vec<String> },
    SetTier(Box<Tier>),
    UnsetTier,
    Comment(Option<String>),
}

/// `(hot = '30 days', cold_after = '90 days', on = column)`, in any order; one of the times may be left out.
#[derive(Debug, Clone)]
pub(crate) struct Tier {
    pub(crate) hot: Option<String>,
    pub(crate) cold_after: Option<String>,
    pub(crate) on: Ident,
}

#[derive(Debug, Clone)]
pub(crate) struct NewColumn {
    /// All but the last are STRUCTs around it.
    pub(crate) outer: Path,
    pub(crate) column: Column,
    pub(crate) position: Option<Position>,
}

#[derive(Debug, Clone)]
pub(crate) enum Position {
    First,
    After(Ident),
}

#[derive(Debug, Clone)]
pub(crate) enum ColumnChange {
    SetNotNull,
    DropNotNull,
    Comment(Option<String>),
    Type(DataType),
    SetDefault(Box<Expr>),
    DropDefault,
    SyncIdentity,
    Move(Position),
}

/// Parses from the word ALTER or COMMENT to the end of the statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Alter, ParserError> {
    let parsed = match take_word(parser, "COMMENT") {
        true => comment_on(parser).map(Box::new).map(Alter::Table),
        false => alter(parser),
    };
    match parsed {
        Ok(parsed) => Ok(parsed),
        Err(Fault::Syntax(error)) => Err(error),
        Err(Fault::Unsupported(unsupported)) => {
            clause::skip_statement(parser);
            Ok(Alter::Unsupported(unsupported))
        }
    }
}

fn comment_on(parser: &mut Parser<'_>) -> Result<AlterTable, Fault> {
    parser.expect_keyword(Keyword::ON)?;
    let is_column = match peek_word(parser).as_deref() {
        Some("TABLE") => false,
        Some("COLUMN") => true,
        Some(word) => {
            let hint = "COMMENT ON TABLE and COMMENT ON COLUMN change comments.";
            return unsupported(parser, format!("COMMENT ON {word}"), hint);
        }
        None => return Ok(parser.expected("TABLE or COLUMN", parser.peek_token())?),
    };
    parser.next_token();
    let mut name = parser.parse_object_name(true)?;
    let column = if is_column { name.0.pop() } else { None };
    parser.expect_keyword(Keyword::IS)?;
    let text = text_or_null(parser)?;
    finish(parser, "the end of the statement")?;
    let action = match column {
        None => Action::Comment(text),
        Some(column) => {
            let ident = column.as_ident().cloned().filter(|_| !name.0.is_empty());
            let Some(ident) = ident else {
                return Ok(parser.expected("COMMENT ON COLUMN table.column", parser.peek_token())?);
            };
            Action::AlterColumn { path: vec![ident], change: ColumnChange::Comment(text) }
        }
    };
    Ok(AlterTable { name, if_exists: false, action })
}

fn text_or_null(parser: &mut Parser<'_>) -> Result<Option<String>, Fault> {
    Ok(if take_word(parser, "NULL") { None } else { Some(string(parser)?) })
}

fn alter(parser: &mut Parser<'_>) -> Result<Alter, Fault> {
    parser.expect_keyword(Keyword::ALTER)?;
    match peek_word(parser).as_deref() {
        Some("TABLE") => {}
        Some("VIEW") => return unsupported(parser, "ALTER VIEW".into(), "Write CREATE OR REPLACE VIEW."),
        Some(word) => {
            let hint = "ALTER TABLE is; other things are made anew with CREATE OR REPLACE.";
            return unsupported(parser, format!("ALTER {word}"), hint);
        }
        None => return Ok(parser.expected("TABLE after ALTER", parser.peek_token())?),
    }
    parser.next_token();
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    let name = parser.parse_object_name(true)?;
    if take_words(parser, &["RENAME", "TO"]) {
        let to = parser.parse_object_name(true)?;
        finish(parser, "the end of the statement")?;
        return Ok(Alter::Rename(RenameTable { name, if_exists, to }));
    }
    let action = action(parser)?;
    if parser.peek_token_ref().token == Token::Comma {
        return unsupported(parser, "more than one action in ALTER TABLE".into(), "Write one ALTER TABLE for each.");
    }
    finish(parser, "the end of the statement")?;
    Ok(Alter::Table(Box::new(AlterTable { name, if_exists, action })))
}

fn action(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    let word = peek_word(parser).unwrap_or_default();
    let (first, clause) = (parser.peek_token_ref().clone(), word.clone());
    if !matches!(word.as_str(), "ADD" | "DROP" | "RENAME" | "ALTER" | "CHANGE" | "SET" | "UNSET" | "COMMENT") {
        return match word.as_str() {
            "CLUSTER" => unsupported(parser, "CLUSTER BY".into(), CLUSTER),
            "PARTITION" | "PARTITIONED" | "REPLACE" => unsupported(parser, clause, PARTITION),
            "OWNER" => unsupported(parser, "OWNER TO".into(), "Tables have no owners."),
            _ => Ok(parser
                .expected("ADD, DROP, RENAME, ALTER COLUMN, SET or UNSET TBLPROPERTIES or TIER, or COMMENT", first)?),
        };
    }
    parser.next_token();
    match word.as_str() {
        "ADD" => add(parser),
        "DROP" => drop_action(parser),
        "RENAME" => rename(parser),
        "SET" => set(parser),
        "UNSET" => unset(parser),
        "COMMENT" => {
            let _ = take_word(parser, "IS") || parser.consume_token(&Token::Eq);
            Ok(Action::Comment(text_or_null(parser)?))
        }
        _ => {
            let _ = take_word(parser, "COLUMN");
            let path = path(parser)?;
            Ok(Action::AlterColumn { path, change: column_change(parser)? })
        }
    }
}

const CLUSTER: &str = "CREATE OR REPLACE TABLE t AS SELECT * FROM t ORDER BY column lays the rows out by a column.";
const PARTITION: &str = "CREATE OR REPLACE TABLE t PARTITIONED BY (column) AS SELECT * FROM t writes the table with other \
                         partitions and keeps its history.";

fn add(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    match peek_word(parser).as_deref() {
        Some("CONSTRAINT" | "CHECK" | "PRIMARY" | "FOREIGN" | "UNIQUE") => {
            return match create_rule::check(parser)? {
                Some(check) => Ok(Action::AddConstraint(check)),
                None => Ok(parser.expected("CHECK (condition)", parser.peek_token())?),
            };
        }
        Some("PARTITION") => return unsupported(parser, "ADD PARTITION".into(), "Partitions appear with their rows."),
        Some("COLUMN" | "COLUMNS") => drop(parser.next_token()),
        _ => {}
    }
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let columns = if parser.consume_token(&Token::LParen) {
        let mut columns = vec![new_column(parser)?];
        while parser.consume_token(&Token::Comma) {
            columns.push(new_column(parser)?);
        }
        parser.expect_token(&Token::RParen)?;
        columns
    } else {
        vec![new_column(parser)?]
    };
    Ok(Action::AddColumns { if_not_exists, columns })
}

fn new_column(parser: &mut Parser<'_>) -> Result<NewColumn, Fault> {
    let mut outer = Path::new();
    while parser.peek_nth_token_ref(1).token == Token::Period {
        outer.push(parser.parse_identifier()?);
        parser.next_token();
    }
    let column = create::column(parser, false, true)?;
    Ok(NewColumn { outer, column, position: position(parser)? })
}

fn position(parser: &mut Parser<'_>) -> Result<Option<Position>, Fault> {
    if take_word(parser, "FIRST") {
        return Ok(Some(Position::First));
    }
    Ok(if take_word(parser, "AFTER") { Some(Position::After(parser.parse_identifier()?)) } else { None })
}

fn drop_action(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    if take_word(parser, "CONSTRAINT") {
        let if_exists = take_words(parser, &["IF", "EXISTS"]);
        let name = parser.parse_identifier()?;
        let _ = take_word(parser, "RESTRICT") || take_word(parser, "CASCADE");
        return Ok(Action::DropConstraint { if_exists, name });
    }
    if is_word(parser, "PARTITION") {
        return unsupported(parser, "DROP PARTITION".into(), "DELETE FROM t WHERE column = value removes its rows.");
    }
    let _ = take_word(parser, "COLUMNS") || take_word(parser, "COLUMN");
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    let paths = if parser.consume_token(&Token::LParen) {
        let mut paths = vec![path(parser)?];
        while parser.consume_token(&Token::Comma) {
            paths.push(path(parser)?);
        }
        parser.expect_token(&Token::RParen)?;
        paths
    } else {
        vec![path(parser)?]
    };
    Ok(Action::DropColumns { if_exists, paths })
}

fn rename(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    let _ = take_word(parser, "COLUMN");
    let path = path(parser)?;
    parser.expect_keyword(Keyword::TO)?;
    Ok(Action::RenameColumn { path, to: parser.parse_identifier()? })
}

fn set(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    match peek_word(parser).as_deref() {
        Some("TBLPROPERTIES") => {
            parser.next_token();
            Ok(Action::SetProperties(clause::pairs(parser)?))
        }
        Some("TIER") => {
            parser.next_token();
            Ok(Action::SetTier(Box::new(tier(parser)?)))
        }
        Some("LOCATION") => unsupported(parser, "SET LOCATION".into(), "A table lies in the folder of its name."),
        Some(word) => {
            let hint = "SET TBLPROPERTIES ('key' = 'value', ...) sets properties, SET TIER (...) when files are hot and cold; \
                        ALTER COLUMN changes a column.";
            unsupported(parser, format!("SET {word} in ALTER TABLE"), hint)
        }
        None => Ok(parser.expected("TBLPROPERTIES or TIER", parser.peek_token())?),
    }
}

fn tier(parser: &mut Parser<'_>) -> Result<Tier, Fault> {
    let (mut cold_after, mut on, mut hot, mut seen) = (None, None, None, Vec::new());
    parser.expect_token(&Token::LParen)?;
    loop {
        let word = peek_word(parser).unwrap_or_default();
        let first = parser.peek_token_ref().clone();
        if !matches!(word.as_str(), "COLD_AFTER" | "ON" | "HOT") {
            return Ok(parser.expected("hot, cold_after or on", first)?);
        }
        clause::once(parser, &mut seen, &word)?;
        parser.next_token();
        parser.expect_token(&Token::Eq)?;
        match word.as_str() {
            "COLD_AFTER" => cold_after = Some(string(parser)?),
            "ON" => on = Some(parser.parse_identifier()?),
            _ => hot = Some(string(parser)?),
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let end = parser.peek_token();
    parser.expect_token(&Token::RParen)?;
    if hot.is_none() && cold_after.is_none() {
        return Ok(parser.expected("hot = '30 days' or cold_after = '90 days'", end)?);
    }
    match on {
        Some(on) => Ok(Tier { hot, cold_after, on }),
        None => Ok(parser.expected("on = column", end)?),
    }
}

fn unset(parser: &mut Parser<'_>) -> Result<Action, Fault> {
    if take_word(parser, "TIER") {
        return Ok(Action::UnsetTier);
    }
    parser.expect_keyword(Keyword::TBLPROPERTIES)?;
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    parser.expect_token(&Token::LParen)?;
    let mut keys = vec![clause::key(parser)?];
    while parser.consume_token(&Token::Comma) {
        keys.push(clause::key(parser)?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(Action::UnsetProperties { if_exists, keys })
}

fn column_change(parser: &mut Parser<'_>) -> Result<ColumnChange, Fault> {
    if take_words(parser, &["SET", "NOT", "NULL"]) {
        return Ok(ColumnChange::SetNotNull);
    }
    if take_words(parser, &["DROP", "NOT", "NULL"]) {
        return Ok(ColumnChange::DropNotNull);
    }
    if take_words(parser, &["DROP", "DEFAULT"]) {
        return Ok(ColumnChange::DropDefault);
    }
    if take_words(parser, &["SYNC", "IDENTITY"]) {
        return Ok(ColumnChange::SyncIdentity);
    }
    if take_words(parser, &["SET", "DEFAULT"]) {
        return Ok(ColumnChange::SetDefault(Box::new(create_rule::default(parser)?)));
    }
    if take_words(parser, &["SET", "DATA", "TYPE"]) || take_word(parser, "TYPE") {
        let data_type = parser.parse_data_type()?;
        if is_word(parser, "USING") {
            let hint = "Only types that hold every value are changed; make a new column for others and fill it.";
            return unsupported(parser, "USING in ALTER COLUMN".into(), hint);
        }
        return Ok(ColumnChange::Type(data_type));
    }
    if take_word(parser, "COMMENT") {
        return Ok(ColumnChange::Comment(text_or_null(parser)?));
    }
    match position(parser)? {
        Some(position) => Ok(ColumnChange::Move(position)),
        None => {
            let wanted = "SET NOT NULL, DROP NOT NULL, TYPE, COMMENT, SET DEFAULT, DROP DEFAULT, SYNC IDENTITY, \
                          FIRST or AFTER";
            Ok(parser.expected(wanted, parser.peek_token())?)
        }
    }
}

fn path(parser: &mut Parser<'_>) -> Result<Path, Fault> {
    let mut path = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        path.push(parser.parse_identifier()?);
    }
    Ok(path)
}
