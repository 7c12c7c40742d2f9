//! The statement that brings a table to what changed rows make of it.

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    sql::sqlparser::ast::Statement as SqlStatement,
};

use super::{
    super::{
        definition::Definition,
        publish::{list, unplaced},
        test_sql::{quoted, table},
    },
    merge::Combined,
};
use crate::{
    EngineError,
    catalog::TableName,
    parser::{self, Ast},
    statement::data_type::sql_type,
};

/// In the rows of changed groups: whether the group is there.
pub(super) const THERE: &str = "__mart_there";
/// Under which the rows are known to the statement: no table can have the name.
const ROWS: &str = "changed rows of a mart";

/// What stands for the rows.
pub(super) fn rows_name(definition: &Definition) -> TableName {
    TableName::new(&definition.name.schema, ROWS)
}

/// How rows change the table.
#[derive(Debug)]
pub(super) enum Changes {
    /// They are added.
    Added,
    /// They are groups as they are now, with these places of keys among the columns, and say whether they are there.
    Groups { keys: Vec<usize> },
    /// They are numbers of changed rows alone, to be put together with those of the group in the table. A group whose
    /// `count` is 0 then is there no more.
    Numbers { keys: Vec<usize>, combined: Vec<Option<Combined>>, count: Option<usize> },
}

/// The statement, over rows that [`rows_name`] stands for.
pub(super) fn statement(definition: &Definition, columns: &[FieldRef], changes: &Changes) -> Result<Ast, EngineError> {
    let (name, rows) = (table(&definition.name), table(&rows_name(definition)));
    let listed = list(columns.iter().map(|column| column.name()));
    let keys = match changes {
        Changes::Added => {
            return parser::parse(&format!("INSERT INTO {name} ({listed}) SELECT {listed} FROM {rows}"));
        }
        Changes::Groups { keys } | Changes::Numbers { keys, .. } => keys,
    };
    let of = |at: usize| quoted(columns[at].name());
    let on: Vec<String> = keys
        .iter()
        .map(|at| {
            let is = if columns[*at].is_nullable() { "IS NOT DISTINCT FROM" } else { "=" };
            format!("kept.{0} {is} mart.{0}", of(*at))
        })
        .collect();
    // What a row of the table gets, when it goes, and when a row comes.
    let value = |at: usize| match changes {
        Changes::Numbers { combined, .. } => together(&of(at), columns[at].data_type(), combined[at]),
        Changes::Added | Changes::Groups { .. } => format!("mart.{}", of(at)),
    };
    let (goes, comes) = match changes {
        Changes::Numbers { count: Some(count), .. } => (
            format!("WHEN MATCHED AND NOT {} > 0 THEN DELETE ", value(*count)),
            format!("AND mart.{} > 0 ", of(*count)),
        ),
        Changes::Numbers { count: None, .. } | Changes::Added => (String::new(), String::new()),
        Changes::Groups { .. } => {
            (format!("WHEN MATCHED AND NOT mart.{THERE} THEN DELETE "), format!("AND mart.{THERE} "))
        }
    };
    let others: Vec<usize> = (0..columns.len()).filter(|at| !keys.contains(at)).collect();
    let differs = |at: &usize| match columns[*at].data_type().is_nested() {
        // They are not compared.
        true => "true".to_owned(),
        false => format!("kept.{} IS DISTINCT FROM {}", of(*at), value(*at)),
    };
    let changed = match others.is_empty() {
        true => String::new(),
        false => format!(
            "WHEN MATCHED AND ({}) THEN UPDATE SET {} ",
            others.iter().map(differs).collect::<Vec<_>>().join(" OR "),
            others.iter().map(|at| format!("{} = {}", of(*at), value(*at))).collect::<Vec<_>>().join(", ")
        ),
    };
    let values: Vec<String> = (0..columns.len()).map(|at| format!("mart.{}", of(at))).collect();
    let sql = format!(
        "MERGE INTO {name} AS kept USING {rows} AS mart ON {} {goes}{changed}\
         WHEN NOT MATCHED {comes}THEN INSERT ({listed}) VALUES ({})",
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

/// The number in the table and that of the changed rows as one; where one of them is NULL it is the other.
fn together(name: &str, kind: &DataType, combined: Option<Combined>) -> String {
    let both = match combined {
        None => return format!("mart.{name}"),
        Some(Combined::Count { .. } | Combined::Sum { .. }) => {
            format!("CAST(kept.{name} + mart.{name} AS {})", sql_type(kind))
        }
        Some(Combined::Least) => format!("CASE WHEN kept.{name} <= mart.{name} THEN kept.{name} ELSE mart.{name} END"),
        Some(Combined::Greatest) => {
            format!("CASE WHEN kept.{name} >= mart.{name} THEN kept.{name} ELSE mart.{name} END")
        }
    };
    format!(
        "(CASE WHEN kept.{name} IS NULL THEN mart.{name} WHEN mart.{name} IS NULL THEN kept.{name} ELSE {both} END)"
    )
}
