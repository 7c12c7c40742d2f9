//! Unknown and ambiguous columns.

use boathouse_storage::table::ADDRESS_PREFIX;
use datafusion::{
    common::{Column, DataFusionError, SchemaError},
    sql::sqlparser::{
        dialect::GenericDialect,
        tokenizer::{Token, Tokenizer},
    },
};

use super::{EngineError, ErrorKind, Place, did_you_mean};

/// Where an unknown column is when the library lost its place, as in ORDER BY: the one mention of its name.
pub(super) fn place(error: &DataFusionError, sql: &str) -> Option<Place> {
    let DataFusionError::SchemaError(inner, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, .. } = inner.as_ref() else { return None };
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let mut mentions = tokens.iter().filter(|token| match &token.token {
        Token::Word(word) if word.quote_style.is_some() => word.value == field.name,
        Token::Word(word) => word.value.to_lowercase() == field.name,
        _ => false,
    });
    let only = mentions.next().filter(|_| mentions.next().is_none())?;
    Place::of_token_span(only.span)
}

pub(super) fn convert(error: SchemaError) -> EngineError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => not_found(&field, &valid_fields),
        SchemaError::AmbiguousReference { field } => {
            EngineError::invalid(format!("column reference \"{}\" is ambiguous", field.name))
                .with_hint("Put the table's name or alias before it.")
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            EngineError::invalid(format!("\"{}\" stands twice in FROM", qualifier.table()))
                .with_hint("Give one of them an alias of its own.")
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            EngineError::invalid(format!("two columns have the name \"{name}\""))
                .with_hint("Give one of them another name with AS.")
        }
    }
}

fn not_found(field: &Column, valid: &[Column]) -> EngineError {
    // Nobody asked for the addresses of rows.
    let valid: Vec<Column> = valid.iter().filter(|known| !known.name.starts_with(ADDRESS_PREFIX)).cloned().collect();
    let valid = valid.as_slice();
    let table = field.relation.as_ref().map(|relation| relation.table());
    let of_table: Vec<&Column> = match table {
        Some(table) => {
            valid.iter().filter(|column| column.relation.as_ref().is_some_and(|known| known.table() == table)).collect()
        }
        None => valid.iter().collect(),
    };
    let message = match table {
        Some(table) if of_table.is_empty() && !valid.is_empty() => {
            return unknown_qualifier(table, valid);
        }
        Some(table) => format!("column \"{}\" does not exist in table \"{table}\"", field.name),
        None => match only_table(valid) {
            Some(table) => format!("column \"{}\" does not exist in table \"{table}\"", field.name),
            None => format!("column \"{}\" does not exist", field.name),
        },
    };
    let mut error = EngineError::new(ErrorKind::NotFound, message);
    error.hint = did_you_mean(&field.name, of_table.iter().map(|column| column.name.as_str()));
    if error.hint.is_none() && !of_table.is_empty() {
        error.hint = Some(format!("Columns there: {}.", listed(&of_table)));
    }
    error
}

fn unknown_qualifier(table: &str, valid: &[Column]) -> EngineError {
    let known: Vec<&str> =
        valid.iter().filter_map(|column| column.relation.as_ref().map(|relation| relation.table())).collect();
    let mut error = EngineError::new(ErrorKind::NotFound, format!("there is no table or alias \"{table}\" in FROM"));
    error.hint = did_you_mean(table, known);
    error
}

/// The one table that all columns come from.
fn only_table(valid: &[Column]) -> Option<&str> {
    let first = valid.first()?.relation.as_ref()?.table();
    valid
        .iter()
        .all(|column| column.relation.as_ref().is_some_and(|relation| relation.table() == first))
        .then_some(first)
}

/// The first few names.
fn listed(columns: &[&Column]) -> String {
    const NAMES_MAX: usize = 8;
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let name = format!("\"{}\"", column.name);
        // ORDER BY sees what SELECT gives and what FROM has.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
    names.truncate(NAMES_MAX);
    names.join(", ") + more
}
