//! Plans parts of a failed statement alone, to find the smallest that fails in the same way.

use std::{collections::HashMap, sync::Arc};

use datafusion::sql::sqlparser::ast::{
    Expr, Query, SelectItem, SetExpr, Spanned, With, helpers::attached_token::AttachedToken,
};

use super::tree::{Node, Scope, expressions};
use crate::{
    error::Place,
    parser::{self, Ast},
    statement::Context,
};

/// Plans made for one fault.
const PROBES_MAX: usize = 300;

/// The place of the smallest expression that, planned alone, fails with `message`.
pub(super) async fn smallest(context: &Context, ast: &Ast, message: &str, is_physical: bool) -> Option<Place> {
    let nodes = expressions(ast);
    let mut probe = Probe { context, message, is_physical, left: PROBES_MAX, sound: HashMap::new() };
    let mut found = None;
    // Parts follow their whole: what fails replaces what was found when it is a part of it.
    for (index, node) in nodes.iter().enumerate() {
        if node.parent == found && probe.fails(node).await {
            found = Some(index);
        }
    }
    Place::of_token_span(nodes[found?].expr.span())
}

struct Probe<'a> {
    context: &'a Context,
    message: &'a str,
    /// The fault was found while planning for execution.
    is_physical: bool,
    left: usize,
    /// Whether a scope can be planned without the expression, by its address.
    sound: HashMap<usize, bool>,
}

impl Probe<'_> {
    async fn fails(&mut self, node: &Node) -> bool {
        if matches!(node.expr, Expr::Identifier(_) | Expr::Value(_)) {
            return false;
        }
        let scope = Arc::as_ptr(&node.scope).addr();
        let sound = match self.sound.get(&scope) {
            Some(sound) => *sound,
            None => {
                let sound = !self.same_fault(&node.scope, None).await;
                self.sound.insert(scope, sound);
                sound
            }
        };
        sound && self.same_fault(&node.scope, Some(&node.expr)).await
    }

    /// Whether `SELECT expr FROM scope` fails with the message looked for.
    async fn same_fault(&mut self, scope: &Scope, expr: Option<&Expr>) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let Some(query) = query(scope, expr) else { return false };
        let planned = self.context.plan_query(query).await.and_then(|plan| self.context.analyze(plan));
        match planned {
            Err(error) => error.message == self.message,
            Ok(plan) if self.is_physical => {
                let physical = self.context.state.create_physical_plan(&plan).await;
                physical.is_err_and(|error| self.context.error(error).message == self.message)
            }
            Ok(_) => false,
        }
    }
}

fn query(scope: &Scope, expr: Option<&Expr>) -> Option<Query> {
    let mut query = *parser::parse_query("SELECT 1").ok()?;
    if !scope.with.is_empty() {
        query.with = Some(With {
            with_token: AttachedToken::empty(),
            recursive: scope.recursive,
            cte_tables: scope.with.clone(),
        });
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = scope.from.clone();
        select.named_window = scope.windows.clone();
        if let Some(expr) = expr {
            select.projection = vec![SelectItem::UnnamedExpr(expr.clone())];
        }
    }
    Some(query)
}
