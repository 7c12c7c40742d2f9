//! The table as DataFusion scans it.
//!
//! ```text
//!   filters ──> prune (partitions, statistics) ──> files ──> groups of equal size ──> Parquet source
//!                        FileIndex                   └─ row selections of deletion vectors
//! ```
//!
//! Filters on partition columns are answered here for good; all others come back as predicates on the Parquet source,
//! which leaves out row groups and pages, and are applied again above the scan. Nothing is written through a scan.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::Array,
    datatypes::{FieldRef, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, Statistics, exec_datafusion_err},
    datasource::{
        TableType,
        physical_plan::{FileScanConfigBuilder, FileSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown},
    physical_expr_adapter::PhysicalExprAdapterFactory,
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use parquet::arrow::arrow_reader::RowSelection;
use roaring::RoaringBitmap;

use super::{
    Snapshot,
    address::{AddressColumns, Addresses},
    deletion,
    files::FileIndex,
    footers::FooterReaders,
    groups::{first_rows, group_by_size, stop_at},
    guard::GuardedSource,
    late::{LateStatistics, Numbered},
    location::{self, FileLocation},
    mapping::{MappingMode, TableAdapterFactory},
    prune::{self, Pruned},
    report::ScanCounts,
    selectivity,
    source::{self, StoreSource},
    statistics::StatisticsBuilder,
    variant::{FEATURE as VARIANT_FEATURE, has_variants},
};
use crate::{Account, StorageError, WantedFiles, views::viewed, warm::Keep};

/// Reader features whose tables are read right. A table that needs another one is refused, never read wrong.
const READER_FEATURES: [&str; 7] = [
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];
const READER_VERSION_MAX: i32 = 3;

/// Numbers the scans of this process, so that the nodes of one scan are told from those of another.
static SCANS: AtomicU64 = AtomicU64::new(0);

/// The provider of a table at its version, for queries. `UnsupportedFeature` when the table cannot be read right.
pub(crate) fn provider(snapshot: &Arc<Snapshot>) -> Result<Arc<dyn TableProvider>, StorageError> {
    Ok(Arc::new(TableScan::new(snapshot, None)?.with_views()))
}

/// The same for a version that a statement names: what rivals commit does not change it.
pub(crate) fn past_provider(snapshot: &Arc<Snapshot>) -> Result<Arc<dyn TableProvider>, StorageError> {
    Ok(Arc::new(TableScan { past: true, ..TableScan::new(snapshot, None)?.with_views() }))
}

/// The provider of some of the files, by their positions in the index, for writing them anew.
pub(crate) fn provider_of(snapshot: &Arc<Snapshot>, files: Vec<usize>) -> Result<Arc<dyn TableProvider>, StorageError> {
    Ok(Arc::new(TableScan { only: Some(files), ..TableScan::new(snapshot, None)? }))
}

/// The columns of a table, with the addresses of its rows when they are asked for: as declared, and as the scan has them.
fn layout(snapshot: &Snapshot, addresses: Option<&AddressColumns>) -> (SchemaRef, TableSchema) {
    let schema = snapshot.schema();
    let partition_columns = snapshot.partition_columns();
    let (partitions, columns): (Vec<FieldRef>, Vec<FieldRef>) =
        schema.fields().iter().cloned().partition(|field| partition_columns.contains(field.name()));
    // In the order of the partition columns, as the index has them.
    let partitions = partition_columns.iter().filter_map(|name| partitions.iter().find(|f| f.name() == name).cloned());
    let builder = TableSchema::builder(Arc::new(Schema::new(columns)));
    let Some(AddressColumns { file, row }) = addresses else {
        return (schema, builder.with_table_partition_cols(partitions.collect::<Vec<_>>()).build());
    };
    let layout = builder
        .with_table_partition_cols(partitions.chain([file.clone()]).collect::<Vec<_>>())
        .with_virtual_columns(vec![row.clone()])
        .build();
    let all = schema.fields().iter().cloned().chain([file.clone(), row.clone()]);
    (Arc::new(Schema::new(all.collect::<Vec<_>>())), layout)
}

/// What `provider` scans, when it is one of ours and the newest version for its statement.
pub(crate) fn scanned_snapshot(provider: &dyn TableProvider) -> Option<&Arc<Snapshot>> {
    provider.downcast_ref::<TableScan>().filter(|scan| !scan.past).map(|scan| &scan.snapshot)
}

/// Names every reader feature that would make us read the table wrong.
fn check_features(snapshot: &Snapshot) -> Result<(), StorageError> {
    let protocol = snapshot.protocol();
    let mut missing: Vec<String> =
        protocol.reader_features().unwrap_or_default().iter().map(ToString::to_string).collect();
    missing.retain(|feature| !READER_FEATURES.contains(&feature.as_str()));
    if !has_variants(snapshot.columns()) {
        missing.retain(|feature| feature != VARIANT_FEATURE);
    }
    missing.sort();
    let version = protocol.min_reader_version();
    if missing.is_empty() && version <= READER_VERSION_MAX {
        return Ok(());
    }
    missing.push(format!("reader version {version} of the protocol"));
    Err(StorageError::UnsupportedFeature { table: snapshot.name().to_owned(), features: missing.join(", ") })
}

/// A snapshot that can be scanned.
#[derive(Debug)]
pub(super) struct TableScan {
    snapshot: Arc<Snapshot>,
    /// Columns in their declared order, then those of the addresses.
    schema: SchemaRef,
    /// Columns as the scan has them: those of the files, then the partition columns, then those that are made up.
    layout: TableSchema,
    adapter: Arc<dyn PhysicalExprAdapterFactory>,
    /// The files that are scanned; all when `None`.
    only: Option<Vec<usize>>,
    addresses: Option<Addresses>,
    /// Only the files themselves are read, no hot copies.
    plain: bool,
    /// The statement names the version.
    past: bool,
    /// The files are those of several commits, whose versions they have among their constants. What is known of them is not
    /// known of the rows that are read.
    of_commits: bool,
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let partition_columns = self.snapshot.partition_columns();
        let support = filters.iter().map(|filter| match prune::is_partition_filter(filter, partition_columns) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let index = self.snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut pruned = prune::prune(index, &self.schema, filters, session)?;
        if let Some(only) = &self.only {
            pruned.kept.retain(|file| only.contains(file));
        }
        if let Some(addresses) = &self.addresses {
            addresses.seen.add(filters, &pruned.kept);
        }
        let partition_columns = self.snapshot.partition_columns();
        let all_exact = filters.iter().all(|filter| prune::is_partition_filter(filter, partition_columns));
        let limit = limit.filter(|_| all_exact);
        if let Some(limit) = limit {
            stop_at(&mut pruned.kept, index, limit);
        }
        WantedFiles::note(session, &self.snapshot, &pruned.kept);
        let mut selections = self.row_selections(session, index, &pruned.kept).await?;
        if let Some(limit) = limit {
            first_rows(&mut selections, &pruned.kept, index, limit);
        }
        let projection = self.scan_projection(projection)?;
        self.plan(session, Request { index, pruned: &pruned, selections, projection, filters, limit })
    }
}

/// What one query wants of the table.
struct Request<'a> {
    index: &'a FileIndex,
    pruned: &'a Pruned,
    /// By position in the index.
    selections: HashMap<usize, RowSelection>,
    /// Positions in the scan's layout.
    projection: Vec<usize>,
    filters: &'a [Expr],
    limit: Option<usize>,
}

