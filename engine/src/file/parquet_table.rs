//! Parquet files as a table: schemas and statistics from their footers, rows by DataFusion.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use boathouse_storage::{file::File, table::FooterReaders};
use datafusion::{
    arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef, TimeUnit},
    catalog::{Session, TableProvider},
    common::Statistics,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::transform_schema_to_view},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use futures::{StreamExt, TryStreamExt};

use super::{partition, scan::unreadable};
use crate::{EngineError, ErrorKind, statement::data_type::sql_type};

/// Footers read at once.
const FOOTERS_MAX: usize = 32;

/// A fixed list of files.
#[derive(Debug)]
pub(super) struct ParquetTable {
    format: Arc<ParquetFormat>,
    store: ObjectStoreUrl,
    schema: TableSchema,
    files: Vec<PartitionedFile>,
    statistics: Statistics,
}

impl ParquetTable {
    /// Reads the footers. Columns that are declared must hold what the files have; others are merged by name.
    pub(super) async fn open(
        state: &dyn Session,
        files: &[File],
        declared: Option<&[FieldRef]>,
        partition_columns: &[FieldRef],
    ) -> Result<Self, EngineError> {
        let Some(first) = files.first() else { return Err(EngineError::internal("a table without files")) };
        let format = Arc::new(ParquetFormat::default().with_options(state.default_table_options().parquet));
        let store_url = ObjectStoreUrl::parse(&first.url[..url::Position::BeforePath])?;
        let readers = FooterReaders::of(state.runtime_env(), &store_url)?;
        let one = |file: &File| {
            let (format, readers, file) = (Arc::clone(&format), Arc::clone(&readers), file.clone());
            async move {
                let footer = readers.footer(&file.meta).with_metadata_size_hint(format.metadata_size_hint());
                let found = footer.fetch_schema().await;
                found.map(|schema| file_schema(&format, &schema)).map_err(|error| damaged(&file, error))
            }
        };
        let schemas: Vec<SchemaRef> = futures::stream::iter(files.iter().map(one).collect::<Vec<_>>())
            .buffered(FOOTERS_MAX)
            .try_collect()
            .await?;
        let schema = match declared {
            Some(columns) => declared_schema(columns, partition_columns, files, &schemas)?,
            None => merged(files, &schemas)?,
        };
        let schema = without(&schema, partition_columns);
        let statistics = |file: &File| {
            let (format, readers, schema, file) =
                (Arc::clone(&format), Arc::clone(&readers), Arc::clone(&schema), file.clone());
            async move {
                let footer = readers.footer(&file.meta).with_metadata_size_hint(format.metadata_size_hint());
                footer.fetch_statistics(&schema).await.map_err(|error| damaged(&file, error))
            }
        };
        let statistics: Vec<Statistics> = futures::stream::iter(files.iter().map(statistics).collect::<Vec<_>>())
            .buffered(FOOTERS_MAX)
            .try_collect()
            .await?;
        let schema = TableSchema::builder(schema).with_table_partition_cols(partition_columns.to_vec()).build();
        let files = files
            .iter()
            .zip(statistics)
            .map(|(file, statistics)| {
                Ok(PartitionedFile::new_from_meta(file.meta.clone())
                    .with_partition_values(partition::values(file, partition_columns)?)
                    .with_statistics(Arc::new(statistics)))
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        let all = files.iter().filter_map(|file| file.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(all, schema.table_schema())?;
        Ok(Self { format, store: store_url, schema, files, statistics })
    }
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(self.schema())));
        }
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let options = self.format.options().clone();
        let mut source = ParquetSource::new(self.schema.clone())
            .with_parquet_file_reader_factory(FooterReaders::of(state.runtime_env(), &self.store)?);
        if let Some(hint) = self.format.metadata_size_hint() {
            source = source.with_metadata_size_hint(hint);
        }
        let source = source.with_table_parquet_options(options);
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.statistics.clone())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// A file's columns as a scan gives them: without the writer's metadata.
fn file_schema(format: &ParquetFormat, schema: &Schema) -> SchemaRef {
    let fields: Fields =
        schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new())).collect();
    let schema = Schema::new(fields);
    Arc::new(if format.force_view_types() { transform_schema_to_view(&schema) } else { schema })
}

/// A file whose footer makes no sense is damaged; anything else is as it is.
fn damaged(file: &File, error: DataFusionError) -> EngineError {
    let is_parquet = matches!(error.find_root(), DataFusionError::ParquetError(_));
    let error = unreadable(file, error);
    match is_parquet || error.kind == ErrorKind::Corrupt {
        true => EngineError {
            kind: ErrorKind::Corrupt,
            message: format!("\"{}\" is not a whole Parquet file", file.name),
            ..error
        },
        false => error,
    }
}

fn merged(files: &[File], schemas: &[SchemaRef]) -> Result<SchemaRef, EngineError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for (file, schema) in files.iter().zip(schemas) {
        for field in schema.fields() {
            match fields.iter_mut().find(|known| known.name() == field.name()) {
                None => fields.push(Arc::new(field.as_ref().clone().with_nullable(true))),
                Some(known) if known.data_type() == field.data_type() => {}
                Some(known) if widens(known.data_type(), field.data_type()) => {
                    *known = Arc::new(field.as_ref().clone().with_nullable(true));
                }
                Some(known) if widens(field.data_type(), known.data_type()) => {}
                Some(known) => {
                    let (given, expected) = (sql_type(field.data_type()), sql_type(known.data_type()));
                    let message = format!(
                        "column \"{}\" is {given} in \"{}\", but {expected} in the files before it",
                        field.name(),
                        file.name
                    );
                    return Err(
                        EngineError::invalid(message).with_hint("Read the files one by one and cast the column.")
                    );
                }
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn declared_schema(
    columns: &[FieldRef],
    partition_columns: &[FieldRef],
    files: &[File],
    schemas: &[SchemaRef],
) -> Result<SchemaRef, EngineError> {
    for column in columns.iter().filter(|column| !partition_columns.contains(column)) {
        for (file, schema) in files.iter().zip(schemas) {
            let Some((_, found)) = schema.fields().find(column.name()) else { continue };
            if !widens(found.data_type(), column.data_type()) {
                let (given, expected) = (sql_type(found.data_type()), sql_type(column.data_type()));
                let message = format!(
                    "column \"{}\" is declared {expected}, but it is {given} in \"{}\"",
                    column.name(),
                    file.name
                );
                return Err(EngineError::invalid(message).with_hint("Declare it as it is in the files."));
            }
        }
    }
    Ok(Arc::new(Schema::new(columns.to_vec())))
}

/// Whether every value of one type is one of the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView);
    from == to
        || text(from) && text(to)
        || bytes(from) && bytes(to)
        || match (from, to) {
            (Dictionary(_, value), to) => widens(value, to),
            (Int8 | UInt8, Int16 | Int32 | Int64) => true,
            (Int16 | UInt16, Int32 | Int64) => true,
            (Int32 | UInt32, Int64) => true,
            (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | Float32, Float64) => true,
            (Timestamp(TimeUnit::Second | TimeUnit::Millisecond, a), Timestamp(TimeUnit::Microsecond, b)) => a == b,
            (Decimal128(p, s), Decimal128(q, t)) => {
                t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
            }
            _ => false,
        }
}

/// The schema without the columns that the folders give.
fn without(schema: &SchemaRef, columns: &[FieldRef]) -> SchemaRef {
    let given = |field: &&FieldRef| columns.iter().any(|column| column.name() == field.name());
    let fields: Fields = schema.fields().iter().filter(|field| !given(field)).cloned().collect();
    Arc::new(Schema::new(fields))
}
