//! The columns of a mart's table: those of its query, under what the definition declares.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{
    StorageError,
    write::{self, NewTable, Rules, kept_type},
};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema},
    logical_expr::LogicalPlan,
};

use super::{
    definition::{Column, Definition},
    fault::Fault,
    scd2,
    strategy::Strategy,
    test_sql::quoted,
};
use crate::{
    EngineError,
    error::did_you_mean,
    parser::{self, Ast, create::Create},
    statement::{Context, columns_of, plain_column, under_names, unfit},
};

/// The columns of the table that the rows of `plan` are for, which must fit into them.
pub(super) fn columns(context: &Context, definition: &Definition, plan: LogicalPlan) -> Result<Vec<FieldRef>, Fault> {
    let file = &definition.file;
    let given: Vec<FieldRef> = plan.schema().fields().iter().map(plain_column).collect();
    for (n, field) in given.iter().enumerate() {
        if given[..n].iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            let error = EngineError::invalid(format!("two columns of the query have the name \"{}\"", field.name()));
            return Err(Fault::new(file, None, error.with_hint("Give one of them another name with AS.")));
        }
    }
    let names = || given.iter().map(|field| field.name().as_str());
    for column in &definition.columns {
        if !names().any(|name| name == column.name) {
            return Err(Fault::new(file, column.line, no_column(&column.name, names())));
        }
    }
    let mut fields: Vec<FieldRef> = Vec::with_capacity(given.len());
    for field in &given {
        let declared = definition.columns.iter().find(|column| column.name == *field.name());
        if declared.is_none() && definition.contract {
            let error = EngineError::invalid(format!("column \"{}\" is not declared", field.name()));
            let hint = "The definition has contract = true: add a [[column]], or leave the column out of the query.";
            return Err(Fault::new(file, None, error.with_hint(hint)));
        }
        fields.push(Arc::new(table_field(context, definition, field, declared)?));
    }
    check_key(definition, &fields)?;
    check_interval(definition, &fields)?;
    check_partitions(definition, &fields)?;
    let plan = under_names(plan, &fields).map_err(|error| Fault::new(file, None, error))?;
    let fit = write::conform(&definition.name(), &Schema::new(fields.clone()), &Rules::default(), plan);
    fit.map_err(|error| {
        let named = match &error {
            StorageError::TypeMismatch { column, .. } | StorageError::NullValue { column, .. } => Some(column),
            _ => None,
        };
        let declared = definition.columns.iter().find(|column| Some(&column.name) == named);
        Fault::new(file, declared.map(|column| column.line), unfit(error))
    })?;
    if definition.strategy == Strategy::Scd2 {
        for field in scd2::fields() {
            if let Some(same) = fields.iter().find(|other| other.name().eq_ignore_ascii_case(field.name())) {
                let error = EngineError::invalid(format!("column \"{}\" is one that the strategy makes", same.name()));
                return Err(Fault::new(file, None, error.with_hint("Give it another name with AS.")));
            }
            fields.push(field);
        }
    }
    check_table(definition, &fields)?;
    Ok(fields)
}

/// What a table cannot have is found here, and not by a run.
fn check_table(definition: &Definition, fields: &[FieldRef]) -> Result<(), Fault> {
    let table = |fields: &[FieldRef], partition_columns: Vec<String>| NewTable {
        schema_name: definition.name.schema.clone(),
        name: definition.name.name.clone(),
        schema: Arc::new(Schema::new(fields.to_vec())),
        partition_columns,
        properties: BTreeMap::new(),
        comment: None,
        replace: true,
    };
    let Err(error) = write::check_new(&table(fields, definition.partition_by.clone())) else { return Ok(()) };
    // A column by itself tells which one it is.
    let is_refused = |field: &&FieldRef| write::check_new(&table(std::slice::from_ref(*field), Vec::new())).is_err();
    let line = fields.iter().find(is_refused).and_then(|field| {
        let declared = definition.columns.iter().find(|column| column.name == *field.name());
        declared.map(|column| column.line).or_else(|| line_of(&definition.text, field.name()))
    });
    Err(Fault::new(&definition.file, line, error.into()))
}

/// The line of a definition whose query names a column so, or has the expression that gives it the name.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let query = text.find("---*/").unwrap_or_default();
    let found = [quoted(&name), name].into_iter().find_map(|wanted| text[query..].find(&wanted))?;
    Some(text[..query + found].matches('\n').count() + 1)
}

/// `column "x" is not one of the query's`, with the nearest one.
pub(super) fn no_column<'a>(name: &str, columns: impl Iterator<Item = &'a str> + Clone) -> EngineError {
    let hint = did_you_mean(name, columns.clone());
    let hint = hint.unwrap_or_else(|| format!("Its columns are {}.", columns.collect::<Vec<_>>().join(", ")));
    EngineError::invalid(format!("column \"{name}\" is not one of the query's")).with_hint(hint)
}

