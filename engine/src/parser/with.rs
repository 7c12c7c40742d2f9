//! `WITH name AS (query), ...` before INSERT, UPDATE, DELETE and MERGE.
//!
//! An INSERT takes the queries into its own. The others have no place for them: each name in FROM, USING or a subquery gives
//! way to its query, as the planner would do it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        Cte, Ident, Insert, ObjectName, ObjectNamePart, Query, Statement, TableAlias, TableFactor, VisitMut,
        VisitorMut, With, helpers::attached_token::AttachedToken,
    },
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use super::Ast;
use crate::{EngineError, ErrorKind, error::Place};

/// Tables that stand in the place of names.
const TABLES_MAX: usize = 1_000;

/// Whether the WITH that `tokens` begin with stands before a statement that changes rows.
pub(super) fn is_next(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0;
    for token in tokens {
        match &token.token {
            Token::SemiColon => return false,
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.quote_style.is_none() => match word.keyword {
                Keyword::INSERT | Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE => return true,
                Keyword::SELECT | Keyword::VALUES | Keyword::FROM | Keyword::TABLE => return false,
                _ => {}
            },
            _ => {}
        }
    }
    false
}

/// Parses from the word WITH to the end of its queries.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<With, ParserError> {
    let with_token = AttachedToken(parser.next_token());
    let recursive = parser.parse_keyword(Keyword::RECURSIVE);
    let cte_tables = parser.parse_comma_separated(Parser::parse_cte)?;
    Ok(With { with_token, recursive, cte_tables })
}

/// Puts the queries into the statement that follows them.
pub(super) fn put_in(with: With, ast: &mut Ast, sql: &str) -> Result<(), EngineError> {
    match ast {
        Ast::Sql(statement) | Ast::Evolve(statement) | Ast::ByName(statement) => match statement.as_mut() {
            Statement::Insert(insert) => into_insert(with, insert, sql),
            Statement::Update(update) => {
                let target = update.table.relation.clone();
                inline(with, update, sql)?;
                update.table.relation = target;
                Ok(())
            }
            Statement::Delete(delete) => {
                let target = delete.from.clone();
                inline(with, delete, sql)?;
                delete.from = target;
                Ok(())
            }
            Statement::Merge(merge) => {
                let target = merge.table.clone();
                inline(with, merge, sql)?;
                merge.table = target;
                Ok(())
            }
            _ => Err(EngineError::internal("WITH before a statement that takes none")),
        },
        Ast::Replace(replace) => into_insert(with, &mut replace.insert, sql),
        _ => Err(EngineError::internal("WITH before a statement that takes none")),
    }
}

fn into_insert(with: With, insert: &mut Insert, sql: &str) -> Result<(), EngineError> {
    let Some(source) = insert.source.as_mut() else {
        let error = EngineError::unsupported("WITH before an INSERT without a query is not supported");
        return Err(error.with_hint("Leave it out.").at(sql, Place::of_token_span(with.with_token.0.span)));
    };
    match &mut source.with {
        None => source.with = Some(with),
        Some(own) => {
            own.recursive |= with.recursive;
            own.cte_tables.splice(0..0, with.cte_tables);
        }
    }
    Ok(())
}

fn inline<V: VisitMut>(with: With, statement: &mut V, sql: &str) -> Result<(), EngineError> {
    let place = Place::of_token_span(with.with_token.0.span);
    if with.recursive {
        let error = EngineError::unsupported("WITH RECURSIVE before UPDATE, DELETE or MERGE is not supported");
        return Err(error.with_hint("Keep the query in a view, and read the view.").at(sql, place));
    }
    let too_many = || {
        let message = format!("the queries of WITH name more than {TABLES_MAX} tables");
        EngineError::new(ErrorKind::Exhausted, message).at(sql, place)
    };
    let mut inline = Inline::default();
    for Cte { alias, mut query, .. } in with.cte_tables {
        inline.tables = 0;
        if VisitMut::visit(&mut query, &mut inline).is_break() {
            return Err(too_many());
        }
        let tables = inline.tables;
        inline.queries.push(Named { alias, query, tables, is_used: false });
    }
    inline.tables = 0;
    if VisitMut::visit(statement, &mut inline).is_break() {
        return Err(too_many());
    }
    match inline.queries.iter().find(|query| !query.is_used) {
        None => Ok(()),
        Some(Named { alias, .. }) => {
            let error = EngineError::invalid(format!("nothing reads \"{}\", a query of WITH", folded(&alias.name)));
            Err(error.with_hint("Leave it out.").at(sql, Place::of_token_span(alias.name.span)))
        }
    }
}

