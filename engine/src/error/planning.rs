//! Planning faults that people meet often, said anew with what to do about them.

use super::{
    EngineError,
    phrase::{plain, tidy},
};

/// The library's words at the start of a sentence, and the cure.
const CURES: &[(&str, &str)] = &[
    ("Cannot coerce arithmetic expression", "CAST one side to a type that fits the other."),
    ("Cannot infer common argument type", "CAST one side to the type of the other."),
    ("There isn't a common type to coerce", "CAST one side to the type of the other."),
    ("Failed to coerce", "CAST them to one type."),
    ("Can not find compatible types to compare", "CAST them to one type."),
    ("Incompatible inputs for Union", "CAST the columns of one side to the types of the other."),
    ("Inconsistent data length across values list", "Give every row as many values as the first."),
    ("Cannot create filter with non-boolean predicate", "A condition is true or false: compare it with something."),
    ("Join condition must be boolean type", "A condition is true or false: compare it with something."),
    ("UNION queries have different number of columns", "Give both sides the same columns."),
    ("Expected LIMIT to be an integer", "Write a whole number from 0 on."),
    ("LIMIT must be >= 0", "Write a whole number from 0 on."),
    ("Expected OFFSET to be an integer", "Write a whole number from 0 on."),
    ("OFFSET must be >=0", "Write a whole number from 0 on."),
    ("For SELECT DISTINCT, ORDER BY expressions", "Add it to SELECT, or group by it."),
    ("Unsupported SQL type", "DESCRIBE shows the types of columns; the README lists those that can be written."),
    (
        "Correlated scalar subquery must be aggregated",
        "Aggregate it, as in SELECT max(w), or join it: UPDATE t SET v = o.w FROM o WHERE o.id = t.id.",
    ),
    ("Invalid window frame", "Write the earlier bound first."),
];

/// A sentence with a cure, or one that the library says badly.
pub(super) fn said(text: &str) -> Option<EngineError> {
    if let Some((_, cure)) = CURES.iter().find(|(words, _)| text.starts_with(words)) {
        return Some(EngineError::invalid(plain(&tidy(text))).with_hint(*cure));
    }
    values_types(text)
        .or_else(|| having(text))
        .or_else(|| same_name(text))
        .or_else(|| qualifier(text))
        .or_else(|| alias_columns(text))
        .or_else(|| misplaced(text))
}

/// `Inconsistent data type across values list at row 1 column 0. Was Date32 but found Utf8`
fn values_types(text: &str) -> Option<EngineError> {
    let rest = text.strip_prefix("Inconsistent data type across values list at row ")?;
    let (row, rest) = rest.split_once(" column ")?;
    let (column, rest) = rest.split_once(". Was ")?;
    let (before, found) = rest.split_once(" but found ")?;
    let (row, column) = (row.parse::<usize>().ok()? + 1, column.parse::<usize>().ok()? + 1);
    let message = format!(
        "the values of column {column} are {} up to row {row}, where one is {}",
        sql_name(before),
        sql_name(found)
    );
    Some(EngineError::invalid(message).with_hint("CAST the values of a column to one type."))
}

