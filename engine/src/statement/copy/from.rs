//! ```text
//! COPY table [(column, ...)] FROM 'files' [[WITH] (option [value], ...)]
//! ```
//! Loads files into a table, all in one commit: when one of them cannot be loaded, none is. The path may have wildcards;
//! `.gz`, `.bz2`, `.xz` and `.zst` are decompressed. Columns are matched by name: of the CSV header, of the JSON members,
//! of the Parquet columns; without a CSV header by position. A column that a file lacks gets its default, or NULL; a member
//! that a JSON object lacks is NULL. With a list of columns, others in the files are passed over and columns of the table
//! that are not in it get their default; without it they are an error. The table's rules hold for every row.
//!
//! Options are those of [`crate::file::options`], and for CSV and JSON:
//! - `ON_ERROR fail | set_aside`: what to do about a bad row (the wrong number of values, a value that is not of its
//!   column's type, NULL in a NOT NULL column). `fail`, the default, names file, line, column and value.
//! - `REJECTED 'file.csv'`: where `set_aside` writes bad rows: file, line, reason, row.

use std::sync::Arc;

use boathouse_storage::{
    file::{File, Location, Upload, take_back},
    write::{self, Rules},
};
use datafusion::{
    arrow::datatypes::{FieldRef, Schema},
    catalog::TableProvider,
    common::ScalarValue,
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast},
    physical_plan::collect,
};

use crate::{
    EngineError,
    catalog::TableName,
    file::{
        TableSpec, access,
        options::{FileFormat, FileOptions, Format, text, unknown_option},
        reader::TextSource,
        rejects::Rejects,
        table,
        text_table::TextTable,
    },
    parser::copy,
    statement::{Context, Outcome, change::inserted, insert, name, rules},
};

#[derive(Debug)]
pub(crate) struct CopyFrom {
    name: TableName,
    columns: Vec<FieldRef>,
    /// The columns were named: others in the files are passed over.
    named: bool,
    path: String,
    options: FileOptions,
    format: FileFormat,
    files: Vec<File>,
    rejected: Option<Location>,
}

impl CopyFrom {
    pub async fn plan(context: &Context, copy: copy::CopyFrom) -> Result<Self, EngineError> {
        // Looking for the files would tell of them.
        context.session.check_change("run COPY FROM")?;
        let place = name::place(&copy.table.name);
        let name = name::target(context, &copy.table.name)?;
        let target = insert::table(context, &name).await.map_err(|error| error.at(&context.sql, place))?;
        let objects: Vec<_> = copy.columns.iter().map(|ident| vec![ident.clone()].into()).collect();
        let mut columns = insert::named_columns(context, &name, &target.schema(), &objects)?;
        let (options, set_aside, rejected) = options(context, &copy.options)?;
        let (location, files) = access::find(&context.engine, &copy.path).await?;
        let format = options.of_files(&location, &files)?;
        if objects.is_empty() && format.format != Format::Parquet {
            // The table fills them; files that have them name all columns.
            let is_filled =
                |column: &FieldRef| target.is_generated(column.name()) || target.identity(column.name()).is_some();
            columns.retain(|column| !is_filled(column));
        }
        if set_aside && format.format == Format::Parquet {
            return Err(EngineError::unsupported("ON_ERROR set_aside is not supported for Parquet")
                .with_hint("A Parquet file has types: its rows fit all or none."));
        }
        let copy =
            Self { name, columns, named: !copy.columns.is_empty(), path: copy.path, options, format, files, rejected };
        // Checks the columns against the table before any row is read.
        let rules = rules::of(context, &target)?;
        write::conform(&copy.name.to_string(), &target.schema(), &rules, copy.rows(context, Vec::new(), None).await?)?;
        Ok(copy)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let rejects = match &self.rejected {
            Some(location) => {
                let upload = Upload::new(lake.stores().as_ref(), location.url())?;
                let readers = TextTable::readers(&self.files, context.state.config().target_partitions());
                Some(Arc::new(Rejects::new(upload, readers)))
            }
            None => None,
        };
        let target = lake.table(&self.name.schema, &self.name.name).await?;
        let info = name::commit_info(context);
        let rules = rules::of(context, &target)?;
        let defaults = self.defaults(context, &rules).await?;
        let plan = self.rows(context, defaults, rejects.clone()).await?;
        let committed = match write::append(lake, &target, plan, &rules, context.state.clone(), &info).await {
            Ok(committed) => committed,
            Err(error) => {
                // No row was loaded, so none was rejected.
                if let (Some(rejects), Some(location)) = (&rejects, &self.rejected)
                    && rejects.is_there().await
                {
                    take_back(lake.stores().as_ref(), location.url()).await;
                }
                return Err(error.into());
            }
        };
        let version = Some(committed.version);
        Ok(inserted(committed.rows_inserted, version))
    }

