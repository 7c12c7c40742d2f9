//! `PREPARE name [(type, ...)] AS statement`: the statement may be any of ours that sqlparser's tree holds, also with WITH
//! before it.

use datafusion::sql::sqlparser::{
    ast::{DataType, Ident, Statement},
    keywords::Keyword,
    parser::{Parser as SqlParser, ParserError},
    tokenizer::Token,
};

use super::{Ast, Parser};
use crate::EngineError;

/// Parses what follows the keyword PREPARE.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Ast, EngineError> {
    let (name, data_types) = head(&mut parser.inner.parser).map_err(|error| parser.fault(error))?;
    if let Token::Word(word) = parser.inner.parser.peek_token().token
        && matches!(word.keyword, Keyword::PREPARE | Keyword::EXPLAIN)
    {
        return Err(parser.expected("a query, INSERT, UPDATE, DELETE or MERGE"));
    }
    match parser.statement()? {
        Ast::Sql(statement) => Ok(Ast::Sql(Box::new(Statement::Prepare { name, data_types, statement }))),
        Ast::Evolve(_) => Err(refused("WITH SCHEMA EVOLUTION")),
        Ast::ByName(_) => Err(refused("BY NAME")),
        Ast::Replace(_) => Err(refused("INSERT ... REPLACE")),
        _ => Err(EngineError::unsupported("only queries, INSERT, UPDATE, DELETE and MERGE can be prepared")),
    }
}

fn refused(clause: &str) -> EngineError {
    EngineError::unsupported(format!("{clause} is not supported here"))
        .with_hint("It belongs to a statement of its own: send that with parameters instead of PREPARE.")
}

fn head(parser: &mut SqlParser<'_>) -> Result<(Ident, Vec<DataType>), ParserError> {
    let name = parser.parse_identifier()?;
    let mut data_types = Vec::new();
    if parser.consume_token(&Token::LParen) {
        data_types = parser.parse_comma_separated(SqlParser::parse_data_type)?;
        parser.expect_token(&Token::RParen)?;
    }
    parser.expect_keyword_is(Keyword::AS)?;
    Ok((name, data_types))
}

#[cfg(test)]
mod tests {
    use crate::parser::{Ast, parse};

    #[test]
    fn what_can_be_sent_can_be_prepared() {
        for (sql, tree) in [
            ("PREPARE p AS SELECT $1", "PREPARE p AS SELECT $1"),
            ("PREPARE p (INT, MAP<INT, INT>) AS SELECT $1, $2", "PREPARE p (INT, Map(INT, INT)) AS SELECT $1, $2"),
            ("PREPARE p AS WITH c AS (SELECT 1) SELECT * FROM c", "PREPARE p AS WITH c AS (SELECT 1) SELECT * FROM c"),
            (
                "PREPARE p AS WITH c AS (SELECT 1 AS a) DELETE FROM t WHERE b IN (SELECT a FROM c) AND d = $1",
                "PREPARE p AS DELETE FROM t WHERE b IN (SELECT a FROM (SELECT 1 AS a) AS c) AND d = $1",
            ),
            (
                "PREPARE p AS WITH c AS (SELECT $1 AS a) INSERT INTO t SELECT a FROM c",
                "PREPARE p AS INSERT INTO t WITH c AS (SELECT $1 AS a) SELECT a FROM c",
            ),
        ] {
            let Ok(Ast::Sql(statement)) = parse(sql) else { panic!("{sql}: {:?}", parse(sql).err()) };
            assert_eq!(statement.to_string(), tree);
        }
    }

    #[test]
    fn what_cannot_be_prepared_says_so() {
        for (sql, told) in [
            ("PREPARE p AS INSERT INTO t BY NAME SELECT 1 AS a", "BY NAME is not supported here"),
            ("PREPARE p AS INSERT WITH SCHEMA EVOLUTION INTO t SELECT 1 AS a", "WITH SCHEMA EVOLUTION is not"),
            ("PREPARE p AS INSERT INTO t REPLACE WHERE a = 1 SELECT 1", "INSERT ... REPLACE is not supported here"),
            ("PREPARE p AS VACUUM t", "only queries, INSERT"),
            ("PREPARE p AS PREPARE q AS SELECT 1", "syntax error: expected a query"),
        ] {
            let error = parse(sql).unwrap_err();
            assert!(error.message.starts_with(told), "{sql}: {}", error.message);
        }
    }
}
