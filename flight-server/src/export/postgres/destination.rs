//! A database as a destination of marts.

use arrow::datatypes::FieldRef;
use async_trait::async_trait;
use boathouse_engine::{
    EngineError, RowStream,
    mart::{Delivery, Destination, Export, ExportMark, Progress},
};

use super::{
    ledger,
    load::{self, Place},
    options::PostgresOptions,
    types::PgType,
};

/// Delivers to the tables of a database.
#[derive(Debug)]
pub struct PostgresExports(PostgresOptions);

impl PostgresExports {
    pub fn new(options: PostgresOptions) -> Self {
        Self(options)
    }
}

#[async_trait]
impl Destination for PostgresExports {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError> {
        if let Some(table) = &export.table {
            Place::parse(table)?;
        }
        columns.iter().try_for_each(|column| PgType::of(column).map(drop))
    }

    async fn last(&self, delivery: &Delivery, _: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        let place = Place::parse(&delivery.target)?;
        let mut client = self.0.connect().await?;
        ledger::make(&mut client, &place).await?;
        ledger::last(&client, &place, delivery).await
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let place = Place::parse(&delivery.target)?;
        let mut client = self.0.connect().await?;
        load::deliver(&mut client, &place, delivery, rows).await
    }
}
