//! `l[1].x`, `f(a).x`: a field behind something that is no name. The planner takes such a field as a text only.
//!
//! Behind a name, `t.s.x`, the planner itself finds out what is table, column and field.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Value, VisitorMut};

use super::{Ast, with::folded};

/// Says fields as texts everywhere in a statement.
pub(super) fn mend(ast: &mut Ast) {
    let _ = ast.visit_mut(&mut Mend);
}

struct Mend;

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundFieldAccess { root, access_chain } = expr else { return ControlFlow::Continue(()) };
        let is_name = |access: &AccessExpr| matches!(access, AccessExpr::Dot(Expr::Identifier(_)));
        let names = match root.as_ref() {
            Expr::Identifier(_) => access_chain.iter().take_while(|access| is_name(access)).count(),
            _ => 0,
        };
        for access in access_chain.iter_mut().skip(names) {
            if let AccessExpr::Dot(Expr::Identifier(ident)) = access {
                *access = AccessExpr::Dot(Expr::value(Value::SingleQuotedString(folded(ident))));
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::{Ast, parse};

    #[test]
    fn fields_behind_names_stay_names() {
        for (sql, tree) in [
            ("SELECT l[1].X, l[1].\"Value\".x", "SELECT l[1].'x', l[1].'Value'.'x'"),
            ("SELECT t.s.l[1].x, t.s.x, s.x", "SELECT t.s.l[1].'x', t.s.x, s.x"),
            ("SELECT f(a).b, (s).x[1].y", "SELECT f(a).'b', (s).'x'[1].'y'"),
        ] {
            let Ok(Ast::Sql(statement)) = parse(sql) else { panic!("{sql}: {:?}", parse(sql).err()) };
            assert_eq!(statement.to_string(), tree);
        }
    }
}
