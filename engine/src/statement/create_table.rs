//! ```text
//! CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [({ column TYPE [option ...] | [CONSTRAINT name] CHECK (condition) }, ...)]
//!     [USING DELTA] [PARTITIONED BY (column, ...)] [COMMENT 'text'] [TBLPROPERTIES ('key' = 'value', ...)]
//!     [AS query]
//! option: NOT NULL | COMMENT 'text' | DEFAULT { value | (expression) } | GENERATED ALWAYS AS (expression)
//!     | GENERATED { ALWAYS | BY DEFAULT } AS IDENTITY [(START WITH number INCREMENT BY number)]
//!     | [CONSTRAINT name] CHECK (condition)
//! ```
//! A condition must be TRUE for every row: FALSE and NULL break it, as for all writers of Delta.
//!
//! Clauses come in any order, AS last. With a query, columns may be given without types (its names are replaced) or with
//! types (its rows must fit them without a loss). OR REPLACE keeps the table's history: it is one more commit.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{
    StorageError,
    write::{self, CommitInfo, NewTable, Rules},
};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema},
    common::ScalarValue,
    logical_expr::LogicalPlan,
    sql::sqlparser::ast,
};

use super::{
    Context, Outcome, data_type, definition, insert,
    name::{self, Kind},
    once::Keyed,
    parameter, property,
    view::folded,
};
use crate::{
    EngineError,
    catalog::TableName,
    error::{Place, did_you_mean},
    parser::create,
};

#[derive(Debug)]
pub(crate) struct CreateTable {
    name: TableName,
    if_not_exists: bool,
    table: NewTable,
    rules: Rules,
    query: Option<LogicalPlan>,
}

impl CreateTable {
    pub async fn plan(context: &Context, ast: create::CreateTable) -> Result<Self, EngineError> {
        let place = name::place(&ast.name);
        let name = name::target(context, &ast.name)?;
        if ast.or_replace && ast.if_not_exists {
            return Err(
                EngineError::invalid("OR REPLACE and IF NOT EXISTS contradict each other").at(&context.sql, place)
            );
        }
        let (fields, query) = match ast.query {
            Some(query) => {
                let (fields, plan) = plan_query(context, *query, &ast.columns).await?;
                (fields, Some(plan))
            }
            None => (columns(context, &ast.columns)?, None),
        };
        let defined = definition::define(context, &name.to_string(), fields, &ast.columns, &ast.checks)?;
        let fields = defined.fields;
        if fields.is_empty() {
            return Err(EngineError::invalid(format!("table \"{name}\" has no columns"))
                .with_hint("Name them: CREATE TABLE t (a INT, b VARCHAR).")
                .at(&context.sql, place));
        }
        let typed = ast.columns.iter().any(|column| column.data_type.is_some() || column.not_null);
        let query = match query {
            Some(plan) if typed => Some(
                write::conform(&name.to_string(), &Schema::new(fields.clone()), &Rules::default(), plan)
                    .map_err(insert::unfit)?,
            ),
            other => other,
        };
        let partition_columns = partition_columns(context, &name, &fields, &ast.partitioned_by)?;
        let mut properties: BTreeMap<String, String> = ast
            .properties
            .into_iter()
            .map(|(key, value)| property::check(&key, &value, &fields))
            .collect::<Result<_, _>>()?;
        properties.extend(defined.constraints);
        property::check_together(&properties, &Schema::new(fields.clone()), &partition_columns)?;
        let table = NewTable {
            schema_name: name.schema.clone(),
            name: name.name.clone(),
            schema: Arc::new(Schema::new(fields)),
            partition_columns,
            properties,
            comment: ast.comment,
            replace: ast.or_replace,
        };
        let create = Self { name, if_not_exists: ast.if_not_exists, table, rules: defined.rules, query };
        if let Err(taken) = create.exists(context).await {
            let idempotency_key = create.keyed().key(context.session.idempotency_key());
            // A run tells the statements of a key apart.
            let asked = CommitInfo { idempotency_key, key_is_for: None, ..CommitInfo::default() };
            if !create.made_before(context, &asked).await? {
                return Err(taken.at(&context.sql, place));
            }
        }
        Ok(create)
    }

