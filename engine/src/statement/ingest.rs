//! Bulk ingestion: rows that a client streams, into a new table or into one that is there, in one commit.
//!
//! Not SQL, but held to the same: rows for a table that is there pass the schema enforcement of INSERT (types without a
//! loss, checks, defaults, generated and identity columns), columns go by name as in Delta, without case; a new table is
//! made as by CREATE TABLE AS. The rows can be read once, so a commit that collides with another writer's is an error,
//! and the client sends them again.

use std::sync::Arc;

use boathouse_storage::{
    StorageError,
    write::{self, Altered, NewTable, Rules},
};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    logical_expr::LogicalPlan,
};

use super::{
    Context, Outcome,
    change::inserted,
    insert,
    name::{self, Kind},
    property, rules,
};
use crate::{EngineError, ErrorKind, catalog::TableName, error::did_you_mean};

/// Where streamed rows go. Names are taken as they are: no letter is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// The session's schema when absent.
    pub schema: Option<String>,
    pub table: String,
    /// Makes the table when there is none of this name; otherwise that is an error.
    pub create: bool,
    pub existing: Existing,
}

/// What becomes of a table that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is, and the ingestion fails.
    Fail,
    /// The rows are added to it.
    Append,
    /// It gets the columns of the rows and these rows alone; its history stays.
    Replace,
}

impl Ingest {
    /// What the history of the table tells of it.
    pub(crate) fn describe(&self) -> String {
        let what = match (self.create, self.existing) {
            (true, Existing::Fail) => "create",
            (_, Existing::Append) => "append to",
            (_, Existing::Replace) => "replace",
            (false, Existing::Fail) => "check",
        };
        let schema = self.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        format!("bulk ingestion: {what} {schema}{}", self.table)
    }

    /// Whether the rows may be added to a table that is there.
    pub(crate) fn appends(&self) -> bool {
        self.existing == Existing::Append
    }

    /// Writes what `rows` yields, whose schema is `given`.
    pub(crate) async fn run(
        &self,
        context: &Context,
        given: &SchemaRef,
        rows: LogicalPlan,
    ) -> Result<Outcome, EngineError> {
        let schema = self.schema.as_deref().unwrap_or(context.default_schema());
        let name = name::own(TableName::new(schema, &self.table))?;
        let found = name::find(context, &name).await?;
        match (found, self.existing) {
            (None, _) if self.create => self.make(context, &name, given, rows).await,
            (None, _) => Err(missing(context, &name).await),
            (Some(Kind::Table), Existing::Replace) => self.make(context, &name, given, rows).await,
            (Some(_), Existing::Append) => append(context, &name, given, rows).await,
            (Some(kind), Existing::Fail | Existing::Replace) => {
                Err(name::taken(&name, kind, "Append to it, replace it, or give another name."))
            }
        }
    }

    async fn make(
        &self,
        context: &Context,
        name: &TableName,
        given: &SchemaRef,
        rows: LogicalPlan,
    ) -> Result<Outcome, EngineError> {
        let fields = columns(name, given)?;
        let table = NewTable {
            schema_name: name.schema.clone(),
            name: name.name.clone(),
            schema: Arc::new(Schema::new(fields)),
            partition_columns: Vec::new(),
            properties: Default::default(),
            comment: None,
            replace: self.existing == Existing::Replace,
        };
        let info = name::commit_info(context);
        let state = context.state.clone();
        match write::create_as(context.engine.lake(), &table, rows, &Rules::default(), state, &info).await {
            Ok(made) => Ok(inserted(made.rows_inserted, Some(made.version))),
            Err(StorageError::TableExists { .. }) if self.appends() => {
                let message = format!("table \"{name}\" was made by somebody else while its rows were on their way");
                Err(EngineError::new(ErrorKind::Conflict, message).with_hint("Send the rows again."))
            }
            Err(error) => Err(error.into()),
        }
    }
}

async fn append(
    context: &Context,
    name: &TableName,
    given: &SchemaRef,
    rows: LogicalPlan,
) -> Result<Outcome, EngineError> {
    let target = insert::table(context, name).await?;
    let evolves = property::evolves(&target);
    let (columns, new) = insert::evolve::by_names(&target.schema(), given, evolves)?;
    if let Some(column) = new.first()
        && !evolves
    {
        let mut error =
            EngineError::not_found(format!("column \"{}\" does not exist in table \"{name}\"", column.name()));
        let schema = target.schema();
        error.hint = did_you_mean(column.name(), schema.fields().iter().map(|field| field.name().as_str()));
        return Err(error);
    }
    let altered = insert::evolve::altered(&target, &new)?;
    let schema = altered.as_ref().map(Altered::schema).transpose()?.unwrap_or_else(|| target.schema());
    let rows = insert::evolve::shaped(insert::under_names(rows, &columns)?, &schema, &new)?;
    let rules = rules::of(context, &target)?;
    let (lake, info) = (context.engine.lake(), name::commit_info(context));
    let committed = match altered {
        Some(altered) => write::append_evolved(lake, altered, rows, &rules, context.state.clone(), &info).await?,
        None => write::append(lake, &target, rows, &rules, context.state.clone(), &info).await?,
    };
    let version = Some(committed.version);
    Ok(inserted(committed.rows_inserted, version))
}

/// The columns of a table that is made for these rows.
fn columns(table: &TableName, given: &Schema) -> Result<Vec<FieldRef>, EngineError> {
    if given.fields().is_empty() {
        return Err(EngineError::invalid(format!("the rows for table \"{table}\" have no columns")));
    }
    let mut fields: Vec<FieldRef> = Vec::with_capacity(given.fields().len());
    for field in given.fields() {
        // Delta compares names without case.
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            return Err(EngineError::invalid(format!("two columns of the rows have the name \"{}\"", field.name()))
                .with_hint("Give one of them another name; upper and lower case make no difference."));
        }
        let data_type = match field.data_type() {
            // A column of nothing but NULL.
            DataType::Null => DataType::Utf8,
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        fields.push(Arc::new(Field::new(field.name(), data_type, field.is_nullable())));
    }
    Ok(fields)
}

async fn missing(context: &Context, name: &TableName) -> EngineError {
    let mut error = EngineError::not_found(format!("table \"{name}\" does not exist"));
    let tables = crate::catalog::listing::tables(context, &name.schema).await.unwrap_or_default();
    error.hint = did_you_mean(&name.name, tables.iter().map(|table| table.name.as_str()))
        .or_else(|| Some("Let the ingestion create it, or run CREATE TABLE first.".to_owned()));
    error
}
