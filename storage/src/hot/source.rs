//! What a scan sees: one source for all files of a store, of which some have a copy.
//!
//! Everything about the source is that of the Parquet source; only when a file is opened it is decided, once per plan
//! for all parts of the file, which of the two it is read from.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Result, config::ConfigOptions, internal_err, tree_node::TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpener, FileScanConfig, FileSource, parquet::ParquetAccessPlan},
        table_schema::TableSchema,
    },
    physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, projection::ProjectionExprs},
    physical_expr_adapter::DefaultPhysicalExprAdapterFactory,
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult,
        filter_pushdown::{FilterPushdownPropagation, PushedDown},
        metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricCategory, MetricType},
    },
};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use object_store::ObjectStore;
use tokio::runtime::Handle;

use super::{
    CopyFile, CopyKey, HotCopies, Original,
    copies::ScanRuns,
    fallback::{CopiedPart, Progress},
    open::CopyOpener,
    reader::SharedReader,
    selection::rows_of_part,
};

/// The count in a plan's metrics of files that were read from their copies.
pub(crate) const FILES_HOT: &str = "files_hot";

/// A file of a plan, as an extension of its parts: where it is read from, once that is decided.
#[derive(Default)]
pub(crate) struct HotPart {
    copy: OnceLock<Option<Arc<CopyFile>>>,
    reader: Arc<SharedReader>,
    /// In the file, hidden ones included, where the log tells.
    rows: Option<u64>,
}

impl HotPart {
    pub(crate) fn new(rows: Option<u64>) -> Self {
        Self { rows, ..Self::default() }
    }
}

/// Whose files these are.
#[derive(Debug, Clone)]
pub(crate) struct HotFiles {
    pub(crate) copies: Arc<HotCopies>,
    pub(crate) object_store: Arc<dyn ObjectStore>,
    /// The store's URL.
    pub(crate) store: Arc<str>,
    /// The table's Delta id.
    pub(crate) table: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

/// A Parquet source that reads copies where there are any.
#[derive(Clone)]
pub(crate) struct HotSource {
    parquet: Arc<dyn FileSource>,
    files: HotFiles,
    /// Some filter is decided in the scan alone.
    exact: bool,
}

impl HotSource {
    /// `parquet` must be a Parquet source; parts with a [`HotPart`] may be read from a copy.
    pub(crate) fn new(parquet: Arc<dyn FileSource>, files: HotFiles) -> Self {
        Self { parquet, files, exact: false }
    }

    fn with_parquet(&self, parquet: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { parquet, ..self.clone() })
    }
}

