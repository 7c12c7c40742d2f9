//! Which of the values of an INSERT does not fit: the row and the expression.

use datafusion::sql::sqlparser::{
    ast::{Query, Select, SelectItem, SetExpr, Spanned, Values},
    tokenizer::Span,
};
use futures::{FutureExt, future::BoxFuture};

use super::Target;
use crate::{error::Place, statement::Context};

/// A value as the statement writes it.
pub(super) struct Given {
    pub place: Option<Place>,
    pub sql: String,
}

/// The value for the column at `column`, of the row or SELECT that is refused for it.
pub(super) async fn value(context: &Context, target: &Target<'_>, source: Query, column: usize) -> Option<Given> {
    let (span, sql) = in_body(context, target, &source, *source.body.clone(), column).await?;
    Some(Given { place: Place::of_token_span(span), sql })
}

fn in_body<'a>(
    context: &'a Context,
    target: &'a Target<'_>,
    source: &'a Query,
    body: SetExpr,
    column: usize,
) -> BoxFuture<'a, Option<(Span, String)>> {
    async move {
        match body {
            SetExpr::Values(values) => {
                let row = first_bad_row(context, target, source, &values, column).await;
                let row = values.rows.get(row)?;
                row.get(column).or(row.last()).map(written)
            }
            SetExpr::Select(select) => item(&select, column),
            SetExpr::Query(query) => in_body(context, target, &query, *query.body.clone(), column).await,
            SetExpr::SetOperation { left, right, .. } => {
                let bad = fails(context, target, source, left.as_ref().clone(), column).await;
                in_body(context, target, source, *if bad { left } else { right }, column).await
            }
            _ => None,
        }
    }
    .boxed()
}

/// The shortest beginning of the rows that is refused ends with the row looked for.
async fn first_bad_row(
    context: &Context,
    target: &Target<'_>,
    source: &Query,
    values: &Values,
    column: usize,
) -> usize {
    let (mut good, mut bad) = (0, values.rows.len());
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let rows = values.rows[..middle].to_vec();
        match fails(context, target, source, SetExpr::Values(Values { rows, ..values.clone() }), column).await {
            true => bad = middle,
            false => good = middle,
        }
    }
    bad - 1
}

async fn fails(context: &Context, target: &Target<'_>, source: &Query, body: SetExpr, column: usize) -> bool {
    let part = Query { body: Box::new(body), order_by: None, limit_clause: None, ..source.clone() };
    target.plan(context, part).await.is_err_and(|misfit| misfit.column == Some(column))
}

/// The item that gives the column; one behind a `*` cannot be counted.
fn item(select: &Select, column: usize) -> Option<(Span, String)> {
    let items = &select.projection;
    let wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    match items.iter().take(column + 1).find(|item| wildcard(item)) {
        Some(wildcard) => Some(written(wildcard)),
        None => match items.get(column).or(items.last())? {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(written(expr)),
            other => Some(written(other)),
        },
    }
}

fn written(part: &(impl Spanned + ToString)) -> (Span, String) {
    (part.span(), part.to_string())
}
