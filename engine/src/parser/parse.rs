//! One statement's text to its AST.

use datafusion::sql::{
    parser::{DFParser, DFParserBuilder, Statement as DFStatement},
    sqlparser::{
        ast::{ObjectName, Query, Statement},
        dialect::{Dialect, GenericDialect},
        keywords::Keyword,
        parser::Parser as SqlParser,
        tokenizer::{Token, TokenWithSpan, Tokenizer},
    },
};

use super::{
    Ast, access, alter, cache, clause::Unsupported, copy, create, describe, evolution, explain, fault, field,
    from_first, history, kill, like, limit, map_type, mart, merge, number, order_all, placeholder, planned_type,
    precedence, prepare, refuse, replace, show, vacuum, version, with,
};
use crate::{EngineError, error::Place};

/// The dialect takes Postgres' and Databricks' spellings side by side.
pub(super) static DIALECT: GenericDialect = GenericDialect {};

/// DataFusion's parser together with the text, so that faults can show their place.
pub(crate) struct Parser<'a> {
    pub inner: DFParser<'a>,
    pub sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    versions: Vec<version::Taken>,
    /// An INSERT that is still to come lets its table's columns evolve.
    evolves: bool,
    /// An INSERT that is still to come goes by the names of its query's columns.
    by_name: bool,
}

impl<'a> Parser<'a> {
    fn new(sql: &'a str) -> Result<Self, EngineError> {
        let dialect: &dyn Dialect = &DIALECT;
        let tokens = Tokenizer::new(dialect, sql)
            .tokenize_with_location()
            .map_err(|error| fault::from_tokenizer(&error, sql))?;
        limit::check_tokens(&tokens, sql)?;
        let tokens = placeholder::number(tokens, sql)?;
        let (mut tokens, versions) = version::take(tokens, sql)?;
        let evolves = evolution::take(&mut tokens);
        let by_name = evolution::take_by_name(&mut tokens);
        from_first::put_in(&mut tokens);
        map_type::put_in(&mut tokens);
        let inner = DFParserBuilder::new(tokens.clone())
            .with_dialect(&DIALECT)
            .with_recursion_limit(limit::RECURSION_MAX)
            .build()?;
        Ok(Self { inner, sql, tokens, versions, evolves, by_name })
    }

