//! `INSERT INTO [TABLE] table [(column, ...)] REPLACE { WHERE condition | USING (column, ...) } query`, which sqlparser does
//! not know.

use datafusion::sql::sqlparser::{
    ast::{self, Expr, ObjectName, Statement, TableObject},
    keywords::Keyword,
    parser::{IsOptional, Parser, ParserError},
    tokenizer::Token,
};

use super::parse::DIALECT;

/// An INSERT whose rows take the place of others.
#[derive(Debug, Clone)]
pub(crate) struct Replace {
    pub(crate) insert: ast::Insert,
    pub(crate) which: Which,
    /// `WITH SCHEMA EVOLUTION`, which the parser takes out before.
    pub(crate) evolves: bool,
}

/// Which rows go.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// Those that match the condition.
    Where(Expr),
    /// Those that have the values of a row given in these columns.
    Using(Vec<ObjectName>),
}

/// Whether REPLACE WHERE or REPLACE USING follows the table of an INSERT that comes next.
pub(super) fn is_next(parser: &Parser<'_>) -> bool {
    let is = |at: usize, keyword: Keyword| matches!(&parser.peek_nth_token_ref(at).token, Token::Word(word) if word.keyword == keyword);
    let mut at = 2 + usize::from(is(2, Keyword::TABLE));
    if !is(0, Keyword::INSERT) || !is(1, Keyword::INTO) {
        return false;
    }
    at += 1;
    while parser.peek_nth_token_ref(at).token == Token::Period {
        at += 2;
    }
    if parser.peek_nth_token_ref(at).token == Token::LParen {
        while !matches!(parser.peek_nth_token_ref(at).token, Token::RParen | Token::EOF) {
            at += 1;
        }
        at += 1;
    }
    is(at, Keyword::REPLACE) && (is(at + 1, Keyword::WHERE) || is(at + 1, Keyword::USING))
}

/// Parses from the word INSERT to the end of the query.
pub(super) fn parse(parser: &mut Parser<'_>, evolves: bool) -> Result<Replace, ParserError> {
    // The tree has many parts that this statement cannot have.
    let model = Parser::parse_sql(&DIALECT, "INSERT INTO t SELECT 1")?;
    let Some(Statement::Insert(mut insert)) = model.into_iter().next() else {
        return Err(ParserError::ParserError("INSERT is not an INSERT".into()));
    };
    insert.insert_token = ast::helpers::attached_token::AttachedToken(parser.next_token());
    parser.expect_keyword(Keyword::INTO)?;
    insert.has_table_keyword = parser.parse_keyword(Keyword::TABLE);
    insert.table = TableObject::TableName(parser.parse_object_name(false)?);
    insert.columns = parser.parse_parenthesized_qualified_column_list(IsOptional::Optional, false)?;
    parser.expect_keyword(Keyword::REPLACE)?;
    let which = match parser.parse_keyword(Keyword::USING) {
        true => Which::Using(parser.parse_parenthesized_qualified_column_list(IsOptional::Mandatory, false)?),
        false => {
            parser.expect_keyword(Keyword::WHERE)?;
            Which::Where(parser.parse_expr()?)
        }
    };
    insert.source = Some(parser.parse_query()?);
    Ok(Replace { insert, which, evolves })
}

#[cfg(test)]
mod tests {
    use crate::parser::{Ast, parse};

    #[test]
    fn the_condition_ends_where_the_query_begins() {
        for sql in [
            "INSERT INTO t REPLACE WHERE a > 3 AND b = 'x' SELECT 1",
            "INSERT INTO TABLE main.t (a, b) REPLACE WHERE a IN (1, 2) VALUES (1, 2)",
            "INSERT INTO t REPLACE WHERE a IS NULL WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT WITH SCHEMA EVOLUTION INTO t REPLACE WHERE a = 1 SELECT 1 AS a",
            "INSERT INTO main.t (a, b) REPLACE USING (a, b) (SELECT 1, 2)",
        ] {
            assert!(matches!(parse(sql), Ok(Ast::Replace(_))), "{sql}: {:?}", parse(sql).err());
        }
        assert!(!matches!(parse("INSERT INTO t SELECT 1"), Ok(Ast::Replace(_))));
        assert!(parse("INSERT INTO t REPLACE USING () SELECT 1").is_err());
    }
}
