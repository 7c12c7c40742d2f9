//! From an optimized plan to one that can be executed: DataFusion's way, after a look at what the optimizer left over and
//! at what stands there several times.
//!
//! A subquery of which no join could be made is still an expression by now. The library's error for it says no more than
//! that there is one, wherever it stands; in a condition it is its form that is not supported.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::context::QueryPlanner,
    logical_expr::{Expr, LogicalPlan},
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
};

use super::shared::{self, SharedPlanner};
use crate::EngineError;

#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        check_conditions(plan)?;
        let marked = shared::mark(plan)?;
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SharedPlanner)]);
        planner.create_physical_plan(marked.as_ref().unwrap_or(plan), session).await
    }
}

fn check_conditions(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        if matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::TableScan(_)) {
            node.apply_expressions(|expr| {
                let asks = |part: &Expr| matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
                match expr.exists(|part| Ok(asks(part)))? {
                    true => Err(left_over().into()),
                    false => Ok(TreeNodeRecursion::Continue),
                }
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn left_over() -> EngineError {
    EngineError::unsupported(
        "a subquery of IN or EXISTS may name the row around it in WHERE alone, below an aggregate in equalities alone",
    )
    .with_hint("Join what it reads to the table itself: SELECT DISTINCT t.* FROM t JOIN u ON u.k < t.k GROUP BY ....")
}
