//! Filters go down to the scans by the position of their columns.
//!
//! A join or a TopK tells the scans below it, while it runs, which rows it no longer needs. DataFusion's rule of this
//! name hands such a filter from operator to operator by the NAMES of its columns, so that with two columns of one name
//! it reaches the wrong one and rows are lost (<https://github.com/apache/datafusion/pull/25259>, not in release 55).
//! Here the operators still say which filters may pass, and `route` says what they become.
//!
//! Floating point numbers do not travel with filters that are found while running: the statistics of files leave NaN
//! out, which is larger than all other numbers.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_common::physical_expr::is_volatile,
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::{
        ExecutionPlan,
        execution_plan::replace_children_if_necessary,
        filter::FilterExec,
        filter_pushdown::{
            ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
            PushedDownPredicate,
        },
    },
};

use super::{
    build_side::BuildSide,
    named_faults::NamedFaults,
    padded::PaddedSides,
    route::{Routes, names_are_plain},
    stored_order::StoredOrder,
};

const EARLY: &str = "FilterPushdown";
const LATE: &str = "FilterPushdown(Post)";

/// DataFusion's rules for physical plans, with this one in the place of its own and those that must stand among them:
/// [`NamedFaults`], [`PaddedSides`] and [`StoredOrder`] before all, [`BuildSide`] behind the choice of sides.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    for rule in &mut rules {
        let phase = match rule.name() {
            EARLY => FilterPushdownPhase::Pre,
            LATE => FilterPushdownPhase::Post,
            _ => continue,
        };
        *rule = Arc::new(FilterPushdown { phase });
    }
    let after = rules.iter().position(|rule| rule.name() == BuildSide::AFTER).map_or(0, |at| at + 1);
    rules.insert(after, Arc::new(BuildSide));
    rules.insert(0, Arc::new(StoredOrder));
    rules.insert(0, Arc::new(PaddedSides));
    rules.insert(0, Arc::new(NamedFaults));
    rules
}

/// Pushes filters down by position: those of the query in the first phase, those found while running in the second.
#[derive(Debug)]
struct FilterPushdown {
    phase: FilterPushdownPhase,
}

impl PhysicalOptimizerRule for FilterPushdown {
    fn name(&self) -> &str {
        match self.phase {
            FilterPushdownPhase::Pre => EARLY,
            FilterPushdownPhase::Post => LATE,
        }
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.push(&plan, vec![], config)?.updated_node.unwrap_or(plan))
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl FilterPushdown {
    /// Offers `filters`, which are about the rows of `node`, to it and to what lies below. Says of each whether it is
    /// taken care of.
    fn push(
        &self,
        node: &Arc<dyn ExecutionPlan>,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let schema = node.schema();
        let offered: Vec<usize> = (0..filters.len()).filter(|at| self.may_travel(&filters[*at], &schema)).collect();
        let asked = offered.iter().map(|at| filters[*at].clone()).collect();
        let answer = node.gather_filters_for_pushdown(self.phase, asked, config)?;
        let (of_parent, of_node) = (answer.parent_filters(), answer.self_filters());
        let inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
        if of_parent.len() != inputs.len() || of_node.len() != inputs.len() {
            return internal_err!("{} did not answer for each of its inputs", node.name());
        }
        let routes = if offered.is_empty() { Routes::ByName } else { Routes::of(node.as_ref()) };
        let mut parent_results = vec![vec![PushedDown::No; inputs.len()]; filters.len()];
        let mut self_results = Vec::with_capacity(inputs.len());
        let mut new_inputs = Vec::with_capacity(inputs.len());
        for (at, (input, (of_parent, own))) in inputs.iter().zip(of_parent.into_iter().zip(of_node)).enumerate() {
            if of_parent.len() != offered.len() {
                return internal_err!("{} did not answer for each filter", node.name());
            }
            // First the operator's own, which are about the rows of the input already.
            let input_schema = input.schema();
            let own_sent: Vec<usize> =
                (0..own.len()).filter(|which| self.may_travel(&own[*which], &input_schema)).collect();
            let mut sent: Vec<_> = own_sent.iter().map(|which| own[*which].clone()).collect();
            let mut parent_sent = vec![];
            for (which, answer) in offered.iter().zip(of_parent) {
                let Some(said) = self.said_below(node, &routes, at, &filters[*which], &answer)? else { continue };
                if self.arrives_whole(&said, input)? {
                    sent.push(said);
                    parent_sent.push(*which);
                }
            }
            let taken = self.push(input, sent, config)?;
            if taken.filters.len() != own_sent.len() + parent_sent.len() {
                return internal_err!("{} did not answer for each filter", input.name());
            }
            let mut results: Vec<_> = own.into_iter().map(PushedDownPredicate::unsupported).collect();
            own_sent.iter().zip(&taken.filters).for_each(|(which, result)| results[*which].discriminant = *result);
            self_results.push(results);
            let of_parent = taken.filters.iter().skip(own_sent.len());
            parent_sent.iter().zip(of_parent).for_each(|(which, result)| parent_results[*which][at] = *result);
            new_inputs.push(taken.updated_node.unwrap_or_else(|| input.clone()));
        }
        let updated = replace_children_if_necessary(node.clone(), new_inputs)?;
        let results = filters.into_iter().zip(parent_results);
        let results = ChildPushdownResult {
            parent_filters: results
                .map(|(filter, child_results)| ChildFilterPushdownResult { filter, child_results })
                .collect(),
            self_filters: self_results,
        };
        let mut done = updated.handle_child_pushdown_result(self.phase, results, config)?;
        if done.updated_node.is_none() && !Arc::ptr_eq(&updated, node) {
            done.updated_node = Some(updated);
        }
        Ok(done)
    }

    /// The filter in the words of the input, when the operator lets it pass.
    fn said_below(
        &self,
        node: &Arc<dyn ExecutionPlan>,
        routes: &Routes,
        input: usize,
        filter: &Arc<dyn PhysicalExpr>,
        answer: &PushedDownPredicate,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        match answer.discriminant {
            PushedDown::Yes => routes.follow(node.as_ref(), input, filter, &answer.predicate),
            PushedDown::No => Ok(None),
        }
    }

    /// An operator that filters and drops columns takes over what its input refuses, and finds the columns by name.
    fn arrives_whole(&self, filter: &Arc<dyn PhysicalExpr>, node: &Arc<dyn ExecutionPlan>) -> Result<bool> {
        match (self.phase, node.downcast_ref::<FilterExec>()) {
            (FilterPushdownPhase::Pre, Some(inner)) if inner.projection().is_some() => {
                Ok(names_are_plain(filter, node.as_ref())? && names_are_plain(filter, inner.input().as_ref())?)
            }
            _ => Ok(true),
        }
    }

    /// A filter with a random value holds only where it stands. For floating point numbers see the module.
    fn may_travel(&self, filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
        let mut may = true;
        let walk = filter.apply(|part| {
            let floats = part.downcast_ref::<Column>().is_some_and(|column| {
                schema.fields().get(column.index()).is_none_or(|field| holds_floats(field.data_type()))
            });
            may &= !(is_volatile(part) || floats && matches!(self.phase, FilterPushdownPhase::Post));
            Ok(if may { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        may && walk.is_ok()
    }
}

fn holds_floats(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => holds_floats(values),
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            holds_floats(item.data_type())
        }
        DataType::Map(entries, _) => holds_floats(entries.data_type()),
        kind => kind.is_floating(),
    }
}
