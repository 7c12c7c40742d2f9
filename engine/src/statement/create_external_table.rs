//! ```text
//! CREATE [OR REPLACE] EXTERNAL TABLE [IF NOT EXISTS] name [(column TYPE [COMMENT 'text'], ...)]
//!     STORED AS { DELTA | PARQUET | CSV | JSON } LOCATION 'path'
//!     [PARTITIONED BY (column [TYPE], ...)] [OPTIONS (name value, ...)] [COMMENT 'text']
//! ```
//! A name for files elsewhere, which stay where they are: the list of files is made anew by each statement that reads it.
//! Columns that are not given are found in the files. Partition columns are folder names, `year=2024/`. Options are those
//! of COPY. The files are looked at once when the table is made, so that a wrong path or format is refused then.

use std::collections::BTreeMap;

use boathouse_storage::{
    StorageError,
    catalog::{CatalogDocument, ExternalTable},
};
use datafusion::common::ScalarValue;

use super::{
    Context, Outcome, create_table,
    name::{self, Kind},
    view::folded,
};
use crate::{
    EngineError,
    catalog::TableName,
    error::Place,
    file::access,
    function,
    parser::create::{self, Column},
};

#[derive(Debug)]
pub(crate) struct CreateExternalTable {
    name: TableName,
    or_replace: bool,
    if_not_exists: bool,
    table: ExternalTable,
}

impl CreateExternalTable {
    pub async fn plan(context: &Context, ast: create::CreateExternalTable) -> Result<Self, EngineError> {
        // Looking for the files would tell of them.
        context.session.check_change("run CREATE EXTERNAL TABLE")?;
        let place = name::place(&ast.name);
        let name = name::target(context, &ast.name)?;
        if ast.or_replace && ast.if_not_exists {
            return Err(
                EngineError::invalid("OR REPLACE and IF NOT EXISTS contradict each other").at(&context.sql, place)
            );
        }
        let format = ast.format.value.to_ascii_lowercase();
        let format_place = Place::of_token_span(ast.format.span);
        if !matches!(format.as_str(), "delta" | "parquet" | "csv" | "json") {
            return Err(EngineError::unsupported(format!("STORED AS {} is not supported", ast.format.value))
                .with_hint("Formats are DELTA, PARQUET, CSV and JSON (one object a line).")
                .at(&context.sql, format_place));
        }
        if format == "delta" && !(ast.columns.is_empty() && ast.partitioned_by.is_empty() && ast.options.is_empty()) {
            return Err(EngineError::invalid("a Delta table knows its columns, partitions and options")
                .with_hint("Leave the columns, PARTITIONED BY and OPTIONS out.")
                .at(&context.sql, place));
        }
        let table = ExternalTable {
            format,
            location: access::locate(&context.engine, &ast.location)?.absolute(),
            columns: columns(context, &ast.columns, &ast.partitioned_by)?,
            partition_columns: ast.partitioned_by.iter().map(|column| folded(&column.name)).collect(),
            options: options(ast.options)?,
            comment: ast.comment,
        };
        let create = Self { name, or_replace: ast.or_replace, if_not_exists: ast.if_not_exists, table };
        create.find(context).await.map_err(|error| error.at(&context.sql, place))?;
        function::external_table(context, &create.name.to_string(), &create.table).await?;
        Ok(create)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if self.find(context).await?.is_some() && self.if_not_exists {
            return Ok(Outcome::Done("CREATE EXTERNAL TABLE"));
        }
        let TableName { schema, name } = &self.name;
        let insert = |document: &mut CatalogDocument| {
            let table_stays = document.external_tables.contains_key(name) && !self.or_replace;
            let is_other = document.views.contains_key(name) || document.renamed.contains_key(name);
            if table_stays || is_other {
                return Err(StorageError::TableExists { table: self.name.to_string() });
            }
            document.external_tables.insert(name.clone(), self.table.clone());
            Ok(())
        };
        match context.engine.lake().change_catalog(schema, &insert).await {
            Ok(_) => {}
            // Somebody else was quicker.
            Err(StorageError::TableExists { .. }) if self.if_not_exists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Done("CREATE EXTERNAL TABLE"))
    }

    /// What has the name, when that is no reason to refuse.
    async fn find(&self, context: &Context) -> Result<Option<Kind>, EngineError> {
        let found = name::find(context, &self.name).await?;
        match found {
            Some(Kind::External) if self.or_replace || self.if_not_exists => Ok(found),
            Some(Kind::Table) if self.if_not_exists => Ok(found),
            Some(kind) => Err(name::taken(&self.name, kind, "DROP TABLE deletes it.")),
            None => Ok(None),
        }
    }
}

/// All columns that have a type, as SQL: those of the files, then those of the folders.
fn columns(context: &Context, columns: &[Column], partitioned_by: &[Column]) -> Result<String, EngineError> {
    let typed: Vec<Column> =
        columns.iter().chain(partitioned_by.iter().filter(|column| column.data_type.is_some())).cloned().collect();
    create_table::columns(context, &typed)?;
    if let Some(column) = typed.iter().find(|column| column.not_null) {
        return Err(EngineError::unsupported("NOT NULL for a column of an external table is not supported")
            .with_hint("Nothing keeps others from writing NULL into the files; leave it out.")
            .at(&context.sql, Place::of_token_span(column.name.span)));
    }
    Ok(typed.iter().map(|column| column.sql.as_str()).collect::<Vec<_>>().join(", "))
}

fn options(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, EngineError> {
    let mut options = BTreeMap::new();
    for (name, value) in given {
        if options.insert(name.to_lowercase(), value).is_some() {
            return Err(EngineError::invalid(format!("option {} is given twice", name.to_uppercase())));
        }
    }
    Ok(options)
}
