//! ```text
//! DESCRIBE [TABLE] name       columns of a table or view; `name` may be `t@v3` or `t VERSION AS OF 3`, in DETAIL as well
//! DESCRIBE query              columns of a query
//! DESCRIBE DETAIL name        one row about a Delta table
//! DESCRIBE HISTORY name [LIMIT n]    what each version of a Delta table did, newest first
//! ```
//! At most the newest 10,000 versions are told of.

mod detail;
mod history;

use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    common::ScalarValue,
};

use super::{
    Context, Outcome,
    data_type::sql_type,
    query::Query,
    rows::{Row, some, text_batch, text_schema},
    show::internal,
};
use crate::{
    EngineError, RowStream,
    catalog::{TableAt, TableName},
    parser,
};

/// Columns of DESCRIBE and SHOW COLUMNS.
pub(super) const COLUMNS: &[&str] = &["column_name", "data_type", "is_nullable", "comment"];

#[derive(Debug)]
pub(crate) enum Describe {
    Table(TableAt),
    Query(SchemaRef),
    Detail(TableAt),
    History { table: TableName, limit: usize },
}

impl Describe {
    pub async fn plan(context: &Context, ast: parser::Describe) -> Result<Self, EngineError> {
        Ok(match ast {
            parser::Describe::Table(named) => Self::Table(TableAt::find(context, &named).await?),
            parser::Describe::Detail(named) => {
                let table = TableAt::find(context, &named).await?;
                detail::snapshot(context, &table.name(context), "DESCRIBE DETAIL").await?;
                Self::Detail(table)
            }
            parser::Describe::History { table, limit } => {
                let table = context.known_table(&table).await?;
                detail::snapshot(context, &table, "DESCRIBE HISTORY").await?;
                Self::History { table, limit: limit.unwrap_or(history::VERSIONS_MAX) }
            }
            parser::Describe::Query(query) => Self::Query(Query::plan(context, *query).await?.schema()),
        })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let rows = match self {
            Self::Table(table) => column_rows(&context.table_provider(&table.name(context)).await?.schema()),
            Self::Query(schema) => column_rows(schema),
            Self::Detail(table) => return detail::run(context, &table.name(context)).await,
            Self::History { table, limit } => return history::run(context, table, *limit).await,
        };
        Ok(Outcome::Rows(RowStream::of_batch(text_batch(&self.schema(), &rows).map_err(internal)?)))
    }

    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Table(_) | Self::Query(_) => text_schema(COLUMNS),
            Self::Detail(_) => detail::schema(),
            Self::History { .. } => history::schema(),
        }
    }
}

/// Name, type, whether NULL is allowed, and comment of each column.
pub(super) fn column_rows(schema: &Schema) -> Vec<Row> {
    schema
        .fields()
        .iter()
        .map(|field| {
            let nullable = if field.is_nullable() { "YES" } else { "NO" };
            let comment = field.metadata().get("comment").cloned();
            vec![some(field.name()), Some(sql_type(field.data_type())), some(nullable), comment]
        })
        .collect()
}