    /// Parses one statement from here on, leaving what follows it.
    pub fn statement(&mut self) -> Result<Ast, EngineError> {
        let parser = &mut self.inner.parser;
        let Token::Word(word) = parser.peek_token().token else { return self.sql_statement() };
        match word.keyword {
            Keyword::CREATE | Keyword::ALTER | Keyword::DROP if access::is_next(parser, "USER") => {
                Ok(Ast::User(access::user(parser).map_err(|error| self.fault(error))?))
            }
            Keyword::CREATE | Keyword::DROP if access::is_next(parser, "TOKEN") => {
                Ok(Ast::Token(access::token(parser).map_err(|error| self.fault(error))?))
            }
            Keyword::CREATE | Keyword::ALTER | Keyword::DROP if mart::is_next(parser) => {
                Ok(Ast::Mart(Box::new(mart::parse(parser, self.sql).map_err(|error| self.fault(error))?)))
            }
            Keyword::CREATE => match create::parse(parser, self.sql).map_err(|error| self.fault(error))? {
                create::Create::Unsupported(clause) => Err(self.unsupported(&clause)),
                create => Ok(Ast::Create(Box::new(create))),
            },
            Keyword::COPY => match copy::parse(parser).map_err(|error| self.fault(error))? {
                copy::Copy::Unsupported(clause) => Err(self.unsupported(&clause)),
                copy => Ok(Ast::Copy(Box::new(copy))),
            },
            Keyword::ALTER | Keyword::COMMENT => match alter::parse(parser).map_err(|error| self.fault(error))? {
                alter::Alter::Unsupported(clause) => Err(self.unsupported(&clause)),
                alter::Alter::Table(table) => Ok(Ast::Alter(table)),
                alter::Alter::Rename(rename) => Ok(Ast::Rename(rename)),
            },
            Keyword::WITH if with::is_next(self.tokens.get(parser.index()..).unwrap_or_default()) => {
                let with = with::parse(parser).map_err(|error| self.fault(error))?;
                let mut ast = self.statement()?;
                with::put_in(with, &mut ast, self.sql)?;
                Ok(ast)
            }
            Keyword::INSERT if replace::is_next(parser) => {
                let evolves = std::mem::take(&mut self.evolves);
                let replace = replace::parse(parser, evolves).map_err(|error| self.fault(error))?;
                Ok(Ast::Replace(Box::new(replace)))
            }
            Keyword::MERGE => {
                let merge = merge::parse(parser).map_err(|error| self.fault(error))?;
                let merge = Box::new(Statement::Merge(merge));
                Ok(if std::mem::take(&mut self.evolves) { Ast::Evolve(merge) } else { Ast::Sql(merge) })
            }
            Keyword::EXPLAIN => {
                parser.next_token();
                Ok(Ast::Explain(explain::parse(self)?))
            }
            Keyword::PREPARE => {
                parser.next_token();
                prepare::parse(self)
            }
            Keyword::VACUUM => Ok(Ast::Vacuum(vacuum::parse(parser).map_err(|error| self.fault(error))?)),
            Keyword::CACHE => Ok(Ast::Cache(cache::parse(parser).map_err(|error| self.fault(error))?)),
            Keyword::UNCACHE => Ok(Ast::Uncache(cache::uncache(parser).map_err(|error| self.fault(error))?)),
            Keyword::KILL => Ok(Ast::Kill(kill::parse(parser).map_err(|error| self.fault(error))?)),
            Keyword::SHOW => Ok(Ast::Show(show::parse(parser).map_err(|error| self.fault(error))?)),
            Keyword::DESCRIBE | Keyword::DESC => {
                parser.next_token();
                Ok(Ast::Describe(describe::parse(self)?))
            }
            Keyword::RESET if matches!(&parser.peek_nth_token(1).token, Token::Word(w) if w.keyword == Keyword::ALL) => {
                parser.next_token();
                parser.next_token();
                Ok(Ast::Reset(None))
            }
            _ if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("RESTORE") => {
                Ok(Ast::Recover(history::restore(parser).map_err(|error| self.fault(error))?))
            }
            _ if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("UNDROP") => {
                Ok(Ast::Recover(history::undrop(parser).map_err(|error| self.fault(error))?))
            }
            _ if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("REFRESH") && mart::is_next(parser) => {
                Ok(Ast::Mart(Box::new(mart::parse(parser, self.sql).map_err(|error| self.fault(error))?)))
            }
            _ => self.sql_statement(),
        }
    }

    fn sql_statement(&mut self) -> Result<Ast, EngineError> {
        match self.inner.parse_statement() {
            Ok(DFStatement::Statement(statement)) if self.evolves && matches!(*statement, Statement::Insert(_)) => {
                (self.evolves, self.by_name) = (false, false);
                Ok(Ast::Evolve(statement))
            }
            Ok(DFStatement::Statement(statement)) if self.by_name && matches!(*statement, Statement::Insert(_)) => {
                self.by_name = false;
                Ok(Ast::ByName(statement))
            }
            Ok(DFStatement::Statement(statement)) => Ok(Ast::Sql(statement)),
            Ok(DFStatement::Reset(datafusion::sql::parser::ResetStatement::Variable(name))) => {
                Ok(Ast::Reset(Some(name)))
            }
            Ok(DFStatement::CreateExternalTable(_) | DFStatement::CopyTo(_) | DFStatement::Explain(_)) => {
                Err(EngineError::internal("a statement took the wrong way through the parser"))
            }
            Err(error) => Err(self.datafusion_fault(error)),
        }
    }

    /// An error of sqlparser's, with the place it speaks of.
    pub fn fault(&self, error: datafusion::sql::sqlparser::parser::ParserError) -> EngineError {
        fault::from_parser(error, self.sql, &self.tokens)
    }

