//! Files whose deletion vector hides many rows here and there.
//!
//! ```text
//!   rows of the file, with their numbers ──> those that are visible ──> what the query wants of them
//! ```
//! The Parquet reader takes a selection run by run and pays for each of them, so that a vector of many short runs costs
//! more than the rows that it hides. Such a vector is a bitmap (see `deletion`): of the file only its long gaps are left
//! out by a selection, all other rows are decoded together with the numbers that they have in the file, and each batch
//! loses those that the bitmap hides. Numbers are the reader's own, so that whatever it leaves out before (row groups,
//! pages, rows that a filter in the decoder drops) shifts none.
//!
//! Nothing that may fail is computed of a hidden row: expressions of the projection come after, and a filter in the decoder
//! that may fail gets the exact selection instead.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Result, config::ConfigOptions, internal_err, tree_node::TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource, parquet::ParquetRowSelection,
        },
        table_schema::TableSchema,
    },
    functions::core::file_row_index::FileRowIndexFunc,
    logical_expr::{Operator, ScalarUDF},
    physical_expr::{
        EquivalenceProperties, PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr,
        expressions::{
            BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal,
            NotExpr,
        },
        projection::{ProjectionExpr, ProjectionExprs},
        utils::reassign_expr_columns,
    },
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult,
        filter_pushdown::{FilterPushdownPropagation, PushedDown},
        metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::morsel::{MorselPlanner, Morselizer};
use object_store::ObjectStore;

use super::visible::{Projecting, Visible, Wanted};

const ROW_NUMBER_NAME: &str = "file_row_index";

/// The number that a row has in its file, which the Parquet reader makes up.
static ROW_NUMBER: LazyLock<Arc<dyn PhysicalExpr>> = LazyLock::new(|| {
    Arc::new(ScalarFunctionExpr::new(
        ROW_NUMBER_NAME,
        Arc::new(ScalarUDF::from(FileRowIndexFunc::new())),
        vec![],
        Arc::new(Field::new(ROW_NUMBER_NAME, DataType::Int64, false)),
        Arc::new(ConfigOptions::default()),
    ))
});

/// A Parquet source of files some of which have their hidden rows as a bitmap.
#[derive(Clone)]
pub(super) struct ScatteredSource {
    /// As it is asked for: what it says of itself is said of this source, and it reads the other files.
    plain: Arc<dyn FileSource>,
    /// The same without the projection.
    whole: Arc<dyn FileSource>,
    /// Some filter is decided in the decoder.
    decides: bool,
}

impl ScatteredSource {
    /// `parquet` must have no projection and no filter yet.
    pub(super) fn new(parquet: Arc<ParquetSource>) -> Self {
        Self { plain: parquet.clone(), whole: parquet, decides: false }
    }

    /// What reads files by their bitmaps; `None` where a filter has to be kept from the hidden rows.
    fn numbered(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Option<(Box<dyn Morselizer>, Wanted)>> {
        let fails = || self.plain.filter().is_some_and(|filter| may_fail(&filter));
        if !self.plain.table_schema().virtual_columns().is_empty() || self.decides && fails() {
            return Ok(None);
        }
        let table = self.plain.table_schema().table_schema();
        let all = || ProjectionExprs::from_indices(&(0..table.fields().len()).collect::<Vec<_>>(), table);
        let wanted = self.plain.projection().cloned().unwrap_or_else(all);
        let output = Arc::new(wanted.project_schema(table)?);
        let later = wanted.iter().any(|column| may_fail(&column.expr));
        let (source, columns, projecting) = match later {
            false => (self.plain.clone(), output.clone(), None),
            true => {
                let read = ProjectionExprs::from_indices(&wanted.column_indices(), table);
                let columns = Arc::new(read.project_schema(table)?);
                let wanted = wanted.try_map_exprs(|expr| reassign_expr_columns(expr, &columns))?;
                let projector = wanted.make_projector(&columns)?;
                let projecting = Projecting { columns: columns.clone(), projector };
                (projected(&self.whole, &read)?, columns, Some(projecting))
            }
        };
        let same = (0..columns.fields().len()).collect::<Vec<_>>();
        let same = ProjectionExprs::from_indices(&same, &columns);
        let numbers = ProjectionExpr::new(ROW_NUMBER.clone(), ROW_NUMBER_NAME);
        let source = projected(&source, &ProjectionExprs::new(same.iter().cloned().chain([numbers])))?;
        // Without the limit, which speaks of visible rows: the stream of all files ends by it.
        let config = FileScanConfigBuilder::new(config.object_store_url.clone(), source.clone())
            .with_expr_adapter(config.expr_adapter_factory.clone())
            .with_preserve_order(config.preserve_order)
            .build();
        let opener = source.create_morselizer(store, &config, partition)?;
        Ok(Some((opener, Wanted { output, projecting })))
    }
}

fn projected(source: &Arc<dyn FileSource>, projection: &ProjectionExprs) -> Result<Arc<dyn FileSource>> {
    match source.try_pushdown_projection(projection)? {
        Some(source) => Ok(source),
        None => internal_err!("a Parquet source takes every projection"),
    }
}

/// Could computing `expr` of a row be an error? What is not known here could.
fn may_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    let compares = |op: &Operator| {
        matches!(op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
    };
    let safe = expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<NotExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>()
        || expr.is::<DynamicFilterPhysicalExpr>()
        || expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| compares(binary.op()))
        || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|function| function.name() == "get_field");
    !safe || expr.children().into_iter().any(may_fail)
}

