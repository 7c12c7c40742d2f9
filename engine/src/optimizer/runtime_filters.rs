//! Puts a [`RuntimeFilterExec`] over every scan that knows filters found while running.
//!
//! The scan uses them for files and row groups; the operator tests rows. Runs after the filters have been handed down.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{Column, DynamicFilterPhysicalExpr},
        split_conjunction,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};

use crate::exec::RuntimeFilterExec;

#[derive(Debug)]
pub(crate) struct RuntimeFilters;

impl PhysicalOptimizerRule for RuntimeFilters {
    fn name(&self) -> &str {
        "runtime_filters"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| match filter_of(&node)? {
            Some(filter) => Ok(Transformed::yes(Arc::new(RuntimeFilterExec::new(node, filter)) as _)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a scan was told by the operators above it, in terms of the columns that it returns.
fn filter_of(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let source = config.file_source();
    let Some(filter) = source.filter() else { return Ok(None) };
    // Where each column of the table stands in the rows that the scan returns.
    let mut places: Vec<Option<usize>> = vec![None; source.table_schema().table_schema().fields().len()];
    match source.projection() {
        Some(projection) => {
            for (at, returned) in projection.iter().enumerate() {
                let column = returned.expr.downcast_ref::<Column>();
                if let Some(place) = column.and_then(|column| places.get_mut(column.index())) {
                    *place = Some(at);
                }
            }
        }
        None => places.iter_mut().enumerate().for_each(|(at, place)| *place = Some(at)),
    }
    let schema = node.schema();
    let mut parts = vec![];
    for part in split_conjunction(&filter) {
        if !part.is::<DynamicFilterPhysicalExpr>() {
            continue;
        }
        let mut missing = false;
        let moved = part.clone().transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let Some(Some(place)) = places.get(column.index()) else {
                missing = true;
                return Ok(Transformed::no(expr));
            };
            let column = Column::new(schema.field(*place).name(), *place);
            Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
        })?;
        if !missing {
            parts.push(moved.data);
        }
    }
    Ok((!parts.is_empty()).then(|| conjunction(parts)))
}
