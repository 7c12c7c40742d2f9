//! Tests as SQL over a table, or over rows that are to go into one.
//!
//! Tests of single rows, the count and the age of the newest value are one scan for all; a key that must be unique and a
//! counterpart in another table are a query each, which spills where it must.

use super::{scd2, test::Check};
use crate::catalog::TableName;

/// Rows of a violation that are shown.
pub(super) const SAMPLES: usize = 5;

/// The condition that holds for a row, called `mart`, which violates a test of rows.
pub(super) fn violation(check: &Check) -> Option<String> {
    Some(match check {
        Check::NotNull(columns) => {
            let each: Vec<String> = columns.iter().map(|column| format!("{} IS NULL", of_mart(column))).collect();
            format!("({})", each.join(" OR "))
        }
        Check::AcceptedValues { column, values } => {
            let column = of_mart(column);
            format!("({column} IS NOT NULL AND {column} NOT IN ({}))", values.join(", "))
        }
        Check::Relationships { column, to, key } => {
            let (column, key) = (of_mart(column), quoted(key));
            let to = table(to);
            format!(
                "({column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {to} AS counterpart WHERE counterpart.{key} = {column}))"
            )
        }
        // A comment at its end must not swallow the rest.
        Check::Expect(condition) => format!("(({condition}\n) IS NOT TRUE)"),
        Check::Unique(_)
        | Check::Key(_)
        | Check::CurrentKey(_)
        | Check::RowCount { .. }
        | Check::Freshness { .. }
        | Check::Anomaly(_) => return None,
    })
}

/// The same for a place where a subquery must be a value.
pub(super) fn violation_as_value(check: &Check) -> Option<String> {
    let Check::Relationships { column, to, key } = check else { return violation(check) };
    let (column, key, to) = (of_mart(column), quoted(key), table(to));
    let count = format!("(SELECT count(*) FROM {to} AS counterpart WHERE counterpart.{key} = {column})");
    Some(format!("({column} IS NOT NULL AND coalesce({count}, 0) = 0)"))
}

/// One number of the scan that serves many tests; `None` for a test that is a query of its own. For the age of the newest
/// value: its microseconds since 1970, or NULL.
pub(super) fn measure(check: &Check) -> Option<String> {
    if let Check::NotNull(columns) = check
        && let [column] = columns.as_slice()
    {
        // The log says it: no row is read for this alone.
        return Some(format!("count(*) - count({})", of_mart(column)));
    }
    match check {
        Check::NotNull(_) | Check::AcceptedValues { .. } | Check::Expect(_) => {
            Some(format!("count(CASE WHEN {} THEN 1 END)", violation(check)?))
        }
        Check::RowCount { .. } => Some("count(*)".to_owned()),
        Check::Freshness { column, .. } => {
            let newest = format!("arrow_cast(max({}), 'Timestamp(Microsecond, None)')", of_mart(column));
            Some(format!("arrow_cast({newest}, 'Int64')"))
        }
        Check::Unique(_) | Check::Key(_) | Check::CurrentKey(_) | Check::Relationships { .. } | Check::Anomaly(_) => {
            None
        }
    }
}

/// The scan: the count of all rows, then each of `measures`.
pub(super) fn scan(from: &TableName, measures: &[String]) -> String {
    let named = measures.iter().enumerate().map(|(n, measure)| format!(", {measure} AS m{n}"));
    format!("SELECT count(*) AS all_rows{} FROM {} AS mart", named.collect::<String>(), table(from))
}

/// How many violations there are, for a test that is a query of its own.
pub(super) fn count(check: &Check, from: &TableName) -> Option<String> {
    match check {
        Check::Unique(_) | Check::Key(_) | Check::CurrentKey(_) => {
            Some(format!("SELECT count(*) AS n FROM ({}) AS doubled", doubled(check, from)))
        }
        Check::Relationships { .. } => {
            Some(format!("SELECT count(*) AS n FROM {} AS mart WHERE {}", table(from), violation(check)?))
        }
        _ => None,
    }
}

/// Some violations, for people; `None` for a test of the whole.
pub(super) fn samples(check: &Check, from: &TableName) -> Option<String> {
    match check {
        Check::Unique(_) | Check::Key(_) | Check::CurrentKey(_) => {
            Some(format!("{} LIMIT {SAMPLES}", doubled(check, from)))
        }
        check => {
            Some(format!("SELECT mart.* FROM {} AS mart WHERE {} LIMIT {SAMPLES}", table(from), violation(check)?))
        }
    }
}

fn doubled(check: &Check, from: &TableName) -> String {
    let columns: Vec<String> = check.columns().into_iter().map(of_mart).collect();
    let given: Vec<String> = match check {
        Check::Key(_) => Vec::new(),
        Check::CurrentKey(_) => vec![of_mart(scd2::COLUMNS[2])],
        _ => columns.iter().map(|column| format!("{column} IS NOT NULL")).collect(),
    };
    let given = if given.is_empty() { String::new() } else { format!(" WHERE {}", given.join(" AND ")) };
    let (listed, from) = (columns.join(", "), table(from));
    format!("SELECT {listed}, count(*) AS rows_of_it FROM {from} AS mart{given} GROUP BY {listed} HAVING count(*) > 1")
}

fn of_mart(column: &str) -> String {
    format!("mart.{}", quoted(column))
}

/// A name as SQL writes it, letter by letter.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn table(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

/// A text as SQL writes it.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