    /// A table without rows leaves the key to the statement that brings some, and so does one that somebody else may have
    /// made.
    pub fn keyed(&self) -> Keyed {
        if self.query.is_some() && !self.if_not_exists { Keyed::Takes } else { Keyed::Leaves }
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let (lake, info) = (context.engine.lake(), name::commit_info(context));
        match self.exists(context).await {
            Ok(false) => {}
            there => return self.is_there(context, &info, there.map(drop)).await,
        }
        // A second time it would take the place of rows that came since.
        if self.table.replace && context.session.idempotency_key().is_some() {
            let what = if self.query.is_some() { "CREATE OR REPLACE TABLE AS" } else { "CREATE OR REPLACE TABLE" };
            let message = format!("{what} is not carried out once for each idempotency_key");
            let hint = "RESET idempotency_key before it; INSERT OVERWRITE takes a key.";
            return Err(EngineError::unsupported(message).with_hint(hint));
        }
        let made = match &self.query {
            None => write::create(lake, &self.table, &info).await,
            Some(query) => {
                let plan = parameter::bind(query, parameters)?;
                write::create_as(lake, &self.table, plan, &self.rules, context.state.clone(), &info).await
            }
        };
        match made {
            Ok(_) => Ok(Outcome::Done("CREATE TABLE")),
            // Somebody else was quicker, or this statement itself, sent twice.
            Err(error @ StorageError::TableExists { .. }) => {
                let there = if self.if_not_exists { Ok(()) } else { Err(error.into()) };
                self.is_there(context, &info, there).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The answer where the table is there: that of the statement that made it, when this is the same, else what is `said`.
    async fn is_there(
        &self,
        context: &Context,
        info: &CommitInfo,
        said: Result<(), EngineError>,
    ) -> Result<Outcome, EngineError> {
        if !self.made_before(context, info).await? {
            said?;
        }
        Ok(Outcome::Done("CREATE TABLE"))
    }

    /// Whether a statement with the key of `info` made the table that is there. An error when it was another one than this.
    async fn made_before(&self, context: &Context, info: &CommitInfo) -> Result<bool, EngineError> {
        if info.idempotency_key.is_none() || self.table.replace {
            return Ok(false);
        }
        let lake = context.engine.lake();
        let done = match lake.table(&self.name.schema, &self.name.name).await {
            Ok(table) => write::done_before(lake, &table, info).await,
            // A view, or a table that cannot be read.
            Err(
                StorageError::TableNotFound { .. }
                | StorageError::ReadTable { .. }
                | StorageError::UnsupportedFeature { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        };
        match done {
            // A table of another shape is just there: its key was not used up.
            Err(StorageError::KeyReused { .. } | StorageError::KeyForgotten { .. })
                if self.keyed() == Keyed::Leaves =>
            {
                Ok(false)
            }
            done => Ok(done?.is_some()),
        }
    }

    /// Whether the table is there and may stay; a name that is taken otherwise is an error.
    async fn exists(&self, context: &Context) -> Result<bool, EngineError> {
        let hint = "CREATE OR REPLACE TABLE replaces it; IF NOT EXISTS leaves it.";
        match name::find(context, &self.name).await? {
            Some(Kind::Table) if self.table.replace => Ok(false),
            Some(Kind::Table | Kind::External) if self.if_not_exists => Ok(true),
            Some(kind) => Err(name::taken(&self.name, kind, hint)),
            None => Ok(false),
        }
    }

    /// The same statement with rows that the caller brings, in place of a query.
    pub fn filled_with(self, rows: LogicalPlan) -> Result<Self, EngineError> {
        if self.query.is_some() || self.if_not_exists {
            return Err(EngineError::invalid("rows are loaded by a CREATE [OR REPLACE] TABLE that names its columns"));
        }
        Ok(Self { query: Some(rows), ..self })
    }

    /// The query that is read, for EXPLAIN and parameters.
    pub fn source(&self) -> Option<&LogicalPlan> {
        self.query.as_ref()
    }
}

/// Columns with types.
pub(crate) fn columns(context: &Context, columns: &[create::Column]) -> Result<Vec<FieldRef>, EngineError> {
    let at =
        |error: EngineError, column: &create::Column| error.at(&context.sql, Place::of_token_span(column.name.span));
    let mut fields: Vec<FieldRef> = Vec::with_capacity(columns.len());
    for column in columns {
        let name = folded(&column.name);
        let Some(sql) = &column.data_type else {
            return Err(at(EngineError::invalid(format!("column \"{name}\" has no type")), column));
        };
        let data_type = data_type::arrow_type(sql).map_err(|error| at(error, column))?;
        // Delta keeps case and compares without it.
        if fields.iter().any(|field| field.name().eq_ignore_ascii_case(&name)) {
            return Err(at(EngineError::invalid(format!("column \"{name}\" is named twice")), column));
        }
        fields.push(Arc::new(with_comment(Field::new(name, data_type, !column.not_null), column.comment.as_ref())));
    }
    Ok(fields)
}

fn with_comment(field: Field, comment: Option<&String>) -> Field {
    match comment {
        Some(comment) => field.with_metadata([("comment".to_string(), comment.clone())].into()),
        None => field,
    }
}

/// The query, and the columns that it makes.
async fn plan_query(
    context: &Context,
    query: ast::Query,
    columns: &[create::Column],
) -> Result<(Vec<FieldRef>, LogicalPlan), EngineError> {
    let plan = context.analyze(parameter::settle(context.plan_query(query).await?)?)?;
    let given: Vec<FieldRef> = plan.schema().fields().iter().map(plain).collect();
    if columns.is_empty() {
        let twice = given
            .iter()
            .enumerate()
            .find(|(n, field)| given[..*n].iter().any(|other| other.name().eq_ignore_ascii_case(field.name())));
        if let Some((_, field)) = twice {
            return Err(EngineError::invalid(format!("two columns of the query have the name \"{}\"", field.name()))
                .with_hint("Give one of them another name with AS."));
        }
        let plan = insert::under_names(plan, &given)?;
        return Ok((given, plan));
    }
    if columns.len() != given.len() {
        let message = format!("the table names {} columns, its query has {}", columns.len(), given.len());
        return Err(EngineError::invalid(message));
    }
    let mut fields = Vec::with_capacity(given.len());
    for (column, given) in columns.iter().zip(&given) {
        let field = match column.data_type {
            Some(_) => Arc::clone(&self::columns(context, std::slice::from_ref(column))?[0]),
            None => {
                let field = given.as_ref().clone().with_name(folded(&column.name)).with_nullable(!column.not_null);
                Arc::new(with_comment(field, column.comment.as_ref()))
            }
        };
        fields.push(field);
    }
    if let Some((_, column)) = columns.iter().enumerate().find(|(n, column)| {
        columns[..*n].iter().any(|other| folded(&other.name).eq_ignore_ascii_case(&folded(&column.name)))
    }) {
        let error = EngineError::invalid(format!("column \"{}\" is named twice", folded(&column.name)));
        return Err(error.at(&context.sql, Place::of_token_span(column.name.span)));
    }
    let plan = insert::under_names(plan, &fields)?;
    Ok((fields, plan))
}

/// A query's column as a table's: NULL is allowed, encodings are undone, a column of nothing but NULL is text.
pub(crate) fn plain(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Null | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, true))
}

fn partition_columns(
    context: &Context,
    table: &TableName,
    fields: &[FieldRef],
    names: &[ast::Ident],
) -> Result<Vec<String>, EngineError> {
    let mut columns: Vec<String> = Vec::with_capacity(names.len());
    for ident in names {
        let name = folded(ident);
        let at = |error: EngineError| error.at(&context.sql, Place::of_token_span(ident.span));
        let Some(field) = fields.iter().find(|field| *field.name() == name) else {
            let mut error = EngineError::not_found(format!("column \"{name}\" does not exist in table \"{table}\""));
            error.hint = did_you_mean(&name, fields.iter().map(|field| field.name().as_str()));
            return Err(at(error));
        };
        if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary) {
            let given = data_type::sql_type(field.data_type());
            let message = format!("a table cannot be partitioned by column \"{name}\", which is {given}");
            return Err(at(
                EngineError::unsupported(message).with_hint("Choose a column of numbers, dates or short texts.")
            ));
        }
        if columns.contains(&name) {
            return Err(at(EngineError::invalid(format!("column \"{name}\" is named twice"))));
        }
        columns.push(name);
    }
    if columns.len() == fields.len() {
        return Err(EngineError::invalid(format!("table \"{table}\" has no columns besides those of PARTITIONED BY"))
            .with_hint("Leave one of them out of PARTITIONED BY."));
    }
    Ok(columns)
}
