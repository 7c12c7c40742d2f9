//! Rows that a test keeps out of a mart's table, in a table of their own: `<mart>_quarantine`, those of the last run.
//!
//! It is written before the mart's table: a run that ends in between is repeated, and writes it anew.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    sql::sqlparser::ast::Query,
};

use super::{
    definition::Definition,
    publish::{Made, around, insert, list},
    test::{OnViolation, Test},
    test_sql::{table, text, violation, violation_as_value},
};
use crate::{EngineError, catalog::TableName, parser::Ast};

/// The program under whose name a table of such rows tells what it is.
pub(super) const PROGRAM: &str = "boathouse-mart-quarantine";
/// Which tests a row violates.
const TESTS: &str = "violates";
/// Which run kept it out.
const RUN: &str = "run_id";

/// The table of a mart's rows that were kept out.
pub(super) fn name(mart: &TableName) -> TableName {
    TableName::new(&mart.schema, format!("{}_quarantine", mart.name))
}

/// The tests whose violations go there.
pub(super) fn tests(definition: &Definition) -> Vec<&Test> {
    definition.tests.iter().filter(|test| test.on_violation == OnViolation::Quarantine).collect()
}

/// The statement that writes the rows of a run, or `more` of them.
pub(super) fn statement(
    definition: &Definition,
    columns: &[FieldRef],
    query: Query,
    run: &str,
    more: bool,
) -> Result<Ast, EngineError> {
    let tests = tests(definition);
    let each = tests.iter().filter_map(|test| {
        let condition = violation_as_value(&test.check)?;
        Some(format!("CASE WHEN {condition} THEN {} END", text(&test.name)))
    });
    let each: Vec<String> = each.collect();
    let any: Vec<String> = tests.iter().filter_map(|test| violation(&test.check)).collect();
    let sql = format!(
        "SELECT mart.*, concat_ws(', ', {}) AS {TESTS}, {} AS {RUN} FROM (SELECT 1 AS one) AS mart WHERE {}",
        each.join(", "),
        text(run),
        any.join(" OR ")
    );
    let (name, comment) = (name(&definition.name), format!("Rows that tests kept out of {}", definition.name));
    let nullable = columns.iter().map(|column| Arc::new(column.as_ref().clone().with_nullable(true)));
    let own = [TESTS, RUN].map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    let columns: Vec<FieldRef> = nullable.chain(own).collect();
    if more {
        let listed = list(columns.iter().map(|column| column.name()));
        return insert(&format!("INSERT INTO {} ({listed}) SELECT 1", table(&name)), around(&sql, query)?);
    }
    let made =
        Made { name: &name, columns: &columns, partition_by: &[], comment: Some(&comment), properties: Vec::new() };
    made.filled_with(around(&sql, query)?)
}
