//! `x IN (SELECT y ...)` where it can be told from false that it is unknown.
//!
//! DataFusion makes a mark join of a subquery under OR, NOT, IS NULL or a comparison, whose mark is true or false. In SQL the
//! answer is NULL where no `y` equals `x` and either of them is NULL: with `NOT (x IN (...) AND a)` such a row would be found,
//! and deleted. Here the mark becomes
//!
//! ```text
//! CASE WHEN x IN (...) THEN true
//!      WHEN x IS NULL AND <there are rows> OR <there is a y that is NULL> THEN NULL
//!      ELSE false END
//! ```
//! wherever that makes a difference, and only for columns that can be NULL: a filter takes neither what is false nor what is
//! unknown, so an IN below nothing but AND and OR stays as it is, as does a NOT IN that is a conjunct, for which DataFusion
//! has a join that knows NULL. That one takes no further keys: a correlated NOT IN is written as above, too.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, Result, ScalarValue, Spans,
        config::ConfigOptions,
        not_impl_err,
        tree_node::{Transformed, TreeNode},
    },
    functions_aggregate::count::count_all,
    logical_expr::{
        Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
        expr::{BinaryExpr, Exists, InSubquery},
        lit, not,
        utils::{conjunction, split_conjunction_owned},
        when,
    },
    optimizer::AnalyzerRule,
};

/// Runs when types are equal.
#[derive(Debug)]
pub(crate) struct UnknownIn;

impl AnalyzerRule for UnknownIn {
    fn name(&self) -> &str {
        "unknown_in"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) if asks(&filter.predicate) => {
            let predicate = condition(filter.predicate, filter.input.schema())?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        // Parts that name one side only become filters below it.
        LogicalPlan::Join(mut join) if join.filter.as_ref().is_some_and(asks) => {
            let both = join.left.schema().join(join.right.schema())?;
            join.filter = join.filter.map(|filter| condition(filter, &both)).transpose()?;
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

fn asks(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_)))).unwrap_or(false)
}

/// The condition of a filter or a join.
fn condition(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let conjuncts = split_conjunction_owned(expr);
    let conjuncts = conjuncts.into_iter().map(|conjunct| of_conjunct(conjunct, schema)).collect::<Result<Vec<_>>>()?;
    Ok(conjunction(conjuncts).unwrap_or_else(|| lit(true)))
}

/// What must hold for a row to be taken.
fn of_conjunct(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match negated(expr) {
        Ok(within) if is_correlated(&within.subquery) => whole(within, schema),
        Ok(within) => Ok(Expr::InSubquery(within)),
        Err(expr) => below_and_or(expr, schema),
    }
}

/// A NOT IN, in either of its forms.
fn negated(expr: Expr) -> Result<InSubquery, Expr> {
    match expr {
        Expr::InSubquery(within) if within.negated => Ok(within),
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(within) if !within.negated => Ok(InSubquery { negated: true, ..within }),
            inner => Err(not(inner)),
        },
        expr => Err(expr),
    }
}

/// Here false and unknown are one, until something else than AND and OR comes.
fn below_and_or(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (below_and_or(*left, schema)?, below_and_or(*right, schema)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(left.into(), op, right.into())))
        }
        Expr::InSubquery(within) if !within.negated => Ok(Expr::InSubquery(within)),
        expr => {
            let mended = expr.transform_up(|expr| match expr {
                Expr::InSubquery(within) => whole(within, schema).map(Transformed::yes),
                expr => Ok(Transformed::no(expr)),
            });
            Ok(mended?.data)
        }
    }
}

/// The same with all three of its answers.
fn whole(within: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, negated } = within;
    if is_correlated(&subquery) && aggregates_all(&subquery.subquery) {
        return not_impl_err!(
            "NOT IN of a subquery that aggregates and depends on the row around it is not supported: compare with <>, as in \
             x <> (SELECT max(y) ...)"
        );
    }
    let (field, rows) = (subquery.subquery.schema().field(0), subquery.subquery.as_ref());
    let (value_may_be_null, rows_may_be_null) = (expr.nullable(schema)?, field.is_nullable());
    let mut unknown = Vec::new();
    if value_may_be_null {
        unknown.push(expr.as_ref().clone().is_null().and(any(&subquery, rows.clone())?));
    }
    if rows_may_be_null {
        let is_null = Expr::Column(Column::from(rows.schema().qualified_field(0))).is_null();
        let nulls = LogicalPlanBuilder::from(rows.clone()).filter(is_null)?.build()?;
        unknown.push(any(&subquery, nulls)?);
    }
    let Some(unknown) = unknown.into_iter().reduce(Expr::or) else {
        return Ok(Expr::InSubquery(InSubquery { expr, subquery, negated }));
    };
    let null = Expr::Literal(ScalarValue::Boolean(None), None);
    let found = Expr::InSubquery(InSubquery { expr, subquery, negated: false });
    let answer = when(found, lit(true)).when(unknown, null).otherwise(lit(false))?;
    Ok(if negated { not(answer) } else { answer })
}

/// Whether there is a row among `rows`, which are of the subquery. What is the same for all rows of the outer query is asked
/// once, not for each of them.
fn any(subquery: &Subquery, rows: LogicalPlan) -> Result<Expr> {
    if is_correlated(subquery) {
        let (outer_ref_columns, spans) = (subquery.outer_ref_columns.clone(), subquery.spans.clone());
        return Ok(Expr::Exists(Exists {
            subquery: Subquery { subquery: Arc::new(rows), outer_ref_columns, spans },
            negated: false,
        }));
    }
    // Counted, since DataFusion takes a subquery for NOT NULL where its column is, rows or not.
    let counted =
        LogicalPlanBuilder::from(rows).limit(0, Some(1))?.aggregate(Vec::<Expr>::new(), [count_all()])?.build()?;
    let counted = Subquery { subquery: Arc::new(counted), outer_ref_columns: Vec::new(), spans: Spans::new() };
    Ok(Expr::ScalarSubquery(counted).gt(lit(0_i64)))
}

/// Whether there is an aggregate without keys: it gives a row also where it finds none, which a join does not know.
fn aggregates_all(plan: &LogicalPlan) -> bool {
    let is_of_all = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Aggregate(all) if all.group_expr.is_empty());
    plan.exists(|plan| Ok(is_of_all(plan))).unwrap_or(true)
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}
