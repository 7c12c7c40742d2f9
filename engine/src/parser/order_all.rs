//! `ORDER BY ALL [ASC | DESC] [NULLS { FIRST | LAST }]`: by every column of the result, from left to right, as in DuckDB and
//! Databricks.
//!
//! Which columns a query has, a star, a UNION and a join know only when they are planned. So the clause is put around the
//! query as it stands, as ORDER BY of a mark, and a rule (`optimizer/order_all.rs`) puts the columns in the mark's place.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Distinct, Expr, Ident, OrderByKind, Query, SetExpr, Value, Values, VisitorMut},
    tokenizer::Span,
};

use super::Ast;
use crate::{EngineError, error::Place};

/// A text by which nobody orders.
pub(crate) const EVERY_COLUMN: &str = "\u{1f}every column";

/// Puts the mark in the place of ALL.
pub(super) fn mend(ast: &mut Ast, sql: &str) -> Result<(), EngineError> {
    let mut mend = Mend::default();
    let _ = ast.visit_mut(&mut mend);
    match mend.on {
        Some(span) => Err(EngineError::unsupported("ORDER BY ALL is not supported with DISTINCT ON")
            .with_hint("Name the columns: which row stays depends on them.")
            .at(sql, Place::of_token_span(span))),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Mend {
    /// Where ALL stands behind DISTINCT ON.
    on: Option<Span>,
}

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(OrderByKind::Expressions(exprs)) = query.order_by.as_mut().map(|order| &mut order.kind) else {
            return ControlFlow::Continue(());
        };
        let [only] = exprs.as_mut_slice() else { return ControlFlow::Continue(()) };
        let span = match &only.expr {
            Expr::Identifier(Ident { value, quote_style: None, span }) if value.eq_ignore_ascii_case("all") => *span,
            _ => return ControlFlow::Continue(()),
        };
        if let SetExpr::Select(select) = query.body.as_ref()
            && matches!(select.distinct, Some(Distinct::On(_)))
        {
            self.on = Some(span);
            return ControlFlow::Break(());
        }
        only.expr = Expr::Value(Value::SingleQuotedString(EVERY_COLUMN.to_owned()).with_span(span));
        // VALUES have no columns but those of the result, and INSERT looks for them where they stand.
        if !matches!(query.body.as_ref(), SetExpr::Values(_)) {
            let body = std::mem::replace(query.body.as_mut(), nothing());
            *query.body = SetExpr::Query(Box::new(alone(body)));
        }
        ControlFlow::Continue(())
    }
}

fn nothing() -> SetExpr {
    SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
}

/// A query without any clause around it.
fn alone(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn all_is_no_column() {
        let mark = "'\u{1f}every column'";
        for (sql, tree) in [
            ("SELECT * FROM t ORDER BY ALL", "(SELECT * FROM t) ORDER BY {mark}"),
            (
                "WITH c AS (SELECT a FROM t ORDER BY all DESC) SELECT DISTINCT a FROM c ORDER BY ALL NULLS FIRST LIMIT 2",
                "WITH c AS ((SELECT a FROM t) ORDER BY {mark} DESC) (SELECT DISTINCT a FROM c) ORDER BY {mark} NULLS FIRST LIMIT 2",
            ),
            ("SELECT a FROM t ORDER BY \"all\"", "SELECT a FROM t ORDER BY \"all\""),
            ("SELECT a FROM t ORDER BY all, b", "SELECT a FROM t ORDER BY all, b"),
            ("SELECT a FROM t UNION SELECT 1 ORDER BY ALL", "(SELECT a FROM t UNION SELECT 1) ORDER BY {mark}"),
        ] {
            let Ok(super::Ast::Sql(statement)) = parse(sql) else { panic!("{sql}: {:?}", parse(sql).err()) };
            assert_eq!(statement.to_string(), tree.replace("{mark}", mark));
        }
    }
}
