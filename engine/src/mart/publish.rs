//! From the rows of a run to the statement that publishes them.
//!
//! A full run makes the table anew where the definition says another table than the one that is there, and keeps its
//! history; rows alone are overwritten. What keeps rows leaves the table as it is, and refuses another one. Texts are
//! written for all but the query, whose tree keeps its places in the definition's file.

use std::fmt::Write;

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::FieldRef,
    sql::sqlparser::ast::{
        Merge, Query, SetExpr, Statement as SqlStatement, TableFactor, helpers::attached_token::AttachedToken,
    },
};

use super::{
    definition::Definition,
    interval::Interval,
    scd2,
    strategy::Strategy,
    test_sql::{quoted, table, text, violation},
};
use crate::{
    EngineError,
    catalog::TableName,
    parser::{self, Ast, create::Create},
    statement::{PRIMARY_KEY, check_property, data_type::sql_type},
};

/// The statement that publishes the rows of `query` in the mart's table.
pub(super) fn statement(
    definition: &Definition,
    columns: &[FieldRef],
    target: Option<&Snapshot>,
    query: Query,
    interval: Option<&Interval>,
    now_ms: i64,
) -> Result<Ast, EngineError> {
    let Some(target) = target else { return made(definition, columns, None, query, now_ms) };
    if definition.strategy.keeps_rows()
        && let Some(difference) = difference(definition, columns, target)
    {
        let name = &definition.name;
        let error = EngineError::invalid(format!("the table of mart \"{name}\" is another one now: {difference}"));
        let hint = format!("boathouse mart run {name} --rebuild makes it anew, of all rows that the query gives then.");
        return Err(error.with_hint(hint));
    }
    let name = table(&definition.name);
    let listed = list(columns.iter().map(|column| column.name()));
    if let (Some(column), Some(interval)) = (definition.replaced_by(), interval) {
        let condition = interval.contains(&quoted(column));
        return insert(&format!("INSERT INTO {name} ({listed}) REPLACE WHERE {condition} SELECT 1"), query);
    }
    match definition.strategy {
        // Nothing in place of nothing would be no commit, and nobody would look at it.
        Strategy::Full if target.file_count() > 0 && is_defined_so(definition, columns, target) => {
            insert(&format!("INSERT OVERWRITE {name} ({listed}) SELECT 1"), query)
        }
        Strategy::Full => made(definition, columns, Some(target), query, now_ms),
        Strategy::Scd2 => scd2::merge(definition, columns, query, now_ms),
        Strategy::Merge => merge(definition, columns, query),
        Strategy::Append => Err(EngineError::internal("rows of no interval")),
        Strategy::DeleteInsert | Strategy::PartitionOverwrite => {
            let by = match definition.strategy {
                Strategy::PartitionOverwrite => &definition.partition_by,
                _ => &definition.key,
            };
            insert(&format!("INSERT INTO {name} ({listed}) REPLACE USING ({}) SELECT 1", list(by)), query)
        }
    }
}

/// The statement that makes the mart's table of the rows of `query`, whatever was in it.
pub(super) fn made(
    definition: &Definition,
    columns: &[FieldRef],
    target: Option<&Snapshot>,
    query: Query,
    now_ms: i64,
) -> Result<Ast, EngineError> {
    let query = if definition.strategy == Strategy::Scd2 { scd2::first(query, now_ms)? } else { query };
    let made = Made {
        name: &definition.name,
        columns,
        partition_by: &definition.partition_by,
        comment: definition.description.as_deref(),
        properties: properties(definition, target, columns),
    };
    made.filled_with(query)
}

/// An INSERT with the query in place of its own.
pub(super) fn insert(sql: &str, query: Query) -> Result<Ast, EngineError> {
    let mut ast = parser::parse(sql)?;
    let insert = match &mut ast {
        Ast::Sql(statement) => match statement.as_mut() {
            SqlStatement::Insert(insert) => insert,
            _ => return Err(lost()),
        },
        Ast::Replace(replace) => &mut replace.insert,
        _ => return Err(lost()),
    };
    insert.source = Some(Box::new(query));
    Ok(ast)
}

/// NULL is a key like any other. A plain comparison, where there is none, lets scans leave files out.
fn merge(definition: &Definition, columns: &[FieldRef], query: Query) -> Result<Ast, EngineError> {
    let same = |name: &String| {
        let nullable = columns.iter().any(|column| column.name() == name && column.is_nullable());
        let (is, name) = (if nullable { "IS NOT DISTINCT FROM" } else { "=" }, quoted(name));
        format!("kept.{name} {is} mart.{name}")
    };
    let on: Vec<String> = definition.key.iter().map(same).collect();
    let sql = format!(
        "MERGE INTO {} AS kept USING (SELECT 1) AS mart ON {} WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        table(&definition.name),
        on.join(" AND ")
    );
    let mut ast = parser::parse(&sql)?;
    if let Ast::Sql(statement) = &mut ast
        && let SqlStatement::Merge(merge) = statement.as_mut()
        && let TableFactor::Derived { subquery, .. } = &mut merge.source
    {
        **subquery = query;
        unplaced(merge);
        return Ok(ast);
    }
    Err(lost())
}

