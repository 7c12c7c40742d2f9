//! Another lake as a destination of marts.

use arrow::datatypes::FieldRef;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use boathouse_engine::{
    EngineError, ErrorKind, RowStream,
    mart::{Delivery, Destination, Export, ExportMark, ExportMode, Progress},
};

use super::options::BoathouseOptions;
use crate::client::{Client, ClientError, Remote};

/// Delivers to the tables of another lake.
#[derive(Debug)]
pub struct BoathouseExports(BoathouseOptions);

impl BoathouseExports {
    pub fn new(options: BoathouseOptions) -> Self {
        Self(options)
    }
}

#[async_trait]
impl Destination for BoathouseExports {
    fn kind(&self) -> &'static str {
        "boathouse"
    }

    fn check(&self, export: &Export, _: &[FieldRef]) -> Result<(), EngineError> {
        export.table.as_deref().map_or(Ok(()), |table| parts(table).map(drop))
    }

    fn goes_on(&self) -> bool {
        true
    }

    /// A table that is not there (any more) has no version, and gets all rows.
    async fn last(&self, delivery: &Delivery, known: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        if known.is_none() || delivery.mode == ExportMode::Replace {
            return Ok(known);
        }
        let (schema, table) = parts(&delivery.target)?;
        let remote = self.0.connect().await?;
        let look = format!("SELECT 1 FROM {}.{} LIMIT 0", quoted(schema), quoted(table));
        match run(&remote, &look).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            looked => looked.map(|()| known),
        }
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let (schema, table) = parts(&delivery.target)?;
        let remote = self.0.connect().await?;
        if schema != MAIN {
            run(&remote, &format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema))).await?;
        }
        let command = |table: &str| CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: TableNotExistOption::Create.into(),
                if_exists: TableExistsOption::Replace.into(),
            }),
            table: table.to_owned(),
            schema: Some(schema.to_owned()),
            ..CommandStatementIngest::default()
        };
        if delivery.mode == ExportMode::Replace {
            return remote.ingest(command(table), rows).await;
        }
        let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        // The same rows under the same name, whoever brings them.
        let beside = format!("export_{}", hash(&[&delivery.lake, &delivery.name(), &delivery.target]));
        let count = remote.ingest(command(&beside), rows).await?;
        let (from, to) =
            (format!("{}.{}", quoted(schema), quoted(&beside)), format!("{}.{}", quoted(schema), quoted(table)));
        if delivery.since.is_none() {
            run(&remote, &format!("CREATE TABLE IF NOT EXISTS {to} AS SELECT * FROM {from} LIMIT 0")).await?;
        }
        let key = format!("{}/{}", delivery.lake, delivery.name()).replace('\'', "''");
        run(&remote, &format!("SET idempotency_key = '{key}'")).await?;
        run(&remote, &statement(delivery, &names, &from, &to)).await.map_err(|error| with_cure(error, delivery))?;
        run(&remote, &format!("DROP TABLE IF EXISTS {from} PURGE")).await?;
        Ok(count)
    }
}

const MAIN: &str = "main";

/// Schema and table.
fn parts(target: &str) -> Result<(&str, &str), EngineError> {
    let (schema, table) = target.split_once('.').unwrap_or((MAIN, target));
    if schema.is_empty() || table.is_empty() || table.contains('.') {
        let error = EngineError::invalid(format!("\"{target}\" is not the name of a table"));
        return Err(error.with_hint("Write table = \"schema.table\"."));
    }
    Ok((schema, table))
}

/// What brings the rows of one table into the other.
fn statement(delivery: &Delivery, names: &[String], from: &str, to: &str) -> String {
    let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if delivery.mode != ExportMode::Merge {
        return format!("INSERT INTO {to} ({list}) SELECT {list} FROM {from}");
    }
    let same = delivery.key.iter().map(|name| {
        let name = quoted(name);
        format!("kept.{name} IS NOT DISTINCT FROM brought.{name}")
    });
    let same = same.collect::<Vec<_>>().join(" AND ");
    // Not `*`, which leaves out what the table lacks.
    let others = names.iter().filter(|name| !delivery.key.contains(name)).map(|name| quoted(name));
    let set = others.map(|name| format!("{name} = brought.{name}")).collect::<Vec<_>>().join(", ");
    let update = if set.is_empty() { String::new() } else { format!(" WHEN MATCHED THEN UPDATE SET {set}") };
    let values = names.iter().map(|name| format!("brought.{}", quoted(name))).collect::<Vec<_>>().join(", ");
    format!(
        "MERGE INTO {to} AS kept USING {from} AS brought ON {same}{update} WHEN NOT MATCHED THEN INSERT ({list}) VALUES ({values})"
    )
}

/// With what to do about a table that somebody else has dropped or changed.
fn with_cure(error: EngineError, delivery: &Delivery) -> EngineError {
    if error.kind != ErrorKind::NotFound || delivery.since.is_none() {
        return error;
    }
    let hint = format!("Bring \"{}\" in order, then boathouse mart export {} --again.", delivery.target, delivery.mart);
    error.with_hint(hint)
}

async fn run(remote: &Remote, sql: &str) -> Result<(), EngineError> {
    let told = |error: ClientError| EngineError::new(error.kind, error.text);
    remote.run(sql).await.map(drop).map_err(told)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn hash(parts: &[&str]) -> String {
    let hash = digest(&SHA256, parts.join("\n").as_bytes());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
