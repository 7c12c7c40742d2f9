//! Subqueries of IN, EXISTS and ANY that depend on the row around them, in forms of which a join cannot be made.
//!
//! DataFusion makes a join of such a subquery: the conditions that name the row around it are taken from where they stand up
//! to the top. Where something on that way depends on which rows there are, that changes the answer, and not always with an
//! error: `EXISTS (... LIMIT 1 OFFSET 5)` was true for every row that has a match, a window function saw the rows of all
//! others, `EXISTS (SELECT count(*) ...)` was false where nothing matches, an outer join lost the rows that it fills up. A
//! DELETE would take the wrong rows. So these forms are refused by name, with what to write instead. One has a meaning that
//! is easily said otherwise: an aggregate without GROUP BY and HAVING yields one row, whatever it finds. What a subquery in
//! a value reads is held to the same.
//!
//! ```text
//! x IN (SELECT count(*) ...)   -->   x = (SELECT count(*) ...)          EXISTS (SELECT count(*) ...)   -->   true
//! ```

use datafusion::{
    common::{
        DataFusionError, Diagnostic, JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Distinct, Expr, FetchType, Limit, LogicalPlan, Operator, SkipType, Subquery, binary_expr,
        expr::{Exists, InSubquery, SetComparison},
        expr_rewriter::NamePreserver,
        lit,
    },
    optimizer::AnalyzerRule,
};

use crate::EngineError;

/// What stands in the way, and what to do about it.
type Fault = (&'static str, &'static str);

const LIMIT: Fault = (
    "LIMIT or OFFSET",
    "Number the rows once: x IN (SELECT y FROM (SELECT k, y, row_number() OVER (PARTITION BY k ORDER BY y) AS n FROM u) AS r \
     WHERE r.k = t.k AND r.n <= 3).",
);
const ORDER_BY: Fault = ("ORDER BY", "Leave it out: the order of the rows changes nothing there.");
const UNION: Fault = ("UNION", "Write one for each side: x IN (SELECT ...) OR x IN (SELECT ...).");
const INTERSECT: Fault =
    ("INTERSECT or EXCEPT", "Write one for each side: x IN (SELECT ...) AND x [NOT] IN (SELECT ...).");
const WINDOW: Fault = (
    "a window function",
    "Compute it for all keys: x IN (SELECT y FROM (SELECT k, max(y) OVER (PARTITION BY k) AS y FROM u) AS r WHERE r.k = t.k).",
);
const DISTINCT_ON: Fault = ("DISTINCT ON", LIMIT.1);
const OUTER_JOIN: Fault = (
    "naming that row below an outer join",
    "Join what the subquery reads to the table itself: SELECT DISTINCT t.* FROM t JOIN ....",
);
const AGGREGATE: Fault = (
    "a condition on an aggregate without GROUP BY",
    "It yields a row where it finds none: compare its value, as in (SELECT count(*) FROM u WHERE u.k = t.k) = 0.",
);

/// Runs when types are equal, before the rules that make use of NULL.
#[derive(Debug)]
pub(crate) struct CorrelatedSubqueries;

