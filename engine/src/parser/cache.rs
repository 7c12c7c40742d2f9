//! `CACHE TABLE t [WHERE predicate]`, `CACHE SELECT ...`, `UNCACHE TABLE [IF EXISTS] t`.

use datafusion::sql::sqlparser::{
    ast::{ObjectName, Query, SetExpr, TableFactor},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::{
    clause::{finish, is_nth_word, is_word, take_word},
    parse::DIALECT,
};

#[derive(Debug, Clone)]
pub(crate) enum Cache {
    Table(CacheTable),
    Select(Box<Query>),
}

#[derive(Debug, Clone)]
pub(crate) struct CacheTable {
    /// `SELECT * FROM name [WHERE predicate]`
    pub rows: Box<Query>,
    /// Without WHERE.
    pub whole: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Uncache {
    pub name: ObjectName,
    pub if_exists: bool,
}

/// Parses from the keyword CACHE on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Cache, ParserError> {
    parser.next_token();
    let is_query = is_word(parser, "SELECT") || is_word(parser, "WITH");
    if is_query || parser.peek_token_ref().token == Token::LParen {
        return Ok(Cache::Select(parser.parse_query()?));
    }
    if !take_word(parser, "TABLE") {
        return parser.expected("TABLE or SELECT", parser.peek_token());
    }
    let name = parser.parse_object_name(false)?;
    let selection = if parser.parse_keyword(Keyword::WHERE) { Some(parser.parse_expr()?) } else { None };
    finish(parser, "WHERE or the end of the statement")?;
    let whole = selection.is_none();
    let mut rows = Parser::new(&DIALECT).try_with_sql("SELECT * FROM t")?.parse_query()?;
    if let SetExpr::Select(select) = rows.body.as_mut() {
        select.selection = selection;
        for from in &mut select.from {
            if let TableFactor::Table { name: there, .. } = &mut from.relation {
                there.clone_from(&name);
            }
        }
    }
    Ok(Cache::Table(CacheTable { rows, whole }))
}

/// Parses from the word UNCACHE on.
pub(super) fn uncache(parser: &mut Parser<'_>) -> Result<Uncache, ParserError> {
    parser.next_token();
    if !take_word(parser, "TABLE") {
        return parser.expected("TABLE", parser.peek_token());
    }
    let if_exists = is_word(parser, "IF") && is_nth_word(parser, 1, "EXISTS");
    if if_exists {
        parser.next_token();
        parser.next_token();
    }
    let name = parser.parse_object_name(false)?;
    finish(parser, "the end of the statement")?;
    Ok(Uncache { name, if_exists })
}

impl CacheTable {
    /// The table's name.
    pub fn name(&self) -> Option<ObjectName> {
        let SetExpr::Select(select) = self.rows.body.as_ref() else { return None };
        match &select.from.first()?.relation {
            TableFactor::Table { name, .. } => Some(name.clone()),
            _ => None,
        }
    }
}

impl Cache {
    /// The query whose files it brings near.
    pub(super) fn query(&self) -> &Query {
        match self {
            Self::Table(table) => &table.rows,
            Self::Select(query) => query,
        }
    }

    pub(super) fn query_mut(&mut self) -> &mut Query {
        match self {
            Self::Table(table) => &mut table.rows,
            Self::Select(query) => query,
        }
    }
}
