//! The part of a query that makes groups of rows, and the columns of the mart that tell its groups apart.
//!
//! ```text
//! Projection, Filter (HAVING), SubqueryAlias, Sort   the path: each row of it is one group
//!   Aggregate                                        SELECT DISTINCT is one by all columns
//!     the rows that are grouped
//! ```

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::tree_node::TreeNodeRecursion,
    logical_expr::{Aggregate, Distinct, Expr, LogicalPlan},
};

use super::{
    delta::{check_subqueries, needs_all, rebuilt},
    settled::check_settled,
    source::Sources,
};

/// A query that groups rows.
pub(super) struct Grouped {
    /// From the top of the query down to the aggregate.
    path: Vec<LogicalPlan>,
    pub aggregate: Aggregate,
    /// For each expression of the GROUP BY the column of the mart that has its value.
    pub keys: Vec<usize>,
}

impl Grouped {
    /// `None`: the query groups nothing, or does more with its groups than to look at each by itself.
    pub fn find(plan: &LogicalPlan) -> Result<Option<(Vec<LogicalPlan>, Aggregate)>, String> {
        let (mut path, mut node) = (Vec::new(), plan);
        loop {
            let below = match node {
                LogicalPlan::Projection(projection) => &projection.input,
                LogicalPlan::Filter(filter) => &filter.input,
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
                LogicalPlan::Aggregate(aggregate) => return Ok(Some((path, aggregate.clone()))),
                LogicalPlan::Distinct(Distinct::All(input)) => {
                    let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
                    let aggregate = Aggregate::try_new(input.clone(), columns, Vec::new());
                    return aggregate.map(|aggregate| Some((path, aggregate))).map_err(|error| error.to_string());
                }
                _ => return Ok(None),
            };
            path.push(node.clone());
            node = below;
        }
    }

    /// The query as one of groups whose keys are columns of the mart. The error says why they cannot be found there.
    pub fn of(
        sources: &Sources<'_>,
        (path, aggregate): (Vec<LogicalPlan>, Aggregate),
        columns: &[FieldRef],
    ) -> Result<Self, String> {
        let node = LogicalPlan::Aggregate(aggregate.clone());
        path.iter().try_for_each(|node| check_subqueries(sources, node))?;
        check_subqueries(sources, &node)?;
        if aggregate.group_expr.is_empty() {
            return Err(needs_all(&node, "without GROUP BY all rows are one group"));
        }
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(needs_all(&node, "a row belongs to more than one group of GROUPING SETS"));
        }
        let mut grouped = Self { path, aggregate, keys: Vec::new() };
        let shown: Vec<Option<usize>> = (0..columns.len()).map(|at| grouped.origin(at)).collect();
        for (n, key) in grouped.aggregate.group_expr.iter().enumerate() {
            let Some(at) = shown.iter().position(|origin| *origin == Some(n)) else {
                return Err(needs_all(&node, &format!("{key} of the GROUP BY is no column of the mart")));
            };
            let (given, kept) = (grouped.aggregate.schema.field(n).data_type(), columns[at].data_type());
            if !is_kept_as(given, kept) {
                let why = format!("{key} of the GROUP BY is a {given}, by which rows of a table are not found again");
                return Err(needs_all(&node, &why));
            }
            grouped.keys.push(at);
        }
        Ok(grouped)
    }

    /// Which column of the aggregate a column of the query shows as it is.
    pub fn origin(&self, column: usize) -> Option<usize> {
        let mut at = column;
        for node in &self.path {
            if let LogicalPlan::Projection(projection) = node {
                let Expr::Column(column) = projection.expr.get(at)?.clone().unalias_nested().data else { return None };
                at = projection.input.schema().maybe_index_of_column(&column)?;
            }
        }
        Some(at)
    }

    /// The error says what gives other rows of the same tables: below the groups, or in a subquery. The groups themselves are
    /// made anew where they changed.
    pub fn check_settled(&self) -> Result<(), String> {
        check_settled(&self.aggregate.input)?;
        let mut fault = Ok(());
        for node in self.path.iter().chain([&LogicalPlan::Aggregate(self.aggregate.clone())]) {
            let walk = node.apply_subqueries(|subquery| {
                fault = check_settled(subquery);
                Ok(if fault.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Jump })
            });
            walk.map_err(|error| error.to_string())?;
            fault.clone()?;
        }
        Ok(())
    }

    /// Whether some groups give no row.
    pub fn has_condition(&self) -> bool {
        self.path.iter().any(|node| matches!(node, LogicalPlan::Filter(_)))
    }

    /// The query over other rows that are grouped.
    pub fn over(&self, input: LogicalPlan) -> Result<LogicalPlan, String> {
        let Aggregate { group_expr, aggr_expr, .. } = self.aggregate.clone();
        let aggregate =
            Aggregate::try_new(Arc::new(input), group_expr, aggr_expr).map_err(|error| error.to_string())?;
        let mut plan = LogicalPlan::Aggregate(aggregate);
        for node in self.path.iter().rev() {
            plan = rebuilt(node, vec![plan])?;
        }
        Ok(plan)
    }
}

pub(super) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a value is equal in the table to another one just when it is in the query, so that its rows are found again.
/// Floating numbers are not: NaN and the two zeros are equal to themselves in one place and not in another.
fn is_kept_as(given: &DataType, kept: &DataType) -> bool {
    let is_bytes = |of: &DataType| matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    match (given, kept) {
        (DataType::Dictionary(_, values), kept) => is_kept_as(values, kept),
        (given, kept) if is_text(given) => is_text(kept),
        (given, kept) if is_bytes(given) => is_bytes(kept),
        (given, kept) if given.is_integer() => kept.is_integer(),
        (given, kept) => {
            given == kept
                && matches!(
                    given,
                    DataType::Boolean
                        | DataType::Date32
                        | DataType::Timestamp(..)
                        | DataType::Decimal128(..)
                        | DataType::Decimal256(..)
                )
        }
    }
}