    /// An error of DataFusion's part of the parser.
    pub fn datafusion_fault(&self, error: datafusion::error::DataFusionError) -> EngineError {
        fault::from_datafusion(error, self.sql, &self.tokens)
    }

    /// `expected x, found y` at the next token.
    pub fn expected(&self, expected: &str) -> EngineError {
        fault::expected(expected, &self.inner.parser.peek_token(), self.sql)
    }

    fn unsupported(&self, clause: &Unsupported) -> EngineError {
        EngineError::unsupported(format!("{} is not supported", clause.clause))
            .with_hint(clause.hint.clone())
            .at(self.sql, Place::of_token_span(clause.span))
    }

    fn end(&mut self) -> Result<(), EngineError> {
        if self.evolves {
            return Err(EngineError::unsupported("WITH SCHEMA EVOLUTION is not supported here")
                .with_hint("It belongs to an INSERT or a MERGE that is a statement of its own."));
        }
        if self.by_name {
            return Err(EngineError::unsupported("BY NAME is not supported here")
                .with_hint("It belongs to an INSERT without REPLACE that is a statement of its own."));
        }
        let parser = &mut self.inner.parser;
        let mut semicolons = 0;
        while parser.consume_token(&Token::SemiColon) {
            semicolons += 1;
        }
        if parser.peek_token().token == Token::EOF {
            return Ok(());
        }
        if semicolons > 0 {
            return Err(fault::at_token(
                EngineError::invalid("more than one statement in one text").with_hint("Send them one by one."),
                &parser.peek_token(),
                self.sql,
            ));
        }
        Err(fault::expected("the end of the statement", &parser.peek_token(), self.sql))
    }
}

/// Parses exactly one statement (semicolons after it are fine) and refuses what cannot be carried out.
pub(crate) fn parse(sql: &str) -> Result<Ast, EngineError> {
    let mut parser = Parser::new(sql)?;
    while parser.inner.parser.consume_token(&Token::SemiColon) {}
    if parser.inner.parser.peek_token().token == Token::EOF {
        return Err(EngineError::invalid("the statement is empty"));
    }
    let ast = parser.statement().and_then(|ast| parser.end().map(|()| ast));
    let mut ast = ast.map_err(|error| fault::time_travel(sql, &parser.tokens).unwrap_or(error))?;
    version::put_back(&mut ast, parser.versions, sql)?;
    precedence::mend(&mut ast);
    field::mend(&mut ast);
    planned_type::mend(&mut ast);
    from_first::mend(&mut ast);
    number::mend(&mut ast, sql)?;
    like::mend(&mut ast, sql)?;
    order_all::mend(&mut ast, sql)?;
    refuse::check(&ast, sql)?;
    Ok(ast)
}

/// The name in a text that holds nothing else.
pub(crate) fn object_name(text: &str) -> Option<ObjectName> {
    let mut parser = SqlParser::new(&DIALECT).try_with_sql(text).ok()?;
    let name = parser.parse_object_name(false).ok()?;
    (parser.peek_token().token == Token::EOF).then_some(name)
}

/// Parses a query kept as text, such as a view's.
pub(crate) fn parse_query(sql: &str) -> Result<Box<Query>, EngineError> {
    match parse(sql)? {
        Ast::Sql(statement) => match *statement {
            Statement::Query(query) => Ok(query),
            _ => Err(EngineError::invalid("this is not a query")),
        },
        _ => Err(EngineError::invalid("this is not a query")),
    }
}