/// A type as SQL calls it, of one in the library's words.
fn sql_name(kind: &str) -> String {
    const NAMES: [(&str, &str); 20] = [
        ("Boolean", "BOOLEAN"),
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("UInt64", "BIGINT UNSIGNED"),
        ("Float32", "REAL"),
        ("Float64", "DOUBLE"),
        ("Decimal", "DECIMAL"),
        ("Utf8", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("Binary", "BINARY"),
        ("Date", "DATE"),
        ("Time32", "TIME"),
        ("Time64", "TIME"),
        ("Interval", "INTERVAL"),
        ("Duration", "INTERVAL"),
        ("List(", "ARRAY"),
        ("Struct(", "STRUCT"),
        ("Map(", "MAP"),
    ];
    if let Some(inner) = kind.strip_prefix("Timestamp(") {
        return if inner.contains(',') { "TIMESTAMP WITH TIME ZONE" } else { "TIMESTAMP" }.to_owned();
    }
    let known =
        NAMES.iter().find(|(name, _)| kind == *name || kind.starts_with(&format!("{}(", name.trim_end_matches('('))));
    let known = known.or_else(|| NAMES.iter().find(|(name, _)| kind.starts_with(name)));
    known.map_or_else(|| kind.to_owned(), |(_, sql)| (*sql).to_owned())
}

/// `HAVING clause references: orders.price > Int64(1) must appear in the GROUP BY clause or ...`
fn having(text: &str) -> Option<EngineError> {
    let (expr, _) = text.strip_prefix("HAVING clause references: ")?.split_once(" must appear in the GROUP BY")?;
    let message = format!("\"{}\" in HAVING must be in GROUP BY or inside an aggregate", plain(expr));
    Some(EngineError::invalid(message).with_hint("Write WHERE for a condition on rows."))
}

/// `Projections require unique expression names but the expression "Int64(1) AS a" at position 0 and ...`
fn same_name(text: &str) -> Option<EngineError> {
    let rest = text.strip_prefix("Projections require unique expression names")?;
    let expr = rest.split_once("the expression \"")?.1.split_once("\" at position")?.0;
    let name = expr.rsplit_once(" AS ").map_or(expr, |(_, name)| name);
    let is_column = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let name = if is_column { name.rsplit('.').next().unwrap_or(name) } else { name };
    let message = format!("two columns of SELECT have the same name, \"{}\"", plain(name));
    Some(EngineError::invalid(message).with_hint("Give one of them another name with AS."))
}

/// `Invalid qualifier o`
fn qualifier(text: &str) -> Option<EngineError> {
    let name = text.strip_prefix("Invalid qualifier ")?;
    Some(EngineError::not_found(format!("there is no table or alias \"{name}\" in FROM")))
}

/// `Source table contains 1 columns but only 2 names given as column alias`
fn alias_columns(text: &str) -> Option<EngineError> {
    let (columns, rest) = text.strip_prefix("Source table contains ")?.split_once(" columns but only ")?;
    let names = rest.strip_suffix(" names given as column alias")?;
    let message = format!("an alias names {names} columns, but the table has {columns}");
    Some(EngineError::invalid(message).with_hint("Name every column, or none."))
}

/// Of EXISTS and its like where a value is computed.
pub(crate) fn misplaced_subquery() -> EngineError {
    EngineError::unsupported("EXISTS, IN and ANY of a subquery are supported in WHERE alone, not in a value").with_hint(
        "Join what the subquery reads: SELECT s.*, u.id IS NOT NULL AS found FROM s LEFT JOIN u ON s.id = u.id.",
    )
}

/// What may stand in some places only, and is found out late.
fn misplaced(text: &str) -> Option<EngineError> {
    if text.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        let error = EngineError::invalid("aggregate functions are not allowed in the WHERE clause");
        let hint = "Write HAVING after GROUP BY, or compare with a subquery: (SELECT count(*) FROM t) > 1.";
        return Some(error.with_hint(hint));
    }
    if text.starts_with("Substring without for/from is not valid") {
        return Some(EngineError::invalid("function \"substr\" needs a start").with_hint("Write substr(text, start)."));
    }
    let expr = text.strip_prefix("Physical plan does not support logical expression ")?;
    Some(if expr.starts_with("WindowFunction") {
        EngineError::invalid("a window function is not allowed here")
            .with_hint("Write QUALIFY for a condition on it, or compute it in an inner query.")
    } else if expr.starts_with("Wildcard") {
        EngineError::invalid("\"*\" is not an argument that this function takes").with_hint("Name a column.")
    } else if expr.starts_with("AggregateFunction") {
        EngineError::invalid("an aggregate function is not allowed here").with_hint("Compute it in an inner query.")
    } else if ["Exists", "InSubquery", "SetComparison"].iter().any(|kind| expr.starts_with(kind)) {
        misplaced_subquery()
    } else if expr.starts_with("ScalarSubquery") {
        let error = EngineError::unsupported("a subquery may depend on the row around it only through equalities");
        error.with_hint(
            "Join what it reads, and aggregate: SELECT t.id, max(x.v) FROM t LEFT JOIN x ON x.id < t.id GROUP BY 1.",
        )
    } else {
        let kind: String = expr.chars().take_while(|c| c.is_alphanumeric()).collect();
        EngineError::unsupported(format!("this is not supported here: {kind}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_of_a_tree_is_not_shown() {
        let error = said("Physical plan does not support logical expression WindowFunction(WindowFunction { fun: 1 })");
        assert_eq!(error.unwrap().message, "a window function is not allowed here");
        let error = said("Physical plan does not support logical expression Exists(Exists { subquery: <subquery> })");
        assert!(error.unwrap().message.starts_with("EXISTS, IN and ANY of a subquery"));
    }

    #[test]
    fn types_of_values_are_those_of_sql() {
        let text = |before: &str, found: &str| {
            let text =
                format!("Inconsistent data type across values list at row 1 column 0. Was {before} but found {found}");
            said(&text).unwrap().message
        };
        assert_eq!(text("Date32", "Utf8"), "the values of column 1 are DATE up to row 2, where one is VARCHAR");
        assert!(text("Int64", "List(Int64)").ends_with("are BIGINT up to row 2, where one is ARRAY"));
        assert!(text("Decimal128(5, 2)", "Timestamp(µs, \"UTC\")").contains("are DECIMAL up"));
        assert!(text("Timestamp(µs)", "Timestamp(µs, \"UTC\")").ends_with("where one is TIMESTAMP WITH TIME ZONE"));
    }

    #[test]
    fn names_are_taken_out_of_expressions() {
        let text = "Projections require unique expression names but the expression \"Int64(1) AS a\" at position 0 and \
                    \"Int64(2) AS a\" at position 1 have the same name. Consider aliasing (\"AS\") one of them.";
        assert_eq!(said(text).unwrap().message, "two columns of SELECT have the same name, \"a\"");
    }
}
