//! The strategy `scd2`: every state that a key was ever in, with the time from which and until which it was the last.
//!
//! The query gives what holds now. A key whose columns changed gets a new row, and the old one ends; one that the query
//! does not give any more ends. All of it is one MERGE, whose source has the rows that changed twice: once to end the old
//! row, once to come. So the query runs twice, and must give the same rows each time.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, TimeUnit},
    sql::sqlparser::ast::{Query, SetExpr, Statement as SqlStatement, TableFactor},
};

use super::{
    definition::Definition,
    publish::{around, list, lost, unplaced},
    strategy::Strategy,
    test_sql::{quoted, table},
};
use crate::{
    EngineError,
    parser::{self, Ast},
};

/// When a row began to hold, when it ended, and whether it holds.
pub(super) const COLUMNS: [&str; 3] = ["valid_from", "valid_to", "is_current"];
const TIME: &str = "Timestamp(Microsecond, Some(\"UTC\"))";
/// In the source of the MERGE: the row comes because another one ends.
const COMES: &str = "__mart_comes";

/// The columns that the table has besides those of the query.
pub(super) fn fields() -> [FieldRef; 3] {
    let [from, to, current] = COLUMNS;
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name, kind, nullable| Arc::new(Field::new(name, kind, nullable));
    [field(from, time.clone(), false), field(to, time, true), field(current, DataType::Boolean, false)]
}

/// The table's columns that the query gives.
pub(super) fn given<'a>(definition: &Definition, columns: &'a [FieldRef]) -> &'a [FieldRef] {
    match definition.strategy {
        Strategy::Scd2 => &columns[..columns.len().saturating_sub(COLUMNS.len())],
        _ => columns,
    }
}

/// A time, in milliseconds since 1970, in SQL.
fn time(at_ms: i64) -> String {
    format!("arrow_cast(arrow_cast({}, 'Int64'), '{TIME}')", at_ms.saturating_mul(1000))
}

/// The rows of a table that begins at a time.
pub(super) fn first(query: Query, now_ms: i64) -> Result<Query, EngineError> {
    let [from, to, current] = COLUMNS;
    let now = time(now_ms);
    let columns = format!("{now} AS {from}, arrow_cast(NULL, '{TIME}') AS {to}, true AS {current}");
    around(&format!("SELECT mart.*, {columns} FROM (SELECT 1 AS one) AS mart"), query)
}

/// The statement that brings a table to what holds at a time.
pub(super) fn merge(
    definition: &Definition,
    columns: &[FieldRef],
    query: Query,
    now_ms: i64,
) -> Result<Ast, EngineError> {
    let [from, to, current] = COLUMNS;
    let given = given(definition, columns);
    let each = |of: &str, is: &str, names: Vec<&String>, between: &str| {
        let each = names.iter().map(|name| format!("{of}.{0} {is} mart.{0}", quoted(name)));
        each.collect::<Vec<_>>().join(between)
    };
    let same = |of: &str| each(of, "IS NOT DISTINCT FROM", definition.key.iter().collect(), " AND ");
    let others = given.iter().map(|column| column.name()).filter(|name| !definition.key.contains(name));
    let others: Vec<&String> = others.collect();
    let differs = |of: &str| match others.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", each(of, "IS DISTINCT FROM", others.clone(), " OR ")),
    };
    let (now, name) = (time(now_ms), table(&definition.name));
    let listed = list(given.iter().map(|column| column.name()));
    let values: Vec<String> = given.iter().map(|column| format!("mart.{}", quoted(column.name()))).collect();
    let ends = format!("UPDATE SET {to} = {now}, {current} = false");
    let sql = format!(
        "MERGE INTO {name} AS kept USING (\
         SELECT mart.*, false AS {COMES} FROM (SELECT 1 AS one) AS mart UNION ALL \
         SELECT mart.*, true AS {COMES} FROM (SELECT 1 AS one) AS mart JOIN {name} AS old ON {} \
         WHERE old.{current} AND {}) AS mart \
         ON {} AND kept.{current} AND NOT mart.{COMES} \
         WHEN MATCHED AND {} THEN {ends} \
         WHEN NOT MATCHED THEN INSERT ({listed}, {from}, {to}, {current}) VALUES ({}, {now}, NULL, true) \
         WHEN NOT MATCHED BY SOURCE AND kept.{current} THEN {ends}",
        same("old"),
        differs("old"),
        same("kept"),
        differs("kept"),
        values.join(", ")
    );
    let mut ast = parser::parse(&sql)?;
    if let Ast::Sql(statement) = &mut ast
        && let SqlStatement::Merge(merge) = statement.as_mut()
        && let TableFactor::Derived { subquery, .. } = &mut merge.source
        && let SetExpr::SetOperation { left, right, .. } = subquery.body.as_mut()
    {
        for side in [left, right] {
            let SetExpr::Select(select) = side.as_mut() else { return Err(lost()) };
            match select.from.first_mut().map(|from| &mut from.relation) {
                Some(TableFactor::Derived { subquery, .. }) => **subquery = query.clone(),
                _ => return Err(lost()),
            }
        }
        unplaced(merge);
        return Ok(ast);
    }
    Err(lost())
}