/// Checks that a text is one condition, and nothing besides.
pub(crate) fn parse_condition(text: &str) -> Result<(), EngineError> {
    let tokens =
        Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|error| fault::from_tokenizer(&error, text))?;
    limit::check_tokens(&tokens, text)?;
    let mut parser =
        SqlParser::new(&DIALECT).with_recursion_limit(limit::RECURSION_MAX).with_tokens_with_locations(tokens.clone());
    parser.parse_expr().map_err(|error| fault::from_parser(error, text, &tokens))?;
    match parser.peek_token() {
        end if end.token == Token::EOF => Ok(()),
        next => Err(fault::expected("the end of the condition", &next, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> String {
        parse(sql).unwrap_err().to_string()
    }

    #[test]
    fn spellings_of_postgres_and_databricks_parse() {
        for sql in [
            "SELECT a::int, $1, b -> 'x' FROM t WHERE a ILIKE 'x%' ORDER BY 1 LIMIT 5;",
            "SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) AS n FROM t QUALIFY n = 1",
            "CREATE TABLE s.t (a INT NOT NULL COMMENT 'x', b STRING, c DECIMAL(10, 2)) USING DELTA PARTITIONED BY (a) \
             COMMENT 'y' TBLPROPERTIES ('delta.appendOnly' = 'true')",
            "CREATE OR REPLACE TABLE t PARTITIONED BY (a) AS SELECT 1 AS a",
            "CREATE EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION 'x' OPTIONS ('header' 'true')",
            "CREATE VIEW v (a) AS SELECT 1",
            "INSERT INTO t (a, b) VALUES (1, $1)",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
            "EXPLAIN (ANALYZE, VERBOSE) SELECT 1",
            "EXPLAIN ANALYZE VERBOSE SELECT 1",
            "EXPLAIN (SELECT 1)",
            "DESCRIBE DETAIL s.t",
            "DESC t",
            "DESCRIBE HISTORY s.t LIMIT 3",
            "DESCRIBE history",
            "RESTORE TABLE s.t TO VERSION AS OF 3",
            "RESTORE t TO TIMESTAMP AS OF '2026-01-01'",
            "UNDROP TABLE s.t",
            "SHOW DROPPED TABLES IN s",
            "CREATE TABLE IF NOT EXISTS x SHALLOW CLONE s.t VERSION AS OF 3",
            "CACHE TABLE s.t WHERE a > 1 AND b IN (SELECT c FROM d)",
            "CACHE SELECT a, b FROM t WHERE a = $1 LIMIT 3",
            "CACHE WITH c AS (SELECT 1) SELECT * FROM c",
            "UNCACHE TABLE IF EXISTS s.t",
            "DROP TABLE t PURGE",
            "KILL QUERY 'x'",
            "kill 'x'",
            "SHOW TABLES IN s LIKE 'a%'",
            "SHOW COLUMNS FROM s.t",
            "SHOW CREATE TABLE t",
            "SHOW SCHEMAS",
            "SET batch_size = 100",
            "SET TIME ZONE 'UTC'",
            "RESET ALL",
            "RESET batch_size",
            "USE s",
            "PREPARE p (INT) AS SELECT $1",
            "EXECUTE p(1)",
            "DEALLOCATE ALL",
            "SELECT * FROM 'a/*.parquet'",
            "SELECT * FROM read_csv('a.csv', header => true)",
            "/* c */ SELECT 1 -- end\n;;",
        ] {
            assert!(parse(sql).is_ok(), "{sql}: {}", refused(sql));
        }
    }

    #[test]
    fn a_fault_shows_its_place() {
        assert_eq!(
            refused("SELECT a\nFROM t WHER a = 1"),
            "syntax error: expected the end of the statement, found \"a\"\nLINE 2: FROM t WHER a = 1\n                    ^"
        );
        assert_eq!(
            refused("SELCT 1"),
            "syntax error: expected an SQL statement, found \"SELCT\"\nLINE 1: SELCT 1\n        ^^^^^\n\
             HINT: Did you mean \"SELECT\"?"
        );
        assert_eq!(
            refused("SELECT 'a"),
            "syntax error: unterminated string literal\nLINE 1: SELECT 'a\n               ^"
        );
    }

    #[test]
    fn two_statements_and_none_are_refused() {
        assert!(refused("SELECT 1; SELECT 2").starts_with("more than one statement"));
        assert!(refused(" ; ").starts_with("the statement is empty"));
    }
}
