//! The order of rows that files already have.
//!
//! Files that our own writer wrote in order say so in the log. A scan yields their rows in order when each of its streams
//! reads them one behind the other and none begins before the one before it ends, which their bounds tell. That costs
//! freedom, for streams then read what they were given and no more; so it is declared only for those who want the order.

use std::{cmp::Ordering, sync::Arc};

use arrow::compute::SortOptions;
use datafusion::{
    common::{ScalarValue, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, FileSource},
        source::DataSourceExec,
    },
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::ExecutionPlan,
};

use super::guard::GuardedSource;

/// The same scan with the order of its files declared: rising by one column, NULL last. `None` for any other plan, and where
/// the files are not sure to have an order or cannot be read one behind the other.
pub fn in_stored_order(scan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let (config, source) = scan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<GuardedSource>()?;
    let column = source.order().filter(|_| config.output_ordering.is_empty())?;
    let groups = config.file_groups.iter().map(|group| one_behind_the_other(group, column));
    let groups = groups.collect::<Option<Vec<_>>>()?;
    let layout = source.table_schema().table_schema();
    let key = Column::new(layout.fields().get(column)?.name(), column);
    let options = SortOptions { descending: false, nulls_first: false };
    let order = LexOrdering::new([PhysicalSortExpr::new(Arc::new(key), options)])?;
    let config =
        FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).with_output_ordering(vec![order]).build();
    Some(DataSourceExec::from_data_source(config))
}

/// The files of a stream in the order of their values. A NULL may be in a file that is alone only: it would stand before the
/// values of the next.
fn one_behind_the_other(group: &FileGroup, column: usize) -> Option<FileGroup> {
    if group.len() < 2 {
        return Some(group.clone());
    }
    let mut files: Vec<(ScalarValue, ScalarValue, PartitionedFile)> = Vec::with_capacity(group.len());
    for file in group.iter() {
        let known = file.statistics.as_ref()?.column_statistics.get(column)?;
        if known.null_count != Precision::Exact(0) {
            return None;
        }
        files.push((known.min_value.get_value()?.clone(), known.max_value.get_value()?.clone(), file.clone()));
    }
    files.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
    let apart = files.windows(2).all(|pair| {
        let before = pair[0].1.partial_cmp(&pair[1].0);
        matches!(before, Some(Ordering::Less | Ordering::Equal))
    });
    apart.then(|| FileGroup::new(files.into_iter().map(|(.., file)| file).collect()))
}