impl TableScan {
    /// `UnsupportedFeature` when the table cannot be read right.
    pub(super) fn new(snapshot: &Arc<Snapshot>, addresses: Option<Addresses>) -> Result<Self, StorageError> {
        check_features(snapshot)?;
        let (schema, layout) = layout(snapshot, addresses.as_ref().map(|addresses| &addresses.columns));
        let mode = snapshot.properties().get("delta.columnMapping.mode").map(String::as_str);
        let adapter = TableAdapterFactory { columns: snapshot.arrow_schema(), mode: MappingMode::parse(mode) };
        let plain = addresses.is_some();
        Ok(Self {
            snapshot: snapshot.clone(),
            schema,
            layout,
            adapter: Arc::new(adapter),
            only: None,
            addresses,
            plain,
            past: false,
            of_commits: false,
        })
    }

    /// A scan of files that commits name. `layout` has all columns of `schema`, `stored` those that files have, with the
    /// protocol's metadata.
    pub(super) fn of_commits(
        snapshot: &Arc<Snapshot>,
        schema: &SchemaRef,
        layout: TableSchema,
        stored: SchemaRef,
    ) -> Result<Self, StorageError> {
        let scan = Self::new(snapshot, None)?;
        let mode = snapshot.properties().get("delta.columnMapping.mode").map(String::as_str);
        let adapter = Arc::new(TableAdapterFactory { columns: stored, mode: MappingMode::parse(mode) });
        Ok(Self { schema: schema.clone(), layout, adapter, plain: true, of_commits: true, ..scan })
    }

    /// The plan that reads what is left of some files. `query`: projection (positions in the declared columns), filters and
    /// limit.
    pub(super) fn plan_files(
        &self,
        session: &dyn Session,
        index: &FileIndex,
        pruned: &Pruned,
        selections: HashMap<usize, RowSelection>,
        query: (Option<&Vec<usize>>, &[Expr], Option<usize>),
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (projection, filters, limit) = query;
        let projection = self.scan_projection(projection)?;
        self.plan(session, Request { index, pruned, selections, projection, filters, limit })
    }

