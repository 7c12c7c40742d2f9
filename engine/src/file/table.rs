//! From what a statement says about files to a table that DataFusion scans.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{FieldRef, Schema},
    catalog::TableProvider,
};

use super::{
    access, infer,
    options::{FileOptions, Format},
    parquet_table::ParquetTable,
    partition,
    reader::TextSource,
    text_table::TextTable,
};
use crate::{EngineError, statement::Context};

/// Files, as a statement names them.
#[derive(Debug, Default)]
pub(crate) struct TableSpec {
    pub(crate) path: String,
    pub(crate) options: FileOptions,
    /// All columns with their types; `None`: find them in the files.
    pub(crate) columns: Option<Vec<FieldRef>>,
    /// Columns whose values are in folder names; they are in `columns`, too, when those are given.
    pub(crate) partition_columns: Vec<FieldRef>,
}

/// Finds the files and makes a table of them. Reads as much as is needed to know the columns.
pub(crate) async fn table(context: &Context, spec: &TableSpec) -> Result<Arc<dyn TableProvider>, EngineError> {
    let engine = &context.engine;
    let (location, files) = access::find(engine, &spec.path).await?;
    let format = spec.options.of_files(&location, &files)?;
    if format.format == Format::Parquet {
        let declared = spec.columns.as_deref();
        let table = ParquetTable::open(context.state.as_ref(), &files, declared, &spec.partition_columns).await?;
        return Ok(Arc::new(table));
    }
    // That the folders are there is checked at once, not in the middle of a scan.
    files.iter().try_for_each(|file| partition::texts(file, &spec.partition_columns).map(drop))?;
    let stores = engine.lake().stores();
    let is_partition = |field: &FieldRef| spec.partition_columns.iter().any(|column| column.name() == field.name());
    let (mut fields, strict) = match &spec.columns {
        Some(columns) => (columns.clone(), false),
        None => (infer::columns(stores.as_ref(), &format, &files).await?, true),
    };
    fields.retain(|field| !is_partition(field));
    if fields.is_empty() && spec.columns.is_none() {
        return Err(EngineError::invalid(format!("there are no columns in \"{}\"", spec.path))
            .with_hint("A CSV file needs a header or a row, a JSON file an object a line."));
    }
    let known = fields.iter().map(|field| field.name().clone()).collect();
    fields.extend(spec.partition_columns.iter().cloned());
    let source = TextSource {
        stores,
        format,
        schema: Arc::new(Schema::new(fields)),
        known,
        defaults: Vec::new(),
        partition_columns: spec.partition_columns.clone(),
        strict,
        rejects: None,
        hint: None,
    };
    Ok(Arc::new(TextTable { source: Arc::new(source), files }))
}
