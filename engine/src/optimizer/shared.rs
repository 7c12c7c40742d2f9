//! What stands in a query several times is computed once.
//!
//! The library puts the text of a CTE or view in the place of each of its names and plans all of them by themselves: TPC-H
//! q15 read and grouped its part of lineitem twice. Here GROUP BYs that came out of the optimizer alike, over the same
//! snapshots, get one node whose rows all of them read ([`SharedExec`]).
//!
//! That is done only where one of the readers asks for all of the rows. A reader below a join or a LIMIT may tell the scan
//! while it runs which rows it needs, and two small reads beat a large one.

use std::{cmp::Ordering, collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{
        DFSchemaRef, Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    datasource::source_as_provider,
    logical_expr::{
        Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        physical_planning_context::PhysicalPlanningContext,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
};

use crate::exec::SharedExec;

/// Stands over a part of the plan that is there several times. Those of one `id` are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Repeated {
    id: usize,
    input: LogicalPlan,
}

impl PartialOrd for Repeated {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Repeated {
    fn name(&self) -> &str {
        "Repeated"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Repeated: id={}", self.id)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { id: self.id, input }),
            _ => internal_err!("what is repeated has one input"),
        }
    }
}

/// A part of a plan and the tables that it reads, by their addresses: a plan that is compared looks at names alone.
type Part = (LogicalPlan, Vec<usize>);

#[derive(Debug, Default)]
struct Seen {
    count: usize,
    /// Whether one of them surely needs all its rows.
    whole: bool,
}

/// The optimized plan with a [`Repeated`] over all that should be computed once; `None` when there is nothing.
pub(super) fn mark(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let (mut groups, mut recursive) = (0, false);
    plan.apply_with_subqueries(|node| {
        groups += usize::from(matches!(node, LogicalPlan::Aggregate(_)));
        // Its parts are run again and again, with other rows.
        recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    if groups < 2 || recursive {
        return Ok(None);
    }
    let mut seen: HashMap<Part, Seen> = HashMap::new();
    let mut waiting = vec![(plan.clone(), true)];
    while let Some((node, whole)) = waiting.pop() {
        if let Some(part) = part(&node)? {
            let seen = seen.entry(part).or_default();
            seen.count += 1;
            seen.whole |= whole;
        }
        let whole_below = whole && hands_all(&node);
        waiting.extend(node.inputs().into_iter().map(|input| (input.clone(), whole_below)));
        node.apply_subqueries(|subquery| {
            waiting.extend(subquery.inputs().into_iter().map(|input| (input.clone(), true)));
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let repeated = seen.into_iter().filter(|(_, seen)| seen.count > 1 && seen.whole);
    let ids: HashMap<Part, usize> = repeated.enumerate().map(|(id, (part, _))| (part, id)).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let marked = plan.clone().transform_down_with_subqueries(|node| {
        let id = part(&node)?.and_then(|part| ids.get(&part).copied());
        let Some(id) = id else { return Ok(Transformed::no(node)) };
        let node = Arc::new(Repeated { id, input: node });
        Ok(Transformed::new(LogicalPlan::Extension(Extension { node }), true, TreeNodeRecursion::Jump))
    })?;
    Ok(Some(marked.data))
}

/// Whether an operator reads all rows of its input when all of its own are read, and tells it nothing while it runs.
fn hands_all(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Sort(sort) => sort.fetch.is_none(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_) => true,
        _ => false,
    }
}

/// A GROUP BY that gives the same rows wherever it stands.
fn part(node: &LogicalPlan) -> Result<Option<Part>> {
    if !matches!(node, LogicalPlan::Aggregate(_)) {
        return Ok(None);
    }
    let mut tables = Vec::new();
    let mut fixed = true;
    node.apply(|part| {
        fixed &= match part {
            LogicalPlan::TableScan(scan) => match source_as_provider(&scan.source) {
                Ok(table) => {
                    tables.push(Arc::as_ptr(&table).cast::<()>().addr());
                    true
                }
                Err(_) => false,
            },
            LogicalPlan::Extension(_) | LogicalPlan::Statement(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) => false,
            _ => true,
        };
        part.apply_expressions(|expr| {
            fixed &= !expr.exists(|expr| Ok(expr.is_volatile_node() || reads_elsewhere(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if fixed { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(fixed.then(|| (node.clone(), tables)))
}

fn reads_elsewhere(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Placeholder(_)
    )
}

/// Plans what [`mark`] put in.
#[derive(Debug)]
pub(super) struct SharedPlanner;

#[async_trait]
impl ExtensionPlanner for SharedPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(repeated) = node.as_any().downcast_ref::<Repeated>() else { return Ok(None) };
        match inputs {
            [input] => Ok(Some(Arc::new(SharedExec::new(repeated.id, input.clone())))),
            _ => internal_err!("what is repeated has one input"),
        }
    }
}

/// Lets those that are alike read the same rows. Runs last of all rules: each was planned by itself until here.
#[derive(Debug)]
pub(crate) struct SharedReaders;

impl PhysicalOptimizerRule for SharedReaders {
    fn name(&self) -> &str {
        "shared_readers"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut readers: HashMap<usize, usize> = HashMap::new();
        plan.apply(|node| {
            if let Some(shared) = node.downcast_ref::<SharedExec>() {
                *readers.entry(shared.id()).or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if readers.is_empty() {
            return Ok(plan);
        }
        let mut first: HashMap<usize, Arc<SharedExec>> = HashMap::new();
        plan.transform_up(|node| {
            let Some(shared) = node.downcast_ref::<SharedExec>() else { return Ok(Transformed::no(node)) };
            let id = shared.id();
            let count = readers.get(&id).copied().unwrap_or_default();
            if let Some(first) = first.get(&id) {
                return Ok(Transformed::yes(match alike(first.input(), shared.input()) {
                    true => Arc::new(first.again()),
                    false => shared.input().clone(),
                }));
            }
            if count < 2 {
                return Ok(Transformed::yes(shared.input().clone()));
            }
            let reader = Arc::new(shared.read_by(count));
            first.insert(id, reader.clone());
            Ok(Transformed::yes(reader))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the rows come in the same shape. They were planned alike, as nothing passes what stands over them.
fn alike(first: &Arc<dyn ExecutionPlan>, other: &Arc<dyn ExecutionPlan>) -> bool {
    first.schema() == other.schema()
        && first.output_partitioning().partition_count() == other.output_partitioning().partition_count()
}