    /// The same scan with texts and bytes as views.
    fn with_views(mut self) -> Self {
        let partition_columns = self.snapshot.partition_columns();
        let column = |field: &FieldRef| match partition_columns.contains(field.name()) {
            true => field.clone(),
            false => viewed(field),
        };
        self.schema = Arc::new(Schema::new(self.schema.fields().iter().map(column).collect::<Vec<_>>()));
        let columns = self.layout.file_schema().fields().iter().map(viewed).collect::<Vec<_>>();
        let partitions = self.layout.table_partition_cols().clone();
        self.layout =
            TableSchema::builder(Arc::new(Schema::new(columns))).with_table_partition_cols(partitions).build();
        self
    }

    /// The same scan without hot copies.
    pub(super) fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// All visible rows of some files but those `gone`, by file; all columns in their declared order.
    pub(super) async fn survivors(
        &self,
        session: &dyn Session,
        gone: &BTreeMap<usize, RoaringBitmap>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let index = self.snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let kept: Vec<usize> = gone.keys().copied().collect();
        let mut selections = self.row_selections(session, index, &kept).await?;
        for (file, rows) in gone {
            let stored = self.stored_rows(session, index, *file).await?;
            let rest = deletion::all_but(rows, stored);
            let visible = selections.remove(file);
            selections.insert(*file, visible.map_or_else(|| rest.clone(), |visible| visible.intersection(&rest)));
        }
        let pruned = Pruned { kept, by_partition: 0, by_statistics: 0 };
        let projection = self.scan_projection(None)?;
        self.plan(session, Request { index, pruned: &pruned, selections, projection, filters: &[], limit: None })
    }

    /// These rows, by file; all columns in their declared order.
    pub(super) async fn rows_at(
        &self,
        session: &dyn Session,
        rows: &BTreeMap<usize, RoaringBitmap>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let index = self.snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut selections = HashMap::with_capacity(rows.len());
        for (file, rows) in rows {
            selections.insert(*file, deletion::only(rows, self.stored_rows(session, index, *file).await?));
        }
        let pruned = Pruned { kept: rows.keys().copied().collect(), by_partition: 0, by_statistics: 0 };
        let projection = self.scan_projection(None)?;
        self.plan(session, Request { index, pruned: &pruned, selections, projection, filters: &[], limit: None })
    }

    /// Adds the rows that deletion vectors hide.
    pub(super) async fn add_hidden(
        &self,
        session: &dyn Session,
        rows: &mut BTreeMap<usize, RoaringBitmap>,
    ) -> Result<()> {
        let index = self.snapshot.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let files: Vec<usize> = rows.keys().copied().collect();
        for (file, selection) in self.row_selections(session, index, &files).await? {
            *rows.entry(file).or_default() |= deletion::hidden(&selection);
        }
        Ok(())
    }

    /// Rows in a file, hidden ones included: from the log, else from the file.
    async fn stored_rows(&self, session: &dyn Session, index: &FileIndex, file: usize) -> Result<usize> {
        let known = index.stored_rows();
        let rows = match known.is_valid(file) {
            true => known.value(file),
            false => {
                let FileLocation { store, path } = location::resolve(self.snapshot.location(), index.path(file))?;
                let table = &self.snapshot;
                let readers = FooterReaders::of_data_files(session.runtime_env(), &store, table, Keep::Nothing)?;
                let meta = source::meta(index, file, path);
                let footer = readers.footer(&meta).fetch_metadata().await?;
                footer.file_metadata().num_rows()
            }
        };
        usize::try_from(rows).map_err(|_| exec_datafusion_err!("a file with {rows} rows"))
    }

    /// One plan node per store: almost always one.
    fn plan(&self, session: &dyn Session, mut request: Request<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = self.snapshot.location();
        let home = location::resolve(table, "")?.store;
        let mut by_store: BTreeMap<String, Vec<(usize, FileLocation)>> = BTreeMap::new();
        for file in &request.pruned.kept {
            let location = location::resolve(table, request.index.path(*file))?;
            by_store.entry(location.store.as_str().to_owned()).or_default().push((*file, location));
        }
        if by_store.is_empty() {
            by_store.insert(home.as_str().to_owned(), vec![]);
        }
        let mut counts = ScanCounts {
            table: self.snapshot.name().to_owned(),
            version: self.snapshot.version(),
            scan: SCANS.fetch_add(1, Ordering::Relaxed),
            files: request.index.len(),
            by_partition: request.pruned.by_partition,
            by_statistics: request.pruned.by_statistics,
            read: 0,
        };
        let mut nodes = Vec::with_capacity(by_store.len());
        for files in by_store.into_values() {
            counts.read = files.len();
            nodes.push(self.plan_store(session, &mut request, files, &counts)?);
            (counts.files, counts.by_partition, counts.by_statistics) = (0, 0, 0);
        }
        match nodes.len() {
            1 => nodes.pop().ok_or_else(|| exec_datafusion_err!("a scan without a plan")),
            _ => UnionExec::try_new(nodes),
        }
    }