impl AnalyzerRule for CorrelatedSubqueries {
    fn name(&self) -> &str {
        "correlated_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut any = false;
    plan.apply_expressions(|expr| {
        any |= expr.exists(|expr| Ok(subquery(expr).is_some()))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !any {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(mend)?.update_data(|expr| name.restore(expr)))
    })
}

/// The subquery of an expression of which a join is made, if it depends on the row around it.
fn subquery(expr: &Expr) -> Option<&Subquery> {
    let subquery = match expr {
        Expr::Exists(exists) => &exists.subquery,
        Expr::InSubquery(within) => &within.subquery,
        Expr::SetComparison(comparison) => &comparison.subquery,
        Expr::ScalarSubquery(subquery) => subquery,
        _ => return None,
    };
    (!subquery.outer_ref_columns.is_empty()).then_some(subquery)
}

fn mend(expr: Expr) -> Result<Transformed<Expr>> {
    let Some(subquery) = subquery(&expr) else { return Ok(Transformed::no(expr)) };
    let one_row = one_row(&subquery.subquery);
    let found = match (&expr, one_row) {
        // There is a row, whatever is below.
        (Expr::Exists(_), Some(_)) => None,
        (_, Some(input)) => fault(input, false)?,
        // Whether it yields one row is asked elsewhere, and LIMIT, ORDER BY and UNION are told there.
        (Expr::ScalarSubquery(_), None) => fault(&subquery.subquery, false)?
            .filter(|(what, _)| [WINDOW.0, DISTINCT_ON.0, OUTER_JOIN.0, AGGREGATE.0].contains(what)),
        (_, None) => fault(&subquery.subquery, matches!(expr, Expr::Exists(_)))?,
    };
    if let Some(found) = found {
        return Err(refused(&expr, subquery, found));
    }
    if one_row.is_none() || matches!(expr, Expr::ScalarSubquery(_)) {
        return Ok(Transformed::no(expr));
    }
    Ok(Transformed::yes(match expr {
        Expr::Exists(Exists { negated, .. }) => lit(!negated),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let operator = if negated { Operator::NotEq } else { Operator::Eq };
            binary_expr(*expr, operator, Expr::ScalarSubquery(subquery))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, .. }) => {
            binary_expr(*expr, op, Expr::ScalarSubquery(subquery))
        }
        other => other,
    }))
}

/// What the aggregate reads of a plan that yields one row, however many it reads.
fn one_row(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty().then_some(&aggregate.input),
        LogicalPlan::Projection(projection) => one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => one_row(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => one_row(&sort.input),
        _ => None,
    }
}

/// What a condition on the row around would have to pass on its way up, and must not.
fn fault(plan: &LogicalPlan, is_exists: bool) -> Result<Option<Fault>> {
    let mut found = None;
    // As long as nothing above depends on how many rows there are.
    let mut is_top = true;
    plan.apply(|node| {
        let inputs: Vec<bool> = node.inputs().iter().map(|input| !input.all_out_ref_exprs().is_empty()).collect();
        if !inputs.contains(&true) {
            return Ok(TreeNodeRecursion::Jump);
        }
        found = match node {
            LogicalPlan::Limit(limit) if is_exists && is_top && only_cuts(limit)? => None,
            LogicalPlan::Limit(_) => Some(LIMIT),
            LogicalPlan::Sort(_) => Some(ORDER_BY),
            LogicalPlan::Union(_) => Some(UNION),
            LogicalPlan::Window(_) => Some(WINDOW),
            LogicalPlan::Distinct(Distinct::On(_)) => Some(DISTINCT_ON),
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(AGGREGATE),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => Some(INTERSECT),
                JoinType::Full => Some(OUTER_JOIN),
                JoinType::Left if inputs.get(1) == Some(&true) => Some(OUTER_JOIN),
                JoinType::Right if inputs.first() == Some(&true) => Some(OUTER_JOIN),
                _ => None,
            },
            _ => None,
        };
        is_top &= matches!(node, LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether a LIMIT leaves a row where there is one.
fn only_cuts(limit: &Limit) -> Result<bool> {
    let skips_none = matches!(limit.get_skip_type()?, SkipType::Literal(0));
    Ok(skips_none && matches!(limit.get_fetch_type()?, FetchType::Literal(rows) if rows != Some(0)))
}

fn refused(expr: &Expr, subquery: &Subquery, (what, hint): Fault) -> DataFusionError {
    let of = match expr {
        Expr::Exists(_) => " of EXISTS",
        Expr::InSubquery(_) => " of IN",
        Expr::SetComparison(_) => " of ANY or ALL",
        _ => "",
    };
    let message = format!("{what} is not supported in a subquery{of} that depends on the row around it");
    let error = DataFusionError::from(EngineError::unsupported(message).with_hint(hint));
    error.with_diagnostic(Diagnostic::new_error(what, subquery.spans.first()))
}
