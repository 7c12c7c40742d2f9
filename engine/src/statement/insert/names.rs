//! Names for values that have none.

use datafusion::sql::sqlparser::ast;

/// Gives each of the first `count` values of a query a name of its own: the planner wants names to differ, and an INSERT has
/// no use for them.
pub(super) fn name_values(body: &mut ast::SetExpr, count: usize) {
    match body {
        ast::SetExpr::Select(select) => {
            for (n, item) in select.projection.iter_mut().enumerate().take(count) {
                if let ast::SelectItem::UnnamedExpr(expr) = item {
                    let alias = ast::Ident::with_quote('"', format!("value {}", n + 1));
                    *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        ast::SetExpr::SetOperation { left, right, .. } => {
            name_values(left, count);
            name_values(right, count);
        }
        _ => {}
    }
}