/// A query of WITH.
struct Named {
    alias: TableAlias,
    query: Box<Query>,
    /// Tables that it names.
    tables: usize,
    is_used: bool,
}

#[derive(Default)]
struct Inline {
    queries: Vec<Named>,
    /// Names that the queries around have for queries of their own.
    hidden: Vec<Vec<String>>,
    /// Tables named so far.
    tables: usize,
}

impl VisitorMut for Inline {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let own = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| folded(&cte.alias.name));
        self.hidden.push(own.collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    /// After what is in it: a query may read a table of its own name.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.tables += 1;
        let TableFactor::Table { name: ObjectName(parts), alias, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let [ObjectNamePart::Identifier(ident)] = parts.as_slice() else { return ControlFlow::Continue(()) };
        let name = folded(ident);
        if self.hidden.iter().flatten().any(|hidden| *hidden == name) {
            return ControlFlow::Continue(());
        }
        let Some(found) = self.queries.iter_mut().rev().find(|query| folded(&query.alias.name) == name) else {
            return ControlFlow::Continue(());
        };
        found.is_used = true;
        self.tables += found.tables;
        if self.tables > TABLES_MAX {
            return ControlFlow::Break(());
        }
        let mut alias = alias.take().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: ident.clone(),
            columns: Vec::new(),
            at: None,
        });
        if alias.columns.is_empty() {
            alias.columns.clone_from(&found.alias.columns);
        }
        let subquery = found.query.clone();
        *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
        ControlFlow::Continue(())
    }
}

/// A name as the planner reads it.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

#[cfg(test)]
mod tests {
    use crate::parser::{Ast, parse};

    fn text(sql: &str) -> String {
        match parse(sql) {
            Ok(Ast::Sql(statement)) => statement.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("ERROR {}", error.message),
        }
    }

    #[test]
    fn queries_go_where_their_names_stand() {
        for (sql, tree) in [
            (
                "WITH c AS (SELECT 1 AS a) INSERT INTO t SELECT a FROM c",
                "INSERT INTO t WITH c AS (SELECT 1 AS a) SELECT a FROM c",
            ),
            (
                "WITH c AS (SELECT 1), d AS (SELECT * FROM C) DELETE FROM t USING d x WHERE a IN (SELECT b FROM c)",
                "DELETE FROM t USING (SELECT * FROM (SELECT 1) AS C) x WHERE a IN (SELECT b FROM (SELECT 1) AS c)",
            ),
            (
                "WITH t (b) AS (SELECT a FROM t VERSION AS OF 3) UPDATE t SET a = 1 FROM t AS old WHERE t.a = old.b",
                "UPDATE t SET a = 1 FROM (SELECT a FROM t VERSION AS OF 3) AS old (b) WHERE t.a = old.b",
            ),
            (
                "WITH c AS (SELECT 1) DELETE FROM t WHERE a IN (WITH c AS (SELECT 2) SELECT * FROM c) OR a IN (SELECT * FROM c)",
                "DELETE FROM t WHERE a IN (WITH c AS (SELECT 2) SELECT * FROM c) OR a IN (SELECT * FROM (SELECT 1) AS c)",
            ),
        ] {
            assert_eq!(text(sql), tree, "{sql}");
        }
        let merge = "WITH c AS (SELECT 1 AS a) MERGE INTO t USING c ON t.a = c.a WHEN NOT MATCHED THEN INSERT *";
        assert!(text(merge).starts_with("MERGE INTO t USING (SELECT 1 AS a) AS c ON t.a = c.a"), "{}", text(merge));
        assert!(text("WITH c AS (SELECT 1) SELECT * FROM c").starts_with("WITH c"));
    }

    #[test]
    fn what_cannot_be_put_in_is_refused() {
        for (sql, told) in [
            ("WITH RECURSIVE c AS (SELECT 1) DELETE FROM t USING c", "WITH RECURSIVE before UPDATE"),
            ("WITH c AS (SELECT 1) DELETE FROM t", "nothing reads \"c\""),
            ("WITH c AS (SELECT 1) INSERT INTO t DEFAULT VALUES", "WITH before an INSERT without a query"),
        ] {
            assert!(text(sql).starts_with(&format!("ERROR {told}")), "{sql}: {}", text(sql));
        }
        let doubled: Vec<String> = (1..40).map(|n| format!("c{n} AS (SELECT * FROM c{0}, c{0} AS x)", n - 1)).collect();
        let sql = format!("WITH c0 AS (SELECT 1), {} DELETE FROM t USING c39", doubled.join(", "));
        assert!(text(&sql).starts_with("ERROR the queries of WITH name more than 1000 tables"), "{}", text(&sql));
    }
}
