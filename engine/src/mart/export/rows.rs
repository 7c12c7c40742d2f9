//! The rows of a delivery, as SQL over versions of the mart's table.

use super::super::{publish::list, test_sql::table};
use crate::catalog::TableName;

/// All rows of a version, or those that the table did not have in version `since`, each as often as it is new. `ordered`: in
/// the same order each time.
pub(super) fn sql(mart: &TableName, columns: &[String], version: u64, since: Option<u64>, ordered: bool) -> String {
    let (names, at) = (list(columns), table(mart));
    let mut sql = match since {
        None => format!("SELECT {names} FROM {at} VERSION AS OF {version}"),
        Some(since) => {
            // A row that is there twice, and was there once, is new once.
            let number = number(columns);
            let numbered = |version: u64| {
                format!(
                    "SELECT {names}, row_number() OVER (PARTITION BY {names}) AS {number} FROM {at} VERSION AS OF {version}"
                )
            };
            format!("SELECT {names} FROM ({} EXCEPT ALL {}) AS new_rows", numbered(version), numbered(since))
        }
    };
    if ordered {
        sql.push_str(" ORDER BY ");
        sql.push_str(&names);
    }
    sql
}

/// A name that no column has.
fn number(columns: &[String]) -> String {
    let mut name = "number_of_equal_row".to_owned();
    while columns.contains(&name) {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_kept_apart() {
        let columns = ["a\"b".to_owned(), "number_of_equal_row".to_owned()];
        let mart = TableName::new("m", "t");
        let all = sql(&mart, &columns, 3, None, true);
        assert_eq!(
            all,
            "SELECT \"a\"\"b\", \"number_of_equal_row\" FROM \"m\".\"t\" VERSION AS OF 3 ORDER BY \"a\"\"b\", \"number_of_equal_row\""
        );
        let new = sql(&mart, &columns, 3, Some(1), false);
        assert!(new.contains(" AS number_of_equal_row_ FROM \"m\".\"t\" VERSION AS OF 1) AS new_rows"), "{new}");
    }
}
