//! `NOT IN (SELECT ...)` where the library would refuse it, or forget NULLs.
//!
//! The library makes an anti join of a `NOT IN` that knows of NULLs, for a subquery that reads nothing of the row outside and
//! stands in WHERE behind ANDs alone. Of one that does it refuses two columns to join by and takes NULLs of other rows for
//! this one's, and inside of an OR it forgets them. A condition keeps a row when it is TRUE, and there
//!
//! ```text
//! x NOT IN (SELECT y ...)  is TRUE when  NOT EXISTS (SELECT y ... WHERE y = x)
//!                                    AND NOT EXISTS (SELECT y ... WHERE y IS NULL)
//!                                    AND (x IS NOT NULL OR NOT EXISTS (SELECT y ...))
//! ```
//! which are joins by equal values. Runs before types are made equal.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    functions_aggregate::expr_fn::count,
    logical_expr::{
        BinaryExpr, Distinct, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, expr::InSubquery,
        lit, not_exists, scalar_subquery,
    },
    optimizer::AnalyzerRule,
};

/// What the subquery yields.
const ITEM: &str = "__boathouse_item";

#[derive(Debug)]
pub(crate) struct NotInSubqueries;

impl AnalyzerRule for NotInSubqueries {
    fn name(&self) -> &str {
        "not_in_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(node).data()
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
    if !filter.predicate.exists(|part| Ok(matches!(part, Expr::InSubquery(_))))? {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let place = Place { wanted: true, is_conjunct: true };
    let predicate = mend(filter.predicate.clone(), place, filter.input.schema())?;
    if !predicate.transformed {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate.data, filter.input)?)))
}

/// Where a part of a condition stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The value that matters: behind an odd number of NOTs FALSE is what keeps a row. Any other value is as good as NULL.
    wanted: bool,
    /// Nothing but ANDs is around it.
    is_conjunct: bool,
}

fn mend(expr: Expr, place: Place, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let is_conjunct = place.is_conjunct && op == Operator::And;
            let place = Place { is_conjunct, ..place };
            let (left, right) = (mend(*left, place, schema)?, mend(*right, place, schema)?);
            let transformed = left.transformed || right.transformed;
            let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new(Expr::BinaryExpr(both), transformed, TreeNodeRecursion::Continue))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(within) if !within.negated && place.wanted => {
                Ok(match no_match(&within, place, schema)? {
                    Some(mended) => Transformed::yes(mended),
                    None => Transformed::no(Expr::Not(Box::new(Expr::InSubquery(within)))),
                })
            }
            inner => {
                let place = Place { wanted: !place.wanted, is_conjunct: false };
                Ok(mend(inner, place, schema)?.update_data(|inner| Expr::Not(Box::new(inner))))
            }
        },
        // IN yields FALSE where NOT IN yields TRUE.
        Expr::InSubquery(within) if within.negated == place.wanted => Ok(match no_match(&within, place, schema)? {
            Some(mended) if place.wanted => Transformed::yes(mended),
            Some(mended) => Transformed::yes(Expr::Not(Box::new(mended))),
            None => Transformed::no(Expr::InSubquery(within)),
        }),
        other => Ok(Transformed::no(other)),
    }
}

/// TRUE where `NOT IN` is, and FALSE elsewhere. `None` where it is left to the library.
fn no_match(within: &InSubquery, place: Place, schema: &DFSchema) -> Result<Option<Expr>> {
    let (value, subquery) = (within.expr.as_ref(), within.subquery.subquery.as_ref());
    // A row that is there twice is no more than one.
    let subquery = match subquery {
        LogicalPlan::Distinct(Distinct::All(input)) => input.as_ref(),
        other => other,
    };
    let is_correlated = !subquery.all_out_ref_exprs().is_empty();
    if place.is_conjunct && !is_correlated || value.is_volatile() || value.exists(|part| Ok(reads_more(part)))? {
        return Ok(None);
    }
    let is_plain = is_plain(subquery)?;
    if is_correlated && !is_plain {
        return Ok(None);
    }
    let (qualifier, field) = subquery.schema().qualified_field(0);
    let item_may_be_null = field.is_nullable();
    let value_may_be_null = value.nullable(schema).unwrap_or(true);
    let items = LogicalPlanBuilder::from(subquery.clone()).project([Expr::from((qualifier, field)).alias(ITEM)])?;
    let item = Expr::Column(Column::new_unqualified(ITEM));
    let outside = outside(value.clone(), schema)?;
    let equal = item.clone().eq(outside.clone());
    if !is_plain {
        // Run more than once it might yield other rows.
        let mut maybe_equal = equal;
        if item_may_be_null {
            maybe_equal = maybe_equal.or(item.is_null());
        }
        if value_may_be_null {
            maybe_equal = maybe_equal.or(outside.is_null());
        }
        return Ok(Some(not_exists(Arc::new(items.filter(maybe_equal)?.build()?))));
    }
    let mut found = not_exists(Arc::new(items.clone().filter(equal)?.build()?));
    if item_may_be_null {
        found = found.and(is_empty(items.clone().filter(item.is_null())?, is_correlated)?);
    }
    if value_may_be_null {
        found = found.and(value.clone().is_not_null().or(is_empty(items, is_correlated)?));
    }
    Ok(Some(found))
}

/// Whether a subquery yields no row. One that is the same for all rows is run once.
fn is_empty(subquery: LogicalPlanBuilder, is_correlated: bool) -> Result<Expr> {
    if is_correlated {
        return Ok(not_exists(Arc::new(subquery.build()?)));
    }
    let one = subquery.limit(0, Some(1))?.aggregate(Vec::<Expr>::new(), [count(lit(1_i64))])?.build()?;
    Ok(scalar_subquery(Arc::new(one)).eq(lit(0_i64)))
}

/// Whether a part of a value reads more than the row.
fn reads_more(part: &Expr) -> bool {
    matches!(
        part,
        Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
    )
}

/// A value of the row as the subquery sees it.
fn outside(value: Expr, schema: &DFSchema) -> Result<Expr> {
    let mended = value.transform(|part| match part {
        Expr::Column(column) => {
            let field = schema.qualified_field_from_column(&column)?.1.clone();
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    });
    mended.data()
}

/// Whether a query only reads, joins and filters rows: its conditions may be moved up, and it yields the same each time.
fn is_plain(plan: &LogicalPlan) -> Result<bool> {
    let other = plan.exists(|node| {
        let is_known = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_) => true,
            LogicalPlan::Join(join) => join.join_type == JoinType::Inner,
            _ => false,
        };
        Ok(!is_known || node.expressions().iter().any(Expr::is_volatile))
    })?;
    Ok(!other)
}