    /// The files' rows under the names of the table's columns.
    async fn rows(
        &self,
        context: &Context,
        defaults: Vec<(String, ScalarValue)>,
        rejects: Option<Arc<Rejects>>,
    ) -> Result<LogicalPlan, EngineError> {
        let provider: Arc<dyn TableProvider> = match self.format.format {
            Format::Parquet => {
                let options = self.options.clone();
                table(context, &TableSpec { path: self.path.clone(), options, ..TableSpec::default() }).await?
            }
            Format::Csv | Format::Json => Arc::new(self.text_table(context, defaults, rejects)),
        };
        let wanted = |name: &str| self.columns.iter().any(|column| column.name() == name);
        let projection = match self.named {
            true => {
                let fields = provider.schema();
                let places = fields.fields().iter().enumerate().filter(|(_, field)| wanted(field.name()));
                Some(places.map(|(place, _)| place).collect())
            }
            false => None,
        };
        Ok(LogicalPlanBuilder::scan("files", provider_as_source(provider), projection)?.build()?)
    }

    /// What the columns become that the header of a CSV file does not name. A default reads no columns, so it is one value
    /// for the whole statement.
    async fn defaults(&self, context: &Context, rules: &Rules) -> Result<Vec<(String, ScalarValue)>, EngineError> {
        let default = |column: &FieldRef| {
            let (_, expr) = rules.defaults.iter().find(|(of, _)| of == column.name())?;
            Some(cast(expr.clone(), column.data_type().clone()).alias(column.name()))
        };
        let exprs: Vec<Expr> = self.columns.iter().filter_map(default).collect();
        if exprs.is_empty() || self.format.format != Format::Csv || !self.format.csv.header {
            return Ok(Vec::new());
        }
        let plan = LogicalPlanBuilder::empty(true).project(exprs)?.build()?;
        let plan = context.physical_plan(&plan).await?;
        let batches = collect(plan, context.task()).await.map_err(|error| context.error(error))?;
        let Some(row) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
        let values = row.columns().iter().map(|values| ScalarValue::try_from_array(values, 0));
        let names = row.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        Ok(names.into_iter().zip(values.collect::<Result<Vec<_>, _>>()?).collect())
    }

    fn text_table(
        &self,
        context: &Context,
        defaults: Vec<(String, ScalarValue)>,
        rejects: Option<Arc<Rejects>>,
    ) -> TextTable {
        let hint = "ON_ERROR set_aside, REJECTED 'file.csv' loads the other rows and writes the bad ones to a file.";
        let source = TextSource {
            stores: context.engine.lake().stores(),
            format: self.format.clone(),
            schema: Arc::new(Schema::new(self.columns.clone())),
            known: self.columns.iter().map(|column| column.name().clone()).collect(),
            defaults,
            partition_columns: Vec::new(),
            strict: !self.named,
            rejects,
            hint: Some(hint.into()),
        };
        TextTable { source: Arc::new(source), files: self.files.clone() }
    }
}

/// The options of files; whether bad rows are set aside; where they go.
fn options(
    context: &Context,
    given: &[copy::CopyOption],
) -> Result<(FileOptions, bool, Option<Location>), EngineError> {
    let (mut options, mut set_aside, mut rejected) = (FileOptions::default(), false, None);
    for option in given {
        let at = |error: EngineError| error.at(&context.sql, crate::error::Place::of_token_span(option.span));
        match option.name.as_str() {
            "ON_ERROR" => {
                let value = text("ON_ERROR", &option.value).map_err(at)?;
                set_aside = match value.to_ascii_lowercase().as_str() {
                    "fail" | "stop" | "abort" => false,
                    "set_aside" => true,
                    _ => {
                        let error =
                            EngineError::invalid(format!("option ON_ERROR is fail or set_aside, not \"{value}\""));
                        return Err(at(error));
                    }
                };
            }
            "REJECTED" => rejected = Some(text("REJECTED", &option.value).map_err(at)?),
            name => {
                if !options.set(name, &option.value).map_err(at)? {
                    let known = [FileOptions::NAMES, &["ON_ERROR", "REJECTED"]].concat();
                    return Err(at(unknown_option(name, &known)));
                }
            }
        }
    }
    match (set_aside, rejected) {
        (true, Some(path)) => Ok((options, true, Some(access::locate_target(&context.engine, &path)?))),
        (false, None) => Ok((options, false, None)),
        (true, None) => Err(EngineError::invalid("ON_ERROR set_aside needs REJECTED 'file.csv' for the bad rows")),
        (false, Some(_)) => Err(EngineError::invalid("REJECTED needs ON_ERROR set_aside")),
    }
}
