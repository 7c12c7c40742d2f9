//! Where the columns of an operator's rows come from, by position.
//!
//! A filter above an operator may be asked of its input when each of its columns is a column of the input, or is made
//! from one in a way that is known here. Names do not count: both sides of a join may have a column `id`.

use std::sync::Arc;

use datafusion::{
    common::{
        JoinSide, JoinType, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan,
        aggregates::AggregateExec,
        buffer::BufferExec,
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        filter::FilterExec,
        joins::{HashJoinExec, utils::build_join_schema},
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::sort::SortExec,
        union::UnionExec,
    },
};

use crate::exec::PaddedExec;

/// For each column of an operator, what it is in the rows of one input; `None` where it does not come from there.
type Route = Vec<Option<Arc<dyn PhysicalExpr>>>;

/// The routes of an operator, one for each input.
pub(super) enum Routes {
    Known(Vec<Route>),
    /// An operator of which nothing is known: only names tell.
    ByName,
}

impl Routes {
    pub(super) fn of(node: &dyn ExecutionPlan) -> Self {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let input = filter.input().as_ref();
            return match filter.projection() {
                Some(columns) => Self::Known(vec![columns.iter().map(|at| column(input, *at)).collect()]),
                None => Self::Known(vec![all(input)]),
            };
        }
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            return Self::Known(vec![projection.expr().iter().map(|made| Some(made.expr.clone())).collect()]);
        }
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            let keys = aggregate.group_expr().expr().iter();
            let mut route: Route = keys.map(|(key, _)| key.is::<Column>().then(|| key.clone())).collect();
            route.resize(aggregate.schema().fields().len(), None);
            return Self::Known(vec![route]);
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            return Self::Known(of_join(join));
        }
        let hands_on = node.is::<CoalescePartitionsExec>()
            || node.is::<RepartitionExec>()
            || node.is::<UnionExec>()
            || node.is::<SortExec>()
            || node.is::<CooperativeExec>()
            || node.is::<BufferExec>()
            || node.is::<PaddedExec>();
        match hands_on {
            true => Self::Known(node.children().into_iter().map(|input| all(input.as_ref())).collect()),
            false => Self::ByName,
        }
    }

    /// `filter`, which is about the rows of `node`, said of the rows of its input number `at`, where DataFusion would
    /// say it as `by_name`. `None` when that cannot be said, or not without a doubt.
    pub(super) fn follow(
        &self,
        node: &dyn ExecutionPlan,
        at: usize,
        filter: &Arc<dyn PhysicalExpr>,
        by_name: &Arc<dyn PhysicalExpr>,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let children = node.children();
        let Some(input) = children.get(at) else { return Ok(None) };
        match self {
            Self::Known(routes) => routes.get(at).map_or(Ok(None), |route| rewrite(filter, route)),
            Self::ByName => {
                let plain = names_are_plain(filter, node)? && names_are_plain(by_name, input.as_ref())?;
                Ok(plain.then(|| by_name.clone()))
            }
        }
    }
}

/// Does every name in `filter` stand for one column of `node` only?
pub(super) fn names_are_plain(filter: &Arc<dyn PhysicalExpr>, node: &dyn ExecutionPlan) -> Result<bool> {
    let schema = node.schema();
    let mut plain = true;
    filter.apply(|part| {
        if let Some(column) = part.downcast_ref::<Column>() {
            plain &= schema.fields().iter().filter(|field| field.name() == column.name()).count() == 1;
        }
        Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(plain)
}

fn rewrite(filter: &Arc<dyn PhysicalExpr>, route: &Route) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut reached = true;
    // From the leaves up, so that what a column has become is not taken for a column of the operator again.
    let said = filter.clone().transform_up(|part| {
        let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
        match route.get(column.index()) {
            Some(Some(source)) => Ok(Transformed::yes(source.clone())),
            _ => {
                reached = false;
                Ok(Transformed::no(part))
            }
        }
    })?;
    Ok(reached.then_some(said.data))
}

fn of_join(join: &HashJoinExec) -> Vec<Route> {
    let (left, right) = (join.left().as_ref(), join.right().as_ref());
    let (_, places) = build_join_schema(&left.schema(), &right.schema(), join.join_type());
    let shown: Vec<usize> = match &join.projection {
        Some(columns) => columns.to_vec(),
        None => (0..places.len()).collect(),
    };
    // The rows of a semi join have equal keys on the side that is not shown.
    let keys_are_equal = matches!(join.join_type(), JoinType::LeftSemi | JoinType::RightSemi);
    let key = |side: JoinSide, at: usize| {
        let pair = join.on().iter().find(|(left, right)| {
            let shown = if side == JoinSide::Left { left } else { right };
            shown.downcast_ref::<Column>().is_some_and(|column| column.index() == at)
        });
        pair.map(|(left, right)| if side == JoinSide::Left { right.clone() } else { left.clone() })
    };
    let source = |side: JoinSide, output: usize| {
        let place = places.get(output)?;
        let input = if side == JoinSide::Left { left } else { right };
        match place.side {
            JoinSide::None => None,
            from if from == side => column(input, place.index),
            from => keys_are_equal.then(|| key(from, place.index)).flatten(),
        }
    };
    let route = |side: JoinSide| shown.iter().map(|output| source(side, *output)).collect();
    vec![route(JoinSide::Left), route(JoinSide::Right)]
}

fn all(input: &dyn ExecutionPlan) -> Route {
    (0..input.schema().fields().len()).map(|at| column(input, at)).collect()
}

fn column(input: &dyn ExecutionPlan, at: usize) -> Option<Arc<dyn PhysicalExpr>> {
    let schema = input.schema();
    let field = schema.fields().get(at)?;
    Some(Arc::new(Column::new(field.name(), at)))
}