fn table_field(
    context: &Context,
    definition: &Definition,
    given: &Field,
    declared: Option<&Column>,
) -> Result<Field, Fault> {
    let kept = |data_type: &DataType| {
        kept_type(data_type).map_err(|why| {
            let message = format!("column \"{}\" has a type that a table does not keep: {why}", given.name());
            let error = EngineError::unsupported(message).with_hint("CAST it to another type in the query.");
            Fault::new(&definition.file, None, error)
        })
    };
    let Some(column) = declared else {
        return Ok(Field::new(given.name(), kept(given.data_type())?, true));
    };
    let data_type = match &column.data_type {
        None => kept(given.data_type())?,
        Some(sql) => declared_type(context, sql).map_err(|error| Fault::new(&definition.file, column.line, error))?,
    };
    let field = Field::new(given.name(), data_type, !column.not_null);
    Ok(match &column.description {
        Some(text) => field.with_metadata([("comment".to_owned(), text.clone())].into()),
        None => field,
    })
}

fn declared_type(context: &Context, sql: &str) -> Result<DataType, EngineError> {
    let wrong = || {
        EngineError::invalid(format!("\"{sql}\" is not a type"))
            .with_hint("Write it as in CREATE TABLE: BIGINT, DECIMAL(10, 2), VARCHAR, DATE, TIMESTAMP.")
    };
    let text = format!("CREATE TABLE t ({} {sql})", quoted("c"));
    let Ok(Ast::Create(create)) = parser::parse(&text) else { return Err(wrong()) };
    let Create::Table(table) = *create else { return Err(wrong()) };
    let [column] = table.columns.as_slice() else { return Err(wrong()) };
    let is_plain = !column.not_null
        && column.comment.is_none()
        && column.default.is_none()
        && column.generated.is_none()
        && column.identity.is_none()
        && column.checks.is_empty();
    if !is_plain || !table.checks.is_empty() || !table.partitioned_by.is_empty() || table.query.is_some() {
        return Err(wrong());
    }
    let fields = columns_of(context, &table.columns).map_err(EngineError::without_excerpt)?;
    fields.first().map(|field| field.data_type().clone()).ok_or_else(wrong)
}

fn check_key(definition: &Definition, fields: &[FieldRef]) -> Result<(), Fault> {
    let at = |error| Fault::new(&definition.file, definition.key_line, error);
    for name in &definition.key {
        let Some(field) = fields.iter().find(|field| field.name() == name) else {
            return Err(at(no_column(name, fields.iter().map(|field| field.name().as_str()))));
        };
        if field.data_type().is_nested() {
            let error = EngineError::unsupported(format!("column \"{name}\", which is nested, cannot be of the key"));
            return Err(at(error.with_hint("Choose columns of plain values.")));
        }
    }
    Ok(())
}

fn check_interval(definition: &Definition, fields: &[FieldRef]) -> Result<(), Fault> {
    let Some(name) = definition.replaced_by() else { return Ok(()) };
    let at = |error| Fault::new(&definition.file, definition.interval.as_ref().map(|interval| interval.line), error);
    match fields.iter().find(|field| field.name() == name) {
        None => {
            let error = no_column(name, fields.iter().map(|field| field.name().as_str()));
            let hint =
                "An interval that runs again replaces its rows, by this column: SELECT it, or choose another strategy.";
            Err(at(error.with_hint(hint)))
        }
        Some(field) if !matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..)) => {
            let error = EngineError::invalid(format!("column \"{name}\" is neither a date nor a time"));
            Err(at(error.with_hint("interval is about a DATE or a TIMESTAMP.")))
        }
        Some(_) => Ok(()),
    }
}

fn check_partitions(definition: &Definition, fields: &[FieldRef]) -> Result<(), Fault> {
    let at = |error| Fault::new(&definition.file, definition.partition_line, error);
    for (n, name) in definition.partition_by.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.name() == name) else {
            return Err(at(no_column(name, fields.iter().map(|field| field.name().as_str()))));
        };
        if definition.partition_by[..n].contains(name) {
            return Err(at(EngineError::invalid(format!("column \"{name}\" is named twice"))));
        }
        if field.data_type().is_nested() || *field.data_type() == DataType::Binary {
            let error = EngineError::unsupported(format!("a table cannot be partitioned by column \"{name}\""));
            return Err(at(error.with_hint("Choose a column of numbers, dates or short texts.")));
        }
    }
    if !definition.partition_by.is_empty() && definition.partition_by.len() == fields.len() {
        let error = EngineError::invalid("the table has no columns besides those of partition_by");
        return Err(at(error.with_hint("Leave one of them out of partition_by.")));
    }
    Ok(())
}
