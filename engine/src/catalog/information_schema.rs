//! `information_schema`: the lake described as tables.
//!
//! Their rows are gathered when they are read, not when a statement that names them is planned. A table that cannot be
//! read has no columns there; the others are listed all the same.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::RecordBatch,
        compute::cast,
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::{TableProvider, streaming::StreamingTable},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{StreamExt, stream};

use super::{DEFAULT_CATALOG, TableName, listing};
use crate::{
    EngineError,
    statement::{
        Context,
        data_type::sql_type,
        functions,
        rows::{Row, some, text_batch, text_schema},
    },
};

/// Tables of `information_schema`, sorted.
pub(crate) const TABLES: &[&str] = &["columns", "df_settings", "routines", "schemata", "tables", "views"];

/// Tables looked at together.
const LOOKUPS_AT_ONCE: usize = 16;

/// One of the tables.
pub(crate) fn table(context: &Context, name: &TableName) -> Option<Arc<dyn TableProvider>> {
    if name.schema != "information_schema" {
        return None;
    }
    let kind = match name.name.as_str() {
        "columns" => Kind::Columns,
        "df_settings" => Kind::Settings,
        "routines" => Kind::Routines,
        "schemata" => Kind::Schemata,
        "tables" => Kind::Tables,
        "views" => Kind::Views,
        _ => return None,
    };
    // A catalog of its own: the statement's holds this table, and must not be held by it.
    let source = Source { kind, schema: kind.schema(), context: context.fresh() };
    let table = StreamingTable::try_new(kind.schema(), vec![Arc::new(source)]).ok()?;
    Some(Arc::new(table))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Columns,
    Settings,
    Routines,
    Schemata,
    Tables,
    Views,
}

/// Columns of `columns` that hold numbers.
const NUMBERS: &[&str] = &["ordinal_position", "numeric_precision", "numeric_scale"];

impl Kind {
    fn schema(self) -> SchemaRef {
        let texts = text_schema(match self {
            Kind::Columns => &[
                "table_catalog",
                "table_schema",
                "table_name",
                "column_name",
                "ordinal_position",
                "column_default",
                "is_nullable",
                "data_type",
                "numeric_precision",
                "numeric_scale",
                "comment",
            ],
            Kind::Settings => &["name", "value", "default", "description"],
            Kind::Routines => {
                &["routine_catalog", "routine_schema", "routine_name", "routine_type", "function_type", "description"]
            }
            Kind::Schemata => &["catalog_name", "schema_name"],
            Kind::Tables => &["table_catalog", "table_schema", "table_name", "table_type"],
            Kind::Views => &["table_catalog", "table_schema", "table_name", "view_definition"],
        });
        let typed = |field: &Arc<Field>| match NUMBERS.contains(&field.name().as_str()) {
            true => Arc::new(Field::new(field.name(), DataType::Int32, true)),
            false => field.clone(),
        };
        Arc::new(Schema::new(texts.fields().iter().map(typed).collect::<Vec<_>>()))
    }

    async fn rows(self, context: &Context) -> Result<Vec<Row>, EngineError> {
        Ok(match self {
            Kind::Schemata => {
                let schemas = listing::schemas(context.engine.lake()).await?;
                schemas.into_iter().map(|schema| vec![some(DEFAULT_CATALOG), Some(schema)]).collect()
            }
            Kind::Tables => {
                let found = listing::relations(context).await?;
                found
                    .into_iter()
                    .map(|entry| {
                        vec![
                            some(DEFAULT_CATALOG),
                            Some(entry.name.schema),
                            Some(entry.name.name),
                            some(entry.kind.word()),
                        ]
                    })
                    .collect()
            }
            Kind::Views => {
                let found = listing::relations(context).await?;
                found
                    .into_iter()
                    .filter_map(|entry| {
                        let definition = entry.definition?;
                        Some(vec![
                            some(DEFAULT_CATALOG),
                            Some(entry.name.schema),
                            Some(entry.name.name),
                            Some(definition),
                        ])
                    })
                    .collect()
            }
            Kind::Columns => columns(context).await?,
            Kind::Settings => context
                .session
                .list_settings()
                .into_iter()
                .map(|s| vec![some(s.name), Some(s.value), Some(s.default), some(s.doc)])
                .collect(),
            Kind::Routines => functions(&context.state)
                .into_iter()
                .map(|row| {
                    let mut values = row.into_iter();
                    let mut next = || values.next().flatten();
                    let (name, kind, text) = (next(), next(), next());
                    vec![some(DEFAULT_CATALOG), some("information_schema"), name, some("FUNCTION"), kind, text]
                })
                .collect(),
        })
    }
}

async fn columns(context: &Context) -> Result<Vec<Row>, EngineError> {
    let found = listing::relations(context).await?;
    let described = stream::iter(found).map(|entry| async move {
        match context.table_provider(&entry.name).await {
            Ok(provider) => column_rows(&entry.name, &provider.schema()),
            Err(error) => {
                tracing::debug!(table = %entry.name, %error, "left out of information_schema.columns");
                Vec::new()
            }
        }
    });
    let rows: Vec<Vec<Row>> = described.buffered(LOOKUPS_AT_ONCE).collect().await;
    Ok(rows.into_iter().flatten().collect())
}

fn column_rows(table: &TableName, schema: &Schema) -> Vec<Row> {
    schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let (precision, scale) = match field.data_type() {
                DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                    (some(precision.to_string()), some(scale.to_string()))
                }
                _ => (None, None),
            };
            vec![
                some(DEFAULT_CATALOG),
                some(&table.schema),
                some(&table.name),
                some(field.name()),
                some((at + 1).to_string()),
                None,
                some(if field.is_nullable() { "YES" } else { "NO" }),
                some(sql_type(field.data_type())),
                precision,
                scale,
                field.metadata().get("comment").cloned(),
            ]
        })
        .collect()
}

/// One of the tables, about to be read.
struct Source {
    kind: Kind,
    schema: SchemaRef,
    context: Context,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "information_schema.{:?}", self.kind)
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (kind, schema, context) = (self.kind, self.schema.clone(), self.context.clone());
        let batch = async move {
            let rows = kind.rows(&context).await.map_err(DataFusionError::from)?;
            typed_batch(&schema, &rows)
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::once(batch)))
    }
}

/// Numbers travel as text until here.
fn typed_batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let texts = text_batch(&text_schema(&names), rows)?;
    let columns = texts.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)?)
}
