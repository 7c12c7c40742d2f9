//! From the rows of a run to the statement that publishes them.
//!
//! The table is made anew where the definition says another table than the one that is there, and keeps its history; rows
//! alone are overwritten. Texts are written for all but the query, whose tree keeps its places in the definition's file.

use std::fmt::Write;

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::FieldRef,
    sql::sqlparser::ast::{Query, SetExpr, Statement as SqlStatement, TableFactor},
};

use super::{
    definition::{Definition, Strategy},
    test_sql::{quoted, table, text, violation},
};
use crate::{
    EngineError,
    catalog::TableName,
    parser::{self, Ast, create::Create},
    statement::{check_property, data_type::sql_type},
};

/// The statement that publishes the rows of `query` in the mart's table.
pub(super) fn statement(
    definition: &Definition,
    columns: &[FieldRef],
    target: Option<&Snapshot>,
    query: Query,
) -> Result<Ast, EngineError> {
    // Nothing in place of nothing would be no commit, and nobody would look at it.
    let is_kept = |target: &Snapshot| target.file_count() > 0 && is_defined_so(definition, columns, target);
    match definition.strategy {
        Strategy::Full if target.is_some_and(is_kept) => {
            let listed: Vec<String> = columns.iter().map(|column| quoted(column.name())).collect();
            let sql = format!("INSERT OVERWRITE {} ({}) SELECT 1", table(&definition.name), listed.join(", "));
            match parser::parse(&sql)? {
                Ast::Sql(statement) => match *statement {
                    SqlStatement::Insert(mut insert) => {
                        insert.source = Some(Box::new(query));
                        Ok(Ast::Sql(Box::new(SqlStatement::Insert(insert))))
                    }
                    _ => Err(lost()),
                },
                _ => Err(lost()),
            }
        }
        Strategy::Full => {
            let made = Made {
                name: &definition.name,
                columns,
                partition_by: &definition.partition_by,
                comment: definition.description.as_deref(),
                properties: target.map(|target| kept_properties(target, columns)).unwrap_or_default(),
            };
            made.filled_with(query)
        }
    }
}

/// A table to make, or to make anew.
pub(super) struct Made<'a> {
    pub name: &'a TableName,
    pub columns: &'a [FieldRef],
    pub partition_by: &'a [String],
    pub comment: Option<&'a str>,
    pub properties: Vec<(String, String)>,
}

impl Made<'_> {
    /// CREATE OR REPLACE TABLE with the rows of a query.
    pub fn filled_with(&self, query: Query) -> Result<Ast, EngineError> {
        match parser::parse(&self.sql())? {
            Ast::Create(create) => match *create {
                Create::Table(mut table) => {
                    table.query = Some(Box::new(query));
                    Ok(Ast::Create(Box::new(Create::Table(table))))
                }
                _ => Err(lost()),
            },
            _ => Err(lost()),
        }
    }

    fn sql(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let not_null = if column.is_nullable() { "" } else { " NOT NULL" };
            let comment = column.metadata().get("comment").map(|comment| format!(" COMMENT {}", text(comment)));
            let (name, data_type) = (quoted(column.name()), sql_type(column.data_type()));
            format!("{name} {data_type}{not_null}{}", comment.unwrap_or_default())
        });
        let columns: Vec<String> = columns.collect();
        let mut sql = format!("CREATE OR REPLACE TABLE {} ({})", table(self.name), columns.join(", "));
        if !self.partition_by.is_empty() {
            let listed: Vec<String> = self.partition_by.iter().map(|name| quoted(name)).collect();
            let _ = write!(sql, " PARTITIONED BY ({})", listed.join(", "));
        }
        if let Some(comment) = self.comment {
            let _ = write!(sql, " COMMENT {}", text(comment));
        }
        if !self.properties.is_empty() {
            let listed = self.properties.iter().map(|(key, value)| format!("{} = {}", text(key), text(value)));
            let _ = write!(sql, " TBLPROPERTIES ({})", listed.collect::<Vec<_>>().join(", "));
        }
        sql + " AS SELECT 1"
    }
}

/// Whether the table that is there is the one that the definition says.
fn is_defined_so(definition: &Definition, columns: &[FieldRef], target: &Snapshot) -> bool {
    let there = target.schema();
    let same = |wanted: &FieldRef, there: &FieldRef| {
        wanted.name() == there.name()
            && sql_type(wanted.data_type()) == sql_type(there.data_type())
            && wanted.is_nullable() == there.is_nullable()
            && wanted.metadata().get("comment") == there.metadata().get("comment")
    };
    there.fields().len() == columns.len()
        && columns.iter().zip(there.fields()).all(|(wanted, there)| same(wanted, there))
        && target.partition_columns() == definition.partition_by
        && target.comment() == definition.description.as_deref()
}

/// What people set on the table stays when it is made anew.
fn kept_properties(target: &Snapshot, columns: &[FieldRef]) -> Vec<(String, String)> {
    let properties = target.properties().iter();
    let kept = properties.filter(|(key, value)| check_property(key, value, columns).is_ok());
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The query without rows that violate one of these conditions.
pub(super) fn without(query: Query, violations: &[String]) -> Result<Query, EngineError> {
    if violations.is_empty() {
        return Ok(query);
    }
    let conditions: Vec<String> = violations.iter().map(|violation| format!("NOT {violation}")).collect();
    around(&format!("SELECT mart.* FROM (SELECT 1 AS one) AS mart WHERE {}", conditions.join(" AND ")), query)
}

/// The conditions for the rows that tests of these kinds take away.
pub(super) fn violations<'a>(tests: impl Iterator<Item = &'a super::test::Test>) -> Vec<String> {
    tests.filter_map(|test| violation(&test.check)).collect()
}

/// `sql`, a SELECT from one subquery, over the query.
pub(super) fn around(sql: &str, query: Query) -> Result<Query, EngineError> {
    let mut outer = *parser::parse_query(sql)?;
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        **subquery = query;
        return Ok(outer);
    }
    Err(lost())
}

fn lost() -> EngineError {
    EngineError::internal("the statement of a mart is another one than was written")
}
