//! `a IS [NOT] DISTINCT FROM b AND c` means `(a IS DISTINCT FROM b) AND c`.
//!
//! sqlparser takes everything that follows for the right side: `b AND c`. Where that is a boolean the answer would be
//! wrong without a word, so the tree is put right before anything looks at it. Parentheses are nodes of the tree, so an
//! AND or OR that stands there without them can only have come from this.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, VisitMut, VisitorMut};

use super::Ast;

/// Puts the tree right.
pub(super) fn mend(ast: &mut Ast) {
    let _ = ast.visit_mut(&mut Mend);
}

/// The same for an expression that stands alone.
pub(super) fn mend_expr(expr: &mut Expr) {
    let _ = VisitMut::visit(expr, &mut Mend);
}

struct Mend;

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        mend_node(expr);
        ControlFlow::Continue(())
    }
}

/// How tightly a node binds: what binds less than its parent cannot stand on the parent's right without parentheses.
fn strength(expr: &Expr) -> Option<u8> {
    match expr {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => Some(1),
        Expr::BinaryOp { op: BinaryOperator::And, .. } => Some(2),
        Expr::UnaryOp { op: UnaryOperator::Not, .. } => Some(3),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => Some(4),
        _ => None,
    }
}

/// The operand that ends where the node ends.
fn right(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::BinaryOp { right: operand, .. }
        | Expr::UnaryOp { expr: operand, .. }
        | Expr::IsDistinctFrom(_, operand)
        | Expr::IsNotDistinctFrom(_, operand) => Some(operand),
        _ => None,
    }
}

/// Turns `x strong (l weak r)` into `(x strong l) weak r`, as far down as it goes. What is below `expr` is right already.
fn mend_node(expr: &mut Expr) {
    let Some(strong) = strength(expr) else { return };
    let Some(operand) = right(expr) else { return };
    if !(is_and_or(operand) && strength(operand).is_some_and(|weak| weak < strong)) {
        return;
    }
    let mut weak = std::mem::replace(operand, Expr::value(Value::Null));
    if let Expr::BinaryOp { left, .. } = &mut weak {
        std::mem::swap(operand, left);
        mend_node(expr);
        std::mem::swap(expr, left);
    }
    *expr = weak;
}

fn is_and_or(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::{SetExpr, Statement};

    use super::*;
    use crate::parser::parse;

    /// The condition after WHERE, written out with a pair of brackets around every AND, OR, NOT and IS DISTINCT FROM.
    fn condition(text: &str) -> String {
        let Ok(Ast::Sql(statement)) = parse(&format!("SELECT 1 FROM t WHERE {text}")) else { return "no query".into() };
        let Statement::Query(query) = *statement else { return "no query".into() };
        let SetExpr::Select(select) = *query.body else { return "no query".into() };
        select.selection.as_ref().map(bracketed).unwrap_or_default()
    }

    fn bracketed(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), left, right } => {
                format!("[{} {op} {}]", bracketed(left), bracketed(right))
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("[NOT {}]", bracketed(expr)),
            Expr::IsDistinctFrom(left, right) => format!("[{} <> {}]", bracketed(left), bracketed(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("[{} = {}]", bracketed(left), bracketed(right)),
            other => other.to_string(),
        }
    }

    #[test]
    fn what_follows_is_distinct_from_does_not_belong_to_it() {
        let cases = [
            ("a IS DISTINCT FROM b AND c", "[[a <> b] AND c]"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "[[a = b] OR [c AND d]]"),
            ("x AND a IS DISTINCT FROM b OR c", "[[x AND [a <> b]] OR c]"),
            ("x OR a IS DISTINCT FROM b AND c OR d", "[x OR [[[a <> b] AND c] OR d]]"),
            ("NOT a IS DISTINCT FROM b AND c", "[[NOT [a <> b]] AND c]"),
            ("x AND NOT a IS DISTINCT FROM b + 1 OR c", "[[x AND [NOT [a <> b + 1]]] OR c]"),
            ("a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d AND e", "[[a <> b] AND [[c = d] AND e]]"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e", "[[[a <> b] AND [c <> d]] OR e]"),
        ];
        for (text, meaning) in cases {
            assert_eq!(condition(text), meaning, "{text}");
        }
    }

    #[test]
    fn brackets_stay() {
        assert_eq!(condition("a IS DISTINCT FROM (b AND c)"), "[a <> (b AND c)]");
        assert_eq!(condition("x AND (y OR z)"), "[x AND (y OR z)]");
        assert_eq!(condition("NOT (a AND b)"), "[NOT (a AND b)]");
    }
}
