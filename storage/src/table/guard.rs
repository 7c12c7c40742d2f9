//! Which filters the reader of the files may use.
//!
//! Filters reach a source from above: those of the query while it is planned, those that joins and TopK find while it
//! runs. The reader leaves out row groups and pages by them, with the statistics in the files. These leave NaN out,
//! while a comparison with NaN may be true (it is larger than all other numbers, or smaller when it has a sign): a
//! filter over floating point numbers never goes to the reader, and does not keep the other filters from going. Where the
//! reader answers for every row, neither does one that looks into a nested column: a file may have it in another form, in
//! which the reader does not apply the filter after all.
//!
//! Here is also said whether the reader applies the filters to every row (see `selectivity`), it is told what the log says
//! of files where that comes late (see `late`), and what was read is counted (see `progress`).

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    physical_expr::{
        EquivalenceProperties, PhysicalExpr, PhysicalSortExpr,
        expressions::{Column, IsNotNullExpr, IsNullExpr},
        projection::ProjectionExprs,
        utils::collect_columns,
    },
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult,
        filter_pushdown::{FilterPushdownPropagation, PushedDown},
        metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::{
    late::{LateStatistics, Towards},
    progress::ScanProgress,
};

/// Stands before the source that reads the files.
#[derive(Clone)]
pub(super) struct GuardedSource {
    inner: Arc<dyn FileSource>,
    /// The reader applies the filters to every row, and decodes other columns only for rows that are left.
    every_row: bool,
    late: Option<Arc<LateStatistics>>,
    progress: Arc<ScanProgress>,
    /// The position in the scan's layout of the column by which each file has its rows in rising order, NULL last.
    sorted_by: Option<usize>,
    /// The order in which rows are asked for, where files that have the first of them should come first.
    first: Option<Towards>,
}

impl GuardedSource {
    /// `late`: what the parts do not say themselves.
    pub(super) fn new(inner: Arc<dyn FileSource>, every_row: bool, late: Option<Arc<LateStatistics>>) -> Self {
        Self { inner, every_row, late, progress: Arc::default(), sorted_by: None, first: None }
    }

    /// What was read of its files, also by the sources that are made from this one.
    pub(super) fn progress(&self) -> &Arc<ScanProgress> {
        &self.progress
    }

    /// The same for files that all have their rows in the order of a column.
    pub(super) fn sorted_by(self, column: Option<usize>) -> Self {
        Self { sorted_by: column, ..self }
    }

    /// The column in whose order each file has its rows, by its position in the scan's layout.
    pub(super) fn order(&self) -> Option<usize> {
        self.sorted_by
    }

    fn around(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ..self.clone() })
    }
}

impl FileSource for GuardedSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store, config, partition)?;
        let inner = match &self.late {
            Some(late) => late.told_to(inner),
            None => inner,
        };
        Ok(self.progress.counting(inner))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.around(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let columns = self.table_schema().file_schema();
        let is_safe = |filter: &Arc<dyn PhysicalExpr>| {
            !(compares_floats(filter, columns) || self.every_row && reads_nested(filter, columns))
        };
        let safe: Vec<bool> = filters.iter().map(is_safe).collect();
        let offered = filters.into_iter().zip(&safe).filter(|(_, safe)| **safe).map(|(filter, _)| filter);
        let offered: Vec<_> = offered.collect();
        if offered.is_empty() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; safe.len()]));
        }
        let answer = if self.every_row {
            let mut config = config.clone();
            config.execution.parquet.pushdown_filters = true;
            self.inner.try_pushdown_filters(offered, &config)?
        } else {
            self.inner.try_pushdown_filters(offered, config)?
        };
        let mut answers = answer.filters.into_iter();
        let mut results = Vec::with_capacity(safe.len());
        for safe in safe {
            let answer = if safe { answers.next() } else { None };
            results.push(answer.unwrap_or(PushedDown::No));
        }
        let pushed = FilterPushdownPropagation::with_parent_pushdown_result(results);
        Ok(match answer.updated_node {
            Some(inner) => pushed.with_updated_node(self.around(inner)),
            None => pushed,
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.around(inner) },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact {
                inner: Arc::new(Self { inner, first: Towards::of(order), ..self.clone() }),
            },
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        match (&self.late, &self.first) {
            (Some(late), Some(first)) => late.in_order(files, first),
            _ => self.inner.reorder_files(files),
        }
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.around(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Does the filter look at a floating point number of the files? Whether one is NULL is counted right.
fn compares_floats(filter: &Arc<dyn PhysicalExpr>, columns: &Schema) -> bool {
    let mut found = false;
    let walk = filter.apply(|part| {
        let nulls = part.downcast_ref::<IsNullExpr>().map(IsNullExpr::arg);
        let nulls = nulls.or_else(|| part.downcast_ref::<IsNotNullExpr>().map(IsNotNullExpr::arg));
        if nulls.is_some_and(|asked| asked.is::<Column>()) {
            return Ok(TreeNodeRecursion::Jump);
        }
        found |= part.downcast_ref::<Column>().is_some_and(|column| {
            columns.fields().get(column.index()).is_some_and(|field| holds_floats(field.data_type()))
        });
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walk.is_err()
}

/// Does the filter look at a column that has others in it?
fn reads_nested(filter: &Arc<dyn PhysicalExpr>, columns: &Schema) -> bool {
    collect_columns(filter)
        .iter()
        .any(|column| columns.fields().get(column.index()).is_some_and(|field| field.data_type().is_nested()))
}

fn holds_floats(kind: &DataType) -> bool {
    match kind {
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        kind => kind.is_floating(),
    }
}