/// Places in a text that nobody wrote are none in the definition.
pub(super) fn unplaced(merge: &mut Merge) {
    merge.merge_token = AttachedToken::empty();
    merge.clauses.iter_mut().for_each(|clause| clause.when_token = AttachedToken::empty());
}

/// The statements that give the table the comments and the key that the definition says: no row depends on them.
pub(super) fn comments(definition: &Definition, columns: &[FieldRef], target: &Snapshot) -> Vec<String> {
    let name = table(&definition.name);
    let is = |comment: Option<&str>| comment.map_or("NULL".to_owned(), text);
    let mut statements = Vec::new();
    if target.comment() != definition.description.as_deref() {
        statements.push(format!("COMMENT ON TABLE {name} IS {}", is(definition.description.as_deref())));
    }
    if let Some(key) = told_key(definition)
        && target.properties().get(PRIMARY_KEY) != Some(&key)
    {
        let (property, key) = (text(PRIMARY_KEY), text(&key));
        statements.push(format!("ALTER TABLE {name} SET TBLPROPERTIES ({property} = {key})"));
    }
    for column in columns {
        let comment = |field: &FieldRef| field.metadata().get("comment").cloned();
        let there = target.schema().fields().iter().find(|there| there.name() == column.name()).cloned();
        if there.is_some_and(|there| comment(&there) != comment(column)) {
            let (column, comment) = (quoted(column.name()), comment(column));
            statements.push(format!("COMMENT ON COLUMN {name}.{column} IS {}", is(comment.as_deref())));
        }
    }
    statements
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
            let _ = write!(sql, " PARTITIONED BY ({})", list(self.partition_by));
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

/// Whether the table that is there is the one that the definition says, to the comments and the order of the columns.
pub(super) fn is_defined_so(definition: &Definition, columns: &[FieldRef], target: &Snapshot) -> bool {
    let there = target.schema();
    let in_order = columns.iter().zip(there.fields()).all(|(wanted, there)| wanted.name() == there.name());
    in_order && difference(definition, columns, target).is_none() && comments(definition, columns, target).is_empty()
}

/// In what the table that is there differs from the one that the definition says, as far as its rows are concerned.
fn difference(definition: &Definition, columns: &[FieldRef], target: &Snapshot) -> Option<String> {
    let schema = target.schema();
    let there = |name: &str| schema.fields().iter().find(|field| field.name() == name);
    let type_of = |field: &FieldRef| {
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        sql_type(field.data_type()) + not_null
    };
    for wanted in columns {
        let name = wanted.name();
        match there(name).map(type_of) {
            None => return Some(format!("it has no column \"{name}\"")),
            Some(there) if there != type_of(wanted) => {
                return Some(format!("column \"{name}\" is {there} there and {} in the definition", type_of(wanted)));
            }
            Some(_) => {}
        }
    }
    if let Some(more) = schema.fields().iter().find(|field| columns.iter().all(|wanted| wanted.name() != field.name()))
    {
        return Some(format!("its column \"{}\" is not one of the query's", more.name()));
    }
    let by = |columns: &[String]| if columns.is_empty() { "nothing".to_owned() } else { columns.join(", ") };
    let (is, wanted) = (target.partition_columns(), definition.partition_by.as_slice());
    (is != wanted).then(|| format!("it is partitioned by {}, and by {} in the definition", by(is), by(wanted)))
}

/// Names as a list in SQL.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// What clients are told tells the rows apart. A name with a comma cannot be said.
fn told_key(definition: &Definition) -> Option<String> {
    let key = definition.row_key();
    (!key.is_empty() && key.iter().all(|name| !name.contains(','))).then(|| key.join(", "))
}

/// What people set on the table, and what the definition says.
fn properties(definition: &Definition, target: Option<&Snapshot>, columns: &[FieldRef]) -> Vec<(String, String)> {
    let mut properties = target.map(|target| kept_properties(target, columns)).unwrap_or_default();
    if let Some(key) = told_key(definition) {
        properties.retain(|(known, _)| known != PRIMARY_KEY);
        properties.push((PRIMARY_KEY.to_owned(), key));
    }
    properties
}

/// What people set on the table stays when it is made anew.
pub(super) fn kept_properties(target: &Snapshot, columns: &[FieldRef]) -> Vec<(String, String)> {
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

pub(super) fn lost() -> EngineError {
    EngineError::internal("the statement of a mart is another one than was written")
}