impl FileSource for ScatteredSource {
    fn create_file_opener(&self, _: Arc<dyn ObjectStore>, _: &FileScanConfig, _: usize) -> Result<Arc<dyn FileOpener>> {
        internal_err!("files are opened by the morsel")
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let numbered = self.numbered(store.clone(), config, partition)?;
        let plain = self.plain.create_morselizer(store, config, partition)?;
        Ok(match numbered {
            Some((numbered, wanted)) => Box::new(ScatteredMorselizer { plain, numbered, wanted: Arc::new(wanted) }),
            None => plain,
        })
    }

    fn table_schema(&self) -> &TableSchema {
        self.plain.table_schema()
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        let (plain, whole) = (self.plain.with_batch_size(rows), self.whole.with_batch_size(rows));
        Arc::new(Self { plain, whole, ..self.clone() })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.plain.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.plain.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.plain.metrics()
    }

    fn file_type(&self) -> &str {
        self.plain.file_type()
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.plain.fmt_extra(kind, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.plain.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        options: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let whole = self.whole.try_pushdown_filters(filters.clone(), options)?.updated_node;
        let pushed = self.plain.try_pushdown_filters(filters, options)?;
        let decides = self.decides || pushed.filters.iter().any(|filter| matches!(filter, PushedDown::Yes));
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(pushed.filters);
        Ok(match (pushed.updated_node, whole) {
            (Some(plain), Some(whole)) => answer.with_updated_node(Arc::new(Self { plain, whole, decides }) as _),
            (None, None) => answer,
            _ => return internal_err!("one Parquet source takes a filter and its like does not"),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        use SortOrderPushdownResult::{Exact, Inexact, Unsupported};
        let whole = self.whole.try_pushdown_sort(order, properties)?.into_inner();
        let with = |plain, whole: Option<_>| {
            let whole = whole.unwrap_or_else(|| self.whole.clone());
            Arc::new(Self { plain, whole, ..self.clone() }) as Arc<dyn FileSource>
        };
        Ok(match self.plain.try_pushdown_sort(order, properties)? {
            Exact { inner } => Exact { inner: with(inner, whole) },
            Inexact { inner } => Inexact { inner: with(inner, whole) },
            Unsupported => Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.plain.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.plain.try_pushdown_projection(projection)?;
        Ok(pushed.map(|plain| Arc::new(Self { plain, ..self.clone() }) as _))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.plain.apply_expressions(visit)
    }
}

/// Opens the files of one partition.
#[derive(Debug)]
struct ScatteredMorselizer {
    plain: Box<dyn Morselizer>,
    /// Yields the numbers of the rows as the last column.
    numbered: Box<dyn Morselizer>,
    wanted: Arc<Wanted>,
}

impl Morselizer for ScatteredMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let selected = file.extensions.get::<ParquetRowSelection>();
        let Some(visible) = selected.and_then(|rows| rows.selection().as_mask()).cloned() else {
            return self.plain.plan_file(file);
        };
        let visible = Visible::new(visible, self.wanted.clone());
        let file = file.with_extension(ParquetRowSelection::new(visible.but_long_gaps()));
        Ok(visible.of(self.numbered.plan_file(file)?))
    }
}