    fn plan_store(
        &self,
        session: &dyn Session,
        request: &mut Request<'_>,
        files: Vec<(usize, FileLocation)>,
        counts: &ScanCounts,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store_url = match files.first() {
            Some((_, location)) => location.store.clone(),
            None => location::resolve(self.snapshot.location(), "")?.store,
        };
        let schema = self.layout.table_schema();
        let builder = StatisticsBuilder {
            index: request.index,
            schema,
            columns: self.columns_of_interest(&request.projection, request.filters),
        };
        let numbers: Vec<usize> = files.iter().map(|(file, _)| *file).collect();
        let mut statistics = builder.table(&numbers)?;
        if self.of_commits {
            statistics = statistics.to_inexact();
        }
        // One for all files where there are too many: some rules of the optimizer count on statistics being there.
        let unknown =
            (self.of_commits || !builder.per_file(files.len())).then(|| Arc::new(Statistics::new_unknown(schema)));
        // Then the reader learns of each file what there is to know when it comes to it.
        let late = unknown.as_ref().filter(|_| !self.of_commits).map(|_| {
            let (snapshot, columns) = (self.snapshot.clone(), builder.columns.clone());
            Arc::new(LateStatistics { snapshot, schema: schema.clone(), columns })
        });
        let opener = StoreSource {
            snapshot: &self.snapshot,
            store: &store_url,
            index: request.index,
            layout: &self.layout,
            addressed: self.addresses.is_some(),
            plain: self.plain,
            // Who writes files anew or changes their rows does not come again.
            keep: source::keep(session, self.plain || self.only.is_some()),
            of_commits: self.of_commits,
        };
        let mut parts = Vec::with_capacity(files.len());
        let mut scattered = false;
        for (file, location) in files {
            let selection = request.selections.remove(&file);
            scattered |= selection.as_ref().is_some_and(|rows| rows.as_mask().is_some());
            let mut part = opener.part(file, location.path, selection)?;
            // Not through `with_statistics`, which takes it for granted that no partition value is NULL.
            part.statistics = Some(match &unknown {
                Some(unknown) => unknown.clone(),
                None => Arc::new(builder.file(file)?),
            });
            if late.is_some() {
                part = part.with_extension(Numbered(file));
            }
            parts.push(part);
        }
        let every_row = selectivity::is_worth_decoding_late(request.filters, schema, &statistics, &request.projection);
        let pages = numbers.iter().any(|file| source::has_pages(request.index, *file));
        // Without the bounds of each file nothing tells which of them comes first.
        let sorted_by = request.index.sorted_by(&numbers).filter(|_| unknown.is_none());
        let sorted_by = sorted_by.and_then(|column| schema.index_of(column).ok());
        let source = GuardedSource::new(opener.build(session, pages, scattered)?, every_row, late);
        let source = Arc::new(source.sorted_by(sorted_by));
        counts.register(source.metrics());
        source.progress().plan(parts.iter().map(|part| part.effective_size()).sum());
        Account::note(session, source.metrics(), source.progress());
        let config = FileScanConfigBuilder::new(store_url, source)
            .with_file_groups(group_by_size(parts, session.config().target_partitions()))
            .with_statistics(statistics)
            .with_limit(request.limit)
            .with_expr_adapter(Some(self.adapter.clone()))
            .with_projection_indices(Some(request.projection.clone()))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The declared columns of a query as positions in the scan's layout.
    fn scan_projection(&self, projection: Option<&Vec<usize>>) -> Result<Vec<usize>> {
        let layout = self.layout.table_schema();
        let position = |column: usize| Ok(layout.index_of(self.schema.field(column).name())?);
        match projection {
            Some(columns) => columns.iter().map(|column| position(*column)).collect(),
            None => (0..self.schema.fields().len()).map(position).collect(),
        }
    }

    fn columns_of_interest(&self, projection: &[usize], filters: &[Expr]) -> Vec<usize> {
        let layout = self.layout.table_schema();
        let named: HashSet<&str> =
            filters.iter().flat_map(|filter| filter.column_refs()).map(|column| column.name.as_str()).collect();
        let filtered = named.into_iter().filter_map(|name| layout.index_of(name).ok());
        let mut columns: Vec<usize> = projection.iter().copied().chain(filtered).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Deletion vectors of the files that are left, by position in the index.
    async fn row_selections(
        &self,
        session: &dyn Session,
        index: &FileIndex,
        kept: &[usize],
    ) -> Result<HashMap<usize, RowSelection>> {
        let stores = &session.runtime_env().object_store_registry;
        deletion::row_selections(&self.snapshot, stores.as_ref(), index, kept).await
    }
}
