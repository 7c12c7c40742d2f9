//! CREATE TABLE, EXTERNAL TABLE, VIEW and SCHEMA: tokens to parts.
//!
//! The library's parser knows the clauses of a dozen products here and fills a struct of sixty fields, most of which we
//! could only ignore. This one takes exactly our grammar, its clauses in any order, and names a clause that it knows from
//! elsewhere as unsupported instead of calling it a syntax error. It looks at words only; meaning is checked in `statement/`.

use datafusion::sql::sqlparser::{
    ast::{DataType, Expr, Ident, ObjectName, Query},
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::create_rule as rule;
use super::{
    clause::{
        self, Fault, Unsupported, finish, identifiers, is_word, peek_word, string, take_word, take_words, unsupported,
    },
    history::{self, CloneTable},
};
use crate::EngineError;

/// A parsed CREATE.
#[derive(Debug, Clone)]
pub(crate) enum Create {
    Table(CreateTable),
    ExternalTable(CreateExternalTable),
    View(CreateView),
    Schema(CreateSchema),
    Clone(CloneTable),
    Unsupported(Unsupported),
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [(column | constraint, ...)] [clause ...] [AS query]`
#[derive(Debug, Clone)]
pub(crate) struct CreateTable {
    pub(crate) name: ObjectName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) checks: Vec<Check>,
    pub(crate) partitioned_by: Vec<Ident>,
    pub(crate) comment: Option<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) query: Option<Box<Query>>,
}

/// `name [TYPE] [NOT NULL] [COMMENT 'text'] [DEFAULT value] [GENERATED ALWAYS AS (expression)] [CHECK (condition)]`
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: Ident,
    /// `None` only where a query gives the type.
    pub(crate) data_type: Option<DataType>,
    pub(crate) not_null: bool,
    pub(crate) comment: Option<String>,
    pub(crate) default: Option<Expr>,
    pub(crate) generated: Option<Expr>,
    pub(crate) identity: Option<Identity>,
    pub(crate) checks: Vec<Check>,
    /// `INT NOT NULL` as written.
    pub(crate) sql: String,
}

/// `GENERATED {ALWAYS | BY DEFAULT} AS IDENTITY [([START [WITH] number] [INCREMENT [BY] number])]`
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) by_default: bool,
    pub(crate) start: i64,
    pub(crate) step: i64,
}

/// `[CONSTRAINT name] CHECK (condition)`
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: Option<Ident>,
    pub(crate) condition: Expr,
}

#[derive(Debug, Clone)]
pub(crate) struct CreateExternalTable {
    pub(crate) name: ObjectName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Column>,
    /// Columns whose values are in the folder names; those with a type are not in [`Self::columns`].
    pub(crate) partitioned_by: Vec<Column>,
    pub(crate) format: Ident,
    pub(crate) location: String,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    pub(crate) name: ObjectName,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Ident>,
    pub(crate) comment: Option<String>,
    pub(crate) query: Box<Query>,
    /// The query as the person wrote it.
    pub(crate) sql: String,
}

#[derive(Debug, Clone)]
pub(crate) struct CreateSchema {
    pub(crate) name: ObjectName,
    pub(crate) if_not_exists: bool,
    pub(crate) comment: Option<String>,
}

/// What other products make and we do not, with the way out.
const OTHER_OBJECTS: &[(&str, &str)] = &[
    ("TEMPORARY", "A CREATE VIEW or a WITH query keeps no data; a CREATE TABLE can be dropped afterwards."),
    ("TEMP", "A CREATE VIEW or a WITH query keeps no data; a CREATE TABLE can be dropped afterwards."),
    ("GLOBAL", "Tables belong to the lake: CREATE TABLE."),
    ("LOCAL", "Tables belong to the lake: CREATE TABLE."),
    ("TRANSIENT", "Tables belong to the lake: CREATE TABLE."),
    ("UNLOGGED", "Tables belong to the lake: CREATE TABLE."),
    ("UNBOUNDED", "Streams are not read: CREATE EXTERNAL TABLE reads the files that are there."),
    ("MATERIALIZED", "CREATE VIEW runs the query each time; CREATE TABLE ... AS keeps its rows."),
    ("RECURSIVE", "Write WITH RECURSIVE inside the view's query."),
    ("DATABASE", "A lake is one catalog with schemas in it: CREATE SCHEMA."),
    ("CATALOG", "A lake is one catalog with schemas in it: CREATE SCHEMA."),
    ("INDEX", "Tables have no indexes; PARTITIONED BY and file statistics let a query skip files."),
    ("UNIQUE", "Tables have no indexes; PARTITIONED BY and file statistics let a query skip files."),
    ("FUNCTION", "SHOW FUNCTIONS lists what there is."),
    ("PROCEDURE", "Run the statements as a script."),
    ("TRIGGER", "Run the statements as a script."),
    ("SEQUENCE", "row_number() OVER () numbers the rows of a query."),
    ("TYPE", "Use the built-in types; STRUCT<...> groups fields."),
    ("DOMAIN", "Use the built-in types."),
    ("ROLE", "There are the roles admin and reader: CREATE USER name PASSWORD 'text' ROLE reader."),
    ("USER", "Write DROP USER, then CREATE USER."),
];

/// Parses from the word CREATE to the end of the statement. `sql` is the text that the tokens were made from.
pub(super) fn parse(parser: &mut Parser<'_>, sql: &str) -> Result<Create, ParserError> {
    match create(parser, sql) {
        Ok(create) => Ok(create),
        Err(Fault::Syntax(error)) => Err(error),
        Err(Fault::Unsupported(unsupported)) => {
            clause::skip_statement(parser);
            Ok(Create::Unsupported(unsupported))
        }
    }
}

/// Parses `a INT NOT NULL, b VARCHAR`, as kept for an external table.
pub(crate) fn parse_columns(sql: &str) -> Result<Vec<Column>, EngineError> {
    let damaged = |cause: String| EngineError::invalid(format!("the column definitions \"{sql}\" are wrong: {cause}"));
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).map_err(|error| damaged(error.to_string()))?;
    let mut columns = Vec::new();
    loop {
        match column(&mut parser, false, false) {
            Ok(column) => columns.push(column),
            Err(Fault::Syntax(error)) => return Err(damaged(error.to_string())),
            Err(Fault::Unsupported(clause)) => return Err(damaged(format!("{} is not supported", clause.clause))),
        }
        if !parser.consume_token(&Token::Comma) {
            finish(&parser, "a comma or the end").map_err(|error| damaged(error.to_string()))?;
            return Ok(columns);
        }
    }
}

fn create(parser: &mut Parser<'_>, sql: &str) -> Result<Create, Fault> {
    parser.expect_keyword(Keyword::CREATE)?;
    let or_replace = take_words(parser, &["OR", "REPLACE"]);
    if let Some((word, hint)) = OTHER_OBJECTS.iter().find(|(word, _)| is_word(parser, word)) {
        return unsupported(parser, format!("CREATE {word}"), hint);
    }
    if take_words(parser, &["EXTERNAL", "TABLE"]) {
        return Ok(Create::ExternalTable(external_table(parser, or_replace)?));
    }
    if take_word(parser, "TABLE") {
        return table_or_clone(parser, or_replace);
    }
    if take_word(parser, "VIEW") {
        return Ok(Create::View(view(parser, or_replace, sql)?));
    }
    if is_word(parser, "SCHEMA") {
        if or_replace {
            return unsupported(parser, "CREATE OR REPLACE SCHEMA".into(), "Write DROP SCHEMA, then CREATE SCHEMA.");
        }
        parser.next_token();
        return Ok(Create::Schema(schema(parser)?));
    }
    Ok(parser.expected("TABLE, EXTERNAL TABLE, VIEW, MART or SCHEMA after CREATE", parser.peek_token())?)
}

fn table_or_clone(parser: &mut Parser<'_>, or_replace: bool) -> Result<Create, Fault> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(true)?;
    if or_replace && is_word(parser, "SHALLOW") {
        return unsupported(parser, "OR REPLACE with SHALLOW CLONE".into(), "Write DROP TABLE, then CREATE TABLE.");
    }
    if take_words(parser, &["SHALLOW", "CLONE"]) {
        return Ok(Create::Clone(history::clone(parser, name, if_not_exists)?));
    }
    if is_word(parser, "DEEP") || is_word(parser, "CLONE") {
        let hint = "Write SHALLOW CLONE, or CREATE TABLE ... AS SELECT * FROM the table for a copy.";
        return unsupported(parser, "a deep CLONE".into(), hint);
    }
    table(parser, name, or_replace, if_not_exists).map(Create::Table)
}

fn table(
    parser: &mut Parser<'_>,
    name: ObjectName,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<CreateTable, Fault> {
    let mut checks = Vec::new();
    let is_list = parser.peek_token_ref().token == Token::LParen;
    let columns = if is_list { columns(parser, true, Some(&mut checks))? } else { Vec::new() };
    let mut table = CreateTable {
        name,
        or_replace,
        if_not_exists,
        columns,
        checks,
        partitioned_by: Vec::new(),
        comment: None,
        properties: Vec::new(),
        query: None,
    };
    let mut seen = Vec::new();
    while let Some(word) = peek_word(parser) {
        clause::once(parser, &mut seen, &word)?;
        match word.as_str() {
            "USING" => using_delta(parser)?,
            "PARTITIONED" => {
                parser.next_token();
                parser.expect_keyword(Keyword::BY)?;
                table.partitioned_by = partition_names(parser)?;
            }
            "COMMENT" => table.comment = Some(comment(parser)?),
            "TBLPROPERTIES" => {
                parser.next_token();
                table.properties = clause::pairs(parser)?;
            }
            "AS" => {
                parser.next_token();
                table.query = Some(parser.parse_query()?);
                break;
            }
            word => return table_clause(parser, word),
        }
    }
    finish(parser, "PARTITIONED BY, COMMENT, TBLPROPERTIES, USING DELTA, AS or the end of the statement")?;
    Ok(table)
}

/// Names the clauses of other products that a person may expect here.
fn table_clause(parser: &mut Parser<'_>, word: &str) -> Result<CreateTable, Fault> {
    let (clause, hint) = match word {
        "LOCATION" => ("LOCATION", "A table lies in the lake; CREATE EXTERNAL TABLE ... LOCATION names one elsewhere."),
        "STORED" => ("STORED AS", "A table is kept as Delta; CREATE EXTERNAL TABLE reads other files."),
        "PARTITION" => ("PARTITION BY", "Write PARTITIONED BY (column, ...)."),
        "CLUSTER" | "CLUSTERED" | "ORDER" | "SORTED" => {
            (word, "Write PARTITIONED BY (column, ...), or sort the rows on insert.")
        }
        "WITH" | "OPTIONS" => (word, "Write TBLPROPERTIES ('key' = 'value', ...)."),
        "LIKE" | "INHERITS" => (word, "Write CREATE TABLE ... AS SELECT * FROM the table WHERE false."),
        "PRIMARY" | "ON" | "STRICT" | "WITHOUT" | "ENGINE" | "TABLESPACE" | "ROW" => (word, "Leave it out."),
        _ => {
            let expected = "PARTITIONED BY, COMMENT, TBLPROPERTIES, USING DELTA, AS or the end of the statement";
            return Ok(parser.expected(expected, parser.peek_token())?);
        }
    };
    unsupported(parser, format!("{clause} in CREATE TABLE"), hint)
}

fn using_delta(parser: &mut Parser<'_>) -> Result<(), Fault> {
    parser.next_token();
    if take_word(parser, "DELTA") {
        return Ok(());
    }
    let format = parser.peek_token_ref().token.to_string();
    unsupported(parser, format!("USING {format}"), "A table is kept as Delta; CREATE EXTERNAL TABLE reads other files.")
}

pub(super) fn comment(parser: &mut Parser<'_>) -> Result<String, Fault> {
    parser.next_token();
    let _ = parser.consume_token(&Token::Eq);
    Ok(string(parser)?)
}

fn partition_names(parser: &mut Parser<'_>) -> Result<Vec<Ident>, Fault> {
    parser.expect_token(&Token::LParen)?;
    let mut names = Vec::new();
    loop {
        names.push(parser.parse_identifier()?);
        match &parser.peek_token_ref().token {
            Token::LParen => {
                let hint = "Keep the value in a column of its own and partition by that column.";
                return unsupported(parser, "an expression in PARTITIONED BY".into(), hint);
            }
            Token::Word(_) => {
                let hint = "Name the column with its type among the table's columns, and only its name here.";
                return unsupported(parser, "a column type in PARTITIONED BY".into(), hint);
            }
            _ => {}
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(names)
}

/// With `checks` the table is one of the lake, which keeps rules; without it they are refused.
fn columns(parser: &mut Parser<'_>, untyped: bool, mut checks: Option<&mut Vec<Check>>) -> Result<Vec<Column>, Fault> {
    parser.expect_token(&Token::LParen)?;
    let mut columns = Vec::new();
    loop {
        let check = if is_constraint(parser) { rule::check(parser)? } else { None };
        match (check, &mut checks) {
            (Some(check), Some(checks)) => checks.push(check),
            (Some(_), None) => return unsupported(parser, "CHECK in CREATE EXTERNAL TABLE".into(), rule::FILES),
            (None, _) => columns.push(column(parser, untyped, checks.is_some())?),
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

/// Whether a constraint of the table follows rather than a column of such a name.
fn is_constraint(parser: &Parser<'_>) -> bool {
    let word = peek_word(parser).unwrap_or_default();
    let next = parser.peek_nth_token_ref(1).token.to_string().to_uppercase();
    let after = parser.peek_nth_token_ref(2).token.to_string().to_uppercase();
    match word.as_str() {
        "PRIMARY" | "FOREIGN" => next == "KEY",
        "UNIQUE" | "CHECK" => next == "(",
        "CONSTRAINT" => matches!(after.as_str(), "CHECK" | "PRIMARY" | "FOREIGN" | "UNIQUE"),
        _ => false,
    }
}

/// One column of a table of the lake: `ruled` when rules may follow its type.
pub(super) fn column(parser: &mut Parser<'_>, untyped: bool, ruled: bool) -> Result<Column, Fault> {
    let name = parser.parse_identifier()?;
    let ends = matches!(parser.peek_token_ref().token, Token::Comma | Token::RParen);
    let options = ["COMMENT", "NOT", "DEFAULT", "GENERATED", "CHECK", "CONSTRAINT"];
    let bare = untyped && (ends || options.iter().any(|word| is_word(parser, word)));
    let data_type = if bare { None } else { Some(parser.parse_data_type()?) };
    let mut column = Column {
        name,
        data_type,
        not_null: false,
        comment: None,
        default: None,
        generated: None,
        identity: None,
        checks: Vec::new(),
        sql: String::new(),
    };
    loop {
        if take_words(parser, &["NOT", "NULL"]) {
            column.not_null = true;
        } else if take_word(parser, "NULL") {
            column.not_null = false;
        } else if is_word(parser, "COMMENT") {
            column.comment = Some(comment(parser)?);
        } else if !rule::column_rule(parser, &mut column, ruled)? {
            break;
        }
    }
    column.sql = column_sql(&column);
    Ok(column)
}

fn column_sql(column: &Column) -> String {
    let mut sql = column.name.to_string();
    if let Some(data_type) = &column.data_type {
        sql.push_str(&format!(" {data_type}"));
    }
    if column.not_null {
        sql.push_str(" NOT NULL");
    }
    if let Some(comment) = &column.comment {
        sql.push_str(&format!(" COMMENT '{}'", comment.replace('\'', "''")));
    }
    sql
}

fn external_table(parser: &mut Parser<'_>, or_replace: bool) -> Result<CreateExternalTable, Fault> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(true)?;
    let columns =
        if parser.peek_token_ref().token == Token::LParen { columns(parser, false, None)? } else { Vec::new() };
    let (mut format, mut location) = (None, None);
    let (mut partitioned_by, mut options, mut text) = (Vec::new(), Vec::new(), None);
    let mut seen = Vec::new();
    while let Some(word) = peek_word(parser) {
        clause::once(parser, &mut seen, &word)?;
        match word.as_str() {
            "STORED" | "USING" => {
                parser.next_token();
                if word == "STORED" {
                    parser.expect_keyword(Keyword::AS)?;
                }
                format = Some(parser.parse_identifier()?);
            }
            "LOCATION" => {
                parser.next_token();
                if parser.peek_token_ref().token == Token::LParen {
                    return unsupported(
                        parser,
                        "a list of locations".into(),
                        "Write one location; it may hold * and ?.",
                    );
                }
                location = Some(string(parser)?);
            }
            "PARTITIONED" => {
                parser.next_token();
                parser.expect_keyword(Keyword::BY)?;
                partitioned_by = self::columns(parser, true, None)?;
            }
            "OPTIONS" => {
                parser.next_token();
                options = clause::pairs(parser)?;
            }
            "COMMENT" => text = Some(comment(parser)?),
            "WITH" => {
                return unsupported(parser, "WITH in CREATE EXTERNAL TABLE".into(), "Write OPTIONS (name value, ...).");
            }
            "AS" => {
                let hint = "COPY (query) TO writes files; then CREATE EXTERNAL TABLE over them.";
                return unsupported(parser, "CREATE EXTERNAL TABLE ... AS".into(), hint);
            }
            _ => break,
        }
    }
    finish(parser, "STORED AS, LOCATION, PARTITIONED BY, OPTIONS, COMMENT or the end of the statement")?;
    let (Some(format), Some(location)) = (format, location) else {
        return Ok(parser.expected("STORED AS format and LOCATION 'where'", parser.peek_token())?);
    };
    Ok(CreateExternalTable {
        name,
        or_replace,
        if_not_exists,
        columns,
        partitioned_by,
        format,
        location,
        options,
        comment: text,
    })
}

fn view(parser: &mut Parser<'_>, or_replace: bool, sql: &str) -> Result<CreateView, Fault> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(true)?;
    let columns = if parser.peek_token_ref().token == Token::LParen { identifiers(parser)? } else { Vec::new() };
    let comment = if is_word(parser, "COMMENT") { Some(comment(parser)?) } else { None };
    if is_word(parser, "WITH") || is_word(parser, "TBLPROPERTIES") || is_word(parser, "OPTIONS") {
        return unsupported(parser, "options of a view".into(), "Leave them out; COMMENT 'text' before AS is kept.");
    }
    parser.expect_keyword(Keyword::AS)?;
    let start = parser.peek_token_ref().span.start;
    let query = parser.parse_query()?;
    let end = parser.get_current_token().span.end;
    finish(parser, "the end of the view's query")?;
    let sql = clause::slice(sql, start, end).unwrap_or_else(|| query.to_string());
    Ok(CreateView { name, or_replace, if_not_exists, columns, comment, query, sql })
}

fn schema(parser: &mut Parser<'_>) -> Result<CreateSchema, Fault> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = parser.parse_object_name(false)?;
    let comment = if is_word(parser, "COMMENT") { Some(comment(parser)?) } else { None };
    match peek_word(parser).as_deref() {
        Some(word @ ("AUTHORIZATION" | "WITH" | "OPTIONS" | "LOCATION" | "MANAGED" | "DEFAULT" | "CLONE")) => {
            let clause = format!("{word} in CREATE SCHEMA");
            unsupported(parser, clause, "A schema has a name and a COMMENT; leave the rest out.")
        }
        _ => {
            finish(parser, "COMMENT or the end of the statement")?;
            Ok(CreateSchema { name, if_not_exists, comment })
        }
    }
}
