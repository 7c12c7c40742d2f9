//! Files as tables: `FROM 'path/*.parquet'`, external tables, `read_csv` and its kin.
//!
//! ```text
//! read_csv('files' [, option => value] ...)     options as in COPY: header, delim, quote, escape, nullstr, compression
//! read_json('files' [, option => value] ...)    compression
//! read_parquet('files')
//! columns => 'a INT, b VARCHAR'                 read_csv, read_json: the columns instead of looking for them
//! ```

use std::sync::Arc;

use boathouse_storage::{Snapshot, catalog::ExternalTable};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    catalog::TableProvider,
    sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, UnaryOperator, Value},
};
use url::Url;

use crate::{
    EngineError,
    file::{
        TableSpec, access,
        options::{FileOptions, Format, unknown_option},
        table,
    },
    parser::{copy::OptionValue, create},
    statement::{Context, columns_of},
};

/// `FROM 'path/*.parquet'`.
pub(crate) async fn file_table(context: &Context, path: &str) -> Result<Arc<dyn TableProvider>, EngineError> {
    table(context, &TableSpec { path: path.into(), ..TableSpec::default() }).await
}

/// A table made by CREATE EXTERNAL TABLE; with its snapshot when it is a Delta table.
pub(crate) async fn external_table(
    context: &Context,
    name: &str,
    external: &ExternalTable,
) -> Result<(Arc<dyn TableProvider>, Option<Arc<Snapshot>>), EngineError> {
    let location = &external.location;
    let found = match external.format.as_str() {
        "delta" => delta_table(context, location).await,
        format => match external_spec(context, format, external) {
            Ok(spec) => table(context, &spec).await.map(|table| (table, None)),
            Err(error) => Err(error),
        },
    };
    found.map_err(|error| {
        let message = format!("external table \"{name}\" cannot be read: {}", error.message);
        EngineError { message, ..error }
    })
}

async fn delta_table(
    context: &Context,
    location: &str,
) -> Result<(Arc<dyn TableProvider>, Option<Arc<Snapshot>>), EngineError> {
    let url: Url = access::locate(&context.engine, location)?.folder_url();
    let snapshot = context.pinned.table_at(&url).await?;
    Ok((snapshot.provider()?, Some(snapshot)))
}

fn external_spec(context: &Context, format: &str, external: &ExternalTable) -> Result<TableSpec, EngineError> {
    let Some(format) = Format::of_name(format) else {
        return Err(EngineError::unsupported(format!("format \"{format}\" is not supported")));
    };
    let mut options = FileOptions::of_format(format);
    for (name, value) in &external.options {
        if !options.set(name, &OptionValue::Text(value.clone()))? {
            return Err(unknown_option(name, FileOptions::NAMES));
        }
    }
    let columns = match external.columns.as_str() {
        "" => None,
        columns => Some(columns_of(context, &create::parse_columns(columns)?)?),
    };
    let partition_column = |name: &String| -> FieldRef {
        let declared = columns.iter().flatten().find(|field: &&FieldRef| field.name() == name);
        declared.cloned().unwrap_or_else(|| Arc::new(Field::new(name, DataType::Utf8, true)))
    };
    let partition_columns: Vec<FieldRef> = external.partition_columns.iter().map(partition_column).collect();
    // Nothing but typed partition columns: the others are found in the files.
    let only_partitions = columns.iter().flatten().all(|column| partition_columns.contains(column));
    let columns = if only_partitions { None } else { columns };
    Ok(TableSpec { path: external.location.clone(), options, columns, partition_columns })
}

/// What a function in FROM reads, when it is one of those here.
fn format_of(name: &str) -> Option<Format> {
    Some(match name {
        "read_csv" => Format::Csv,
        "read_json" => Format::Json,
        "read_parquet" => Format::Parquet,
        _ => return None,
    })
}

/// Whether [`table_function`] knows the function.
pub(crate) fn reads_files(name: &str) -> bool {
    format_of(name).is_some()
}

/// `FROM read_csv(...)`.
pub(crate) async fn table_function(
    context: &Context,
    name: &str,
    args: &[FunctionArg],
) -> Result<Arc<dyn TableProvider>, EngineError> {
    let Some(format) = format_of(name) else {
        return Err(EngineError::internal(format!("\"{name}\" does not read files")));
    };
    let mut spec = TableSpec { options: FileOptions::of_format(format), ..TableSpec::default() };
    let mut args = args.iter();
    spec.path = match args.next() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(path))) => literal(name, "the first argument", path)?,
        _ => {
            return Err(EngineError::invalid(format!("{name} needs the path of the files as its first argument"))
                .with_hint(format!("Write {name}('path/*.{}').", format.name().to_lowercase())));
        }
    };
    for arg in args {
        let FunctionArg::Named { name: option, arg: FunctionArgExpr::Expr(value), .. } = arg else {
            return Err(EngineError::invalid(format!("an argument of {name} has no name: {arg}"))
                .with_hint("Write option => value after the path."));
        };
        let value = literal(name, &option.value, value)?;
        if option.value.eq_ignore_ascii_case("columns") && format != Format::Parquet {
            spec.columns = Some(columns_of(context, &create::parse_columns(&value)?)?);
        } else if option.value.eq_ignore_ascii_case("format")
            || !spec.options.set(&option.value, &OptionValue::Text(value))?
        {
            let known: Vec<&str> = match format {
                Format::Csv => vec!["columns", "header", "delim", "quote", "escape", "nullstr", "compression"],
                Format::Json => vec!["columns", "compression"],
                Format::Parquet => vec![],
            };
            return Err(unknown_option(&option.value, &known));
        }
    }
    table(context, &spec).await
}

/// The text of a literal argument.
fn literal(function: &str, argument: &str, value: &Expr) -> Result<String, EngineError> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => return Ok(text.clone()),
            Value::Boolean(value) => return Ok(value.to_string()),
            Value::Number(digits, _) => return Ok(digits.clone()),
            _ => {}
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            return literal(function, argument, expr).map(|digits| format!("-{digits}"));
        }
        _ => {}
    }
    Err(EngineError::invalid(format!("{argument} of {function} is not a constant: {value}"))
        .with_hint("Write a string, a number, true or false."))
}
