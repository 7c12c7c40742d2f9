//! The statement that brings a table to what changed rows make of it.

use datafusion::{arrow::datatypes::FieldRef, sql::sqlparser::ast::Statement as SqlStatement};

use super::super::{
    definition::Definition,
    publish::{list, unplaced},
    test_sql::{quoted, table},
};
use crate::{
    EngineError,
    catalog::TableName,
    parser::{self, Ast},
};

/// In the rows of changed groups: whether the group is there.
pub(super) const THERE: &str = "__mart_there";
/// Under which the rows are known to the statement: no table can have the name.
const ROWS: &str = "changed rows of a mart";

/// What stands for the rows.
pub(super) fn rows_name(definition: &Definition) -> TableName {
    TableName::new(&definition.name.schema, ROWS)
}

/// The statement, over rows that [`rows_name`] stands for: with the places of `keys` among the columns those of changed
/// groups, else rows that are added.
pub(super) fn statement(
    definition: &Definition,
    columns: &[FieldRef],
    keys: Option<&[usize]>,
) -> Result<Ast, EngineError> {
    let (name, rows) = (table(&definition.name), table(&rows_name(definition)));
    let listed = list(columns.iter().map(|column| column.name()));
    let Some(keys) = keys else {
        return parser::parse(&format!("INSERT INTO {name} ({listed}) SELECT {listed} FROM {rows}"));
    };
    let of = |at: usize| quoted(columns[at].name());
    let on: Vec<String> = keys
        .iter()
        .map(|at| {
            let is = if columns[*at].is_nullable() { "IS NOT DISTINCT FROM" } else { "=" };
            format!("kept.{0} {is} mart.{0}", of(*at))
        })
        .collect();
    let others: Vec<usize> = (0..columns.len()).filter(|at| !keys.contains(at)).collect();
    let differs = |at: &usize| match columns[*at].data_type().is_nested() {
        // They are not compared.
        true => "true".to_owned(),
        false => format!("kept.{0} IS DISTINCT FROM mart.{0}", of(*at)),
    };
    let changes = match others.is_empty() {
        true => String::new(),
        false => format!(
            "WHEN MATCHED AND ({}) THEN UPDATE SET {} ",
            others.iter().map(differs).collect::<Vec<_>>().join(" OR "),
            others.iter().map(|at| format!("{0} = mart.{0}", of(*at))).collect::<Vec<_>>().join(", ")
        ),
    };
    let values: Vec<String> = (0..columns.len()).map(|at| format!("mart.{}", of(at))).collect();
    let sql = format!(
        "MERGE INTO {name} AS kept USING {rows} AS mart ON {} \
         WHEN MATCHED AND NOT mart.{THERE} THEN DELETE {changes}\
         WHEN NOT MATCHED AND mart.{THERE} THEN INSERT ({listed}) VALUES ({})",
        on.join(" AND "),
        values.join(", ")
    );
    let mut ast = parser::parse(&sql)?;
    if let Ast::Sql(statement) = &mut ast
        && let SqlStatement::Merge(merge) = statement.as_mut()
    {
        unplaced(merge);
    }
    Ok(ast)
}