impl FileSource for HotSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        internal_err!("files are opened by the morsel")
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let layout = self.parquet.table_schema().clone();
        let all = || ProjectionExprs::from_indices(&(0..columns(&layout)).collect::<Vec<_>>(), layout.table_schema());
        let opener = CopyOpener {
            projection: self.parquet.projection().cloned().unwrap_or_else(all),
            predicate: self.parquet.filter(),
            exact: self.exact,
            adapter: match &config.expr_adapter_factory {
                Some(factory) => factory.clone(),
                None => Arc::new(DefaultPhysicalExprAdapterFactory),
            },
            limit: config.limit,
            ordered: config.preserve_order || !config.output_ordering.is_empty(),
            partition,
            metrics: self.parquet.metrics().clone(),
            layout,
        };
        let parquet = self.parquet.create_morselizer(object_store, config, partition)?.into();
        let runs = self.files.copies.scan_runs();
        Ok(Box::new(HotMorselizer { parquet, opener, files: self.files.clone(), _runs: runs }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        self.with_parquet(self.parquet.with_batch_size(rows))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.parquet.fmt_extra(kind, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.parquet.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        partitions: usize,
        file_bytes_min: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.parquet.repartitioned(partitions, file_bytes_min, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        options: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.parquet.try_pushdown_filters(filters, options)?;
        let exact = self.exact || pushed.filters.iter().any(|filter| matches!(filter, PushedDown::Yes));
        pushed.updated_node =
            pushed.updated_node.map(|parquet| Arc::new(Self { parquet, exact, ..self.clone() }) as Arc<dyn FileSource>);
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        use SortOrderPushdownResult::{Exact, Inexact, Unsupported};
        Ok(match self.parquet.try_pushdown_sort(order, properties)? {
            Exact { inner } => Exact { inner: self.with_parquet(inner) },
            Inexact { inner } => Inexact { inner: self.with_parquet(inner) },
            Unsupported => Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.parquet.try_pushdown_projection(projection)?;
        Ok(pushed.map(|parquet| self.with_parquet(parquet)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parquet.apply_expressions(visit)
    }
}

fn columns(layout: &TableSchema) -> usize {
    layout.table_schema().fields().len()
}

/// Opens the files of one partition.
#[derive(Debug)]
struct HotMorselizer {
    parquet: Arc<dyn Morselizer>,
    opener: CopyOpener,
    files: HotFiles,
    _runs: ScanRuns,
}

impl Morselizer for HotMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        // Row groups are the Parquet file's own.
        let by_row_group = file.extensions.get::<ParquetAccessPlan>().is_some();
        let Some(part) = file.extensions.get::<Arc<HotPart>>().filter(|_| !by_row_group) else {
            return self.parquet.plan_file(file);
        };
        let Some(copy) = part.copy.get_or_init(|| self.choose(&file, part.rows)).clone() else {
            return self.parquet.plan_file(file);
        };
        let (opener, reader) = (self.opener.clone(), part.reader.clone());
        let progress = Arc::new(Progress::new(rows_of_part(&file, copy.about.rows)));
        let (copies, parquet) = (self.files.copies.clone(), self.parquet.clone());
        let part = CopiedPart { file, copy, progress, copies, parquet };
        let open = async move {
            let opened = opener.open(&part.file, &part.copy, &reader, &part.progress).await;
            Ok(part.rows(opened))
        };
        Ok(Box::new(CopyPlanner::Opening(open.boxed())))
    }
}

impl HotMorselizer {
    /// Asked once per file and plan.
    fn choose(&self, file: &PartitionedFile, rows: Option<u64>) -> Option<Arc<CopyFile>> {
        let meta = &file.object_meta;
        let key = CopyKey::new(&self.files.store, &self.files.table, meta);
        let original = || {
            let runtime = Handle::try_current().ok()?;
            let (store, path) = (self.files.object_store.clone(), meta.location.clone());
            Some(Original { key: key.clone(), name: self.files.name.clone(), store, path, runtime })
        };
        let copy = self.files.copies.read(&key, &self.files.name, rows, original)?;
        MetricBuilder::new(&self.opener.metrics)
            .with_type(MetricType::Summary)
            .with_category(MetricCategory::Rows)
            .global_counter(FILES_HOT)
            .add(1);
        Some(copy)
    }
}

/// The two steps of opening a copy.
enum CopyPlanner {
    Opening(BoxFuture<'static, Result<BoxStream<'static, Result<RecordBatch>>>>),
    Open(BoxStream<'static, Result<RecordBatch>>),
}

impl fmt::Debug for CopyPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyPlanner").finish_non_exhaustive()
    }
}

impl MorselPlanner for CopyPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(match *self {
            Self::Opening(open) => MorselPlan::new()
                .with_pending_planner(async move { Ok(Box::new(Self::Open(open.await?)) as Box<dyn MorselPlanner>) }),
            Self::Open(rows) => MorselPlan::new().with_morsels(vec![Box::new(CopyMorsel(rows))]),
        }))
    }
}

struct CopyMorsel(BoxStream<'static, Result<RecordBatch>>);

impl fmt::Debug for CopyMorsel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyMorsel").finish_non_exhaustive()
    }
}

impl Morsel for CopyMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        self.0
    }
}
