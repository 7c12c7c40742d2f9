//! Reads one copy for a scan: the same rows, columns and order of rows that the Parquet reader would give.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, PoisonError, Weak},
    task::{Context, Poll},
};

use arrow::{
    array::{AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema},
};
use datafusion::{
    common::{Result, ScalarValue},
    datasource::{listing::PartitionedFile, physical_plan::parquet::ParquetRowSelection, table_schema::TableSchema},
    physical_expr::{
        PhysicalExpr,
        expressions::DynamicFilterPhysicalExpr,
        projection::ProjectionExprs,
        simplifier::PhysicalExprSimplifier,
        split_conjunction,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals},
    physical_expr_common::physical_expr::snapshot_physical_expr,
    physical_optimizer::pruning::FilePruner,
    physical_plan::{
        filter::batch_filter,
        metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricCategory, MetricType},
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use vortex::{
    array::VortexSessionExecute,
    dtype::{DType, Nullability},
    error::VortexResult,
    expr::{BoundExpression, Expression, and_collect, get_item, pack, root},
    file::OpenOptionsSessionExt,
    io::VortexReadAt,
    layout::{LayoutReader, scan::scan_builder::ScanBuilder},
    scan::selection::Selection,
};
use vortex_arrow::ArrowSessionExt;

use super::{
    CopyFile,
    fallback::{Fault, Progress},
    file::VORTEX,
    filter,
    found::found,
    pieces::pieces,
    reader::{CopyReader, SharedReader},
    selection::selection,
    types,
};
use crate::table::BYTES_HOT;

/// What one partition of a scan wants of every copy.
#[derive(Debug, Clone)]
pub(super) struct CopyOpener {
    pub(super) layout: TableSchema,
    pub(super) projection: ProjectionExprs,
    pub(super) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Rows that do not match must not come up: nobody above looks at them again.
    pub(super) exact: bool,
    pub(super) adapter: Arc<dyn PhysicalExprAdapterFactory>,
    pub(super) limit: Option<usize>,
    pub(super) ordered: bool,
    pub(super) partition: usize,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

/// What is to be read of one copy, in the words of its columns.
struct Wanted {
    /// The columns that are read, in the order of the file.
    columns: Schema,
    /// Decided before anything else is read of a row.
    first: Option<Expression>,
    residual: Option<Arc<dyn PhysicalExpr>>,
    /// From the columns that are read to those of the scan.
    projection: ProjectionExprs,
}

impl CopyOpener {
    /// The rows of `file`, read from its copy; `progress` tells which, and learns which of them have been read.
    pub(super) async fn open(
        self,
        file: &PartitionedFile,
        copy: &Arc<CopyFile>,
        reader: &SharedReader,
        progress: &Arc<Progress>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Fault>>, Fault> {
        let output = Arc::new(self.projection.project_schema(self.layout.table_schema())?);
        let (projection, predicate) = self.with_partition_values(file)?;
        let errors = MetricBuilder::new(&self.metrics)
            .with_category(MetricCategory::Rows)
            .global_counter("num_predicate_creation_errors");
        let mut pruner = predicate
            .as_ref()
            .and_then(|predicate| FilePruner::try_new(predicate.clone(), self.layout.file_schema(), file, errors));
        if let Some(pruner) = &mut pruner
            && pruner.should_prune()?
        {
            return Ok(futures::stream::empty().boxed());
        }
        let wanted = self.wanted(file, copy, projection, predicate)?;
        let (rows, range) = (copy.about.rows, progress.wanted());
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let layout_reader = self.layout_reader(copy, reader).await?;
        let dtype = layout_reader.dtype().clone();
        let mut scan = ScanBuilder::new(VORTEX.clone(), layout_reader);
        let selected = match file.extensions.get::<ParquetRowSelection>() {
            Some(selected) => selection(selected.selection(), rows)?,
            None => Selection::All,
        };
        scan = scan.with_selection(selected.clone());
        if range != (0..rows) {
            scan = scan.with_row_range(range.clone());
        }
        let filtered = wanted.first.is_some() || wanted.residual.is_some();
        let limit = self.limit.filter(|_| !filtered).map(|limit| limit as u64);
        let columns = wanted.columns.fields().iter();
        let columns = columns.map(|field| (field.name().clone(), get_item(field.name().as_str(), root())));
        let scan = scan
            .with_some_filter(wanted.first.map(|first| bind(&first, &dtype)).transpose()?)
            .with_projection(bind(&pack(columns, Nullability::NonNullable), &dtype)?)
            .with_ordered(self.ordered);
        let target = Field::new_struct("", wanted.columns.fields().clone(), false);
        let scan = scan.map(move |chunk| {
            let mut context = VORTEX.create_execution_ctx();
            let rows = VORTEX.arrow().execute_arrow(chunk, Some(&target), &mut context)?;
            Ok(RecordBatch::from(rows.as_struct().clone()))
        });
        let projector = wanted.projection.make_projector(&wanted.columns)?;
        let (residual, progress) = (wanted.residual, progress.clone());
        let project = move |mut batch: RecordBatch| -> Result<RecordBatch> {
            if let Some(residual) = &residual {
                batch = batch_filter(&batch, residual)?;
            }
            let (_, columns, count) = projector.project_batch(&batch)?.into_parts();
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            Ok(RecordBatch::try_new_with_options(output.clone(), columns, &options)?)
        };
        let rows = pieces(scan, selected, range, limit).map(move |piece| {
            let (range, batch) = piece?;
            let batch = batch.map(&project).transpose()?.filter(|batch| batch.num_rows() > 0);
            progress.add(range);
            Ok(batch)
        });
        let rows = rows.try_filter_map(|batch| std::future::ready(Ok(batch))).boxed();
        Ok(match pruner {
            Some(pruner) if pruner.is_watching() => WatchedStream { pruner, rows }.boxed(),
            _ => rows,
        })
    }

    fn with_partition_values(
        &self,
        file: &PartitionedFile,
    ) -> Result<(ProjectionExprs, Option<Arc<dyn PhysicalExpr>>)> {
        let columns = self.layout.table_partition_cols().iter().zip(&file.partition_values);
        let values: HashMap<String, ScalarValue> =
            columns.map(|(field, value)| (field.name().clone(), value.clone())).collect();
        if values.is_empty() {
            return Ok((self.projection.clone(), self.predicate.clone()));
        }
        let projection = self.projection.clone().try_map_exprs(|expr| replace_columns_with_literals(expr, &values))?;
        let predicate = self.predicate.clone().map(|expr| replace_columns_with_literals(expr, &values));
        Ok((projection, predicate.transpose()?))
    }

    fn wanted(
        &self,
        file: &PartitionedFile,
        copy: &CopyFile,
        projection: ProjectionExprs,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Wanted> {
        let stored = Arc::new(types::as_in_table(&copy.schema, self.layout.file_schema()));
        let adapter = self.adapter.create(self.layout.file_schema().clone(), stored.clone())?;
        let simplifier = PhysicalExprSimplifier::new(&stored);
        let adapt = |expr| simplifier.simplify(adapter.rewrite(expr)?);
        let projection = projection.try_map_exprs(&adapt)?;
        let statistics = |name: &str| {
            let column = self.layout.file_schema().index_of(name).ok()?;
            file.statistics.as_ref()?.column_statistics.get(column)
        };
        let mut first = vec![];
        for part in predicate.iter().flat_map(split_conjunction) {
            // What a running join or TopK has found so far: later it can only rule out more.
            let now = adapt(snapshot_physical_expr(part.clone())?)?;
            match part.is::<DynamicFilterPhysicalExpr>() {
                true => first.extend(found(&now, &stored, statistics)?),
                false => first.extend(filter::native(&now, &stored)),
            }
        }
        let predicate = predicate.map(|predicate| adapt(snapshot_physical_expr(predicate)?)).transpose()?;
        // What Vortex has decided is decided again, above the scan or here.
        let residual = predicate.filter(|_| self.exact);
        let mut read = projection.column_indices();
        read.extend(residual.iter().flat_map(collect_columns).map(|column| column.index()));
        read.sort_unstable();
        read.dedup();
        let columns = stored.project(&read)?;
        let projection = projection.try_map_exprs(|expr| reassign_expr_columns(expr, &columns))?;
        let residual = residual.map(|expr| reassign_expr_columns(expr, &columns)).transpose()?;
        Ok(Wanted { columns, first: and_collect(first), residual, projection })
    }

    async fn layout_reader(&self, copy: &Arc<CopyFile>, shared: &SharedReader) -> VortexResult<Arc<dyn LayoutReader>> {
        let known = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = known().as_ref().and_then(Weak::upgrade) {
            return Ok(reader);
        }
        let counts = ["bytes_scanned", BYTES_HOT].map(|name| {
            MetricBuilder::new(&self.metrics)
                .with_type(MetricType::Summary)
                .with_category(MetricCategory::Bytes)
                .counter(name, self.partition)
        });
        let source: Arc<dyn VortexReadAt> = Arc::new(CopyReader::new(copy, counts));
        let mut options = VORTEX.open_options().with_file_size(copy.data_bytes);
        if let Some(footer) = copy.footer.get() {
            options = options.with_footer(footer.clone());
        }
        let file = options.open_read(source).await?;
        copy.footer.get_or_init(|| file.footer().clone());
        let reader = file.layout_reader()?;
        let mut shared = known();
        if let Some(reader) = shared.as_ref().and_then(Weak::upgrade) {
            return Ok(reader);
        }
        *shared = Some(Arc::downgrade(&reader));
        Ok(reader)
    }
}

fn bind(expression: &Expression, dtype: &DType) -> VortexResult<BoundExpression> {
    expression.bind(dtype)?.optimize_recursive()
}

/// Ends early when a filter that grows while the query runs rules out the rest of the file.
struct WatchedStream {
    pruner: FilePruner,
    rows: BoxStream<'static, Result<RecordBatch, Fault>>,
}

impl Stream for WatchedStream {
    type Item = Result<RecordBatch, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.pruner.should_prune() {
            Ok(false) => self.rows.poll_next_unpin(context),
            Ok(true) => {
                self.rows = futures::stream::empty().boxed();
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }
}
