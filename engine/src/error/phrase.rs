//! The library's sentences in ours.
//!
//! Its texts carry stacked prefixes, full stops, lists of candidates and requests to report them. Those that people meet
//! often are said anew, with a hint; the rest are only trimmed.

use super::{EngineError, ErrorKind, did_you_mean_quoted};

/// Functions that are known only in front of OVER.
const WINDOW_FUNCTIONS: [&str; 9] =
    ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "nth_value"];

const PREFIXES: &[&str] = &[
    "Error during planning: ",
    "Execution error: ",
    "Arrow error: ",
    "Optimizer rule failed: ",
    "Invalid argument error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "This feature is not implemented: ",
    "sql parser error: ",
    "Schema error: ",
    "External error: ",
    "Internal error: ",
    "type_coercion\ncaused by\n",
];

/// A planning fault, said anew where people meet it often.
pub(super) fn planning(text: &str) -> EngineError {
    let text = &plain_types(trimmed(text));
    let said = unknown_function(text)
        .or_else(|| wrong_arguments(text))
        .or_else(|| no_match(text))
        .or_else(|| group_by(text))
        .or_else(|| super::planning::said(text));
    said.unwrap_or_else(|| EngineError::invalid(plain(&tidy(text))))
}

/// A library's sentence without stacked prefixes, requests to report it, and a full stop.
pub(super) fn tidy(text: &str) -> String {
    let text = plain_types(trimmed(text).trim_end_matches('.'));
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        // "Cannot cast" -> "cannot cast", but "SELECT" and "UTF8" stay.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

/// How a scan holds a text is no type that a person knows.
fn plain_types(text: &str) -> String {
    text.replace("Utf8View", "Utf8").replace("BinaryView", "Binary")
}

pub(super) const DATA_FILE_GONE: &str = "It is gone. VACUUM deletes files that only old versions need: read a newer version (DESCRIBE HISTORY lists them). A file of the newest version was deleted by something else: restore it, or RESTORE TABLE ... TO an older version.";

/// `Parquet error: Failed to fetch metadata for file a/b.parquet: Object Store error: ...`: the reader keeps the file's name
/// and its store's fault in words only.
pub(super) fn parquet(text: &str) -> EngineError {
    const FETCH: &str = "Failed to fetch metadata for file ";
    let (message, cause) = match text.split_once(FETCH).and_then(|(_, rest)| rest.split_once(": ")) {
        Some((file, cause)) => (format!("could not read the Parquet file \"{file}\""), cause),
        None => ("could not read a Parquet file".to_owned(), text),
    };
    let missing = cause.contains(" not found: ");
    let kind = if missing { ErrorKind::NotFound } else { ErrorKind::Corrupt };
    let cause = ["Parquet error: ", "Object Store error: ", "Generic LocalFileSystem error: "]
        .iter()
        .fold(cause, |cause, prefix| cause.strip_prefix(prefix).unwrap_or(cause));
    let error = EngineError::new(kind, message).with_detail(cause);
    match missing {
        true => error.with_hint(DATA_FILE_GONE),
        false => error,
    }
}

/// `Int64(1)` and `Utf8("x")`, as the library writes literals, as `1` and `'x'`.
pub(super) fn plain(text: &str) -> String {
    const TYPES: [&str; 14] = [
        "Int8(",
        "Int16(",
        "Int32(",
        "Int64(",
        "UInt8(",
        "UInt16(",
        "UInt32(",
        "UInt64(",
        "Float32(",
        "Float64(",
        "Utf8(",
        "Utf8View(",
        "Boolean(",
        "Date32(",
    ];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(kind) = rest.char_indices().find_map(|(at, _)| {
        let starts_word = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        TYPES.iter().find(|kind| starts_word && rest[at..].starts_with(**kind)).map(|kind| (at, kind.len()))
    }) {
        let (at, length) = kind;
        plain.push_str(&rest[..at]);
        let value = &rest[at + length..];
        let quoted = value.strip_prefix('"').and_then(|text| text.split_once("\")"));
        rest = match (quoted, value.split_once(')')) {
            (Some((text, after)), _) => {
                plain.push_str(&format!("'{text}'"));
                after
            }
            (None, Some((number, after))) if !number.contains('(') => {
                plain.push_str(number);
                after
            }
            _ => {
                plain.push_str(&rest[at..at + length]);
                value
            }
        };
    }
    plain + rest
}

fn trimmed(text: &str) -> &str {
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    if let Some((said, _)) = text.split_once(".\nThis issue was likely caused by") {
        text = said;
    }
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    text
}

/// `Invalid function 'uper'.\nDid you mean 'upper'?`, `table function 'x' not found`
fn unknown_function(text: &str) -> Option<EngineError> {
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let (name, rest) = rest.split_once('\'')?;
        let what =
            if WINDOW_FUNCTIONS.contains(&name) { "is a window function and needs OVER" } else { "does not exist" };
        let error = EngineError::not_found(format!("function \"{name}\" {what}"));
        let near = rest.split('\'').nth(1).and_then(|near| did_you_mean_quoted(name, near));
        return Some(match near {
            Some(hint) => error.with_hint(hint),
            None if WINDOW_FUNCTIONS.contains(&name) => {
                error.with_hint(format!("Write {name}(...) OVER (ORDER BY ...)."))
            }
            None => error.with_hint("SHOW FUNCTIONS lists those that do."),
        });
    }
    let name = text.strip_prefix("table function '")?.strip_suffix("' not found")?;
    Some(
        EngineError::not_found(format!("function \"{name}\" does not exist in FROM"))
            .with_hint("SHOW FUNCTIONS lists those of type table."),
    )
}

/// `Function 'sum' failed to match any signature, errors: Error during planning: Function 'sum' requires Decimal, but
/// received String (DataType: Utf8).,...`
fn wrong_arguments(text: &str) -> Option<EngineError> {
    let (name, rest) = text.strip_prefix("Function '")?.split_once('\'')?;
    let reasons = rest.split_once("errors: ")?.1;
    let given = reasons.split_once("(DataType: ").and_then(|(_, rest)| rest.split_once(").")).map(|(given, _)| given);
    let wanted: Vec<&str> = reasons
        .split(" requires ")
        .skip(1)
        .filter_map(|part| part.split_once(", but received").map(|(wanted, _)| wanted))
        .collect();
    let message = match given {
        Some(given) => format!("function \"{name}\" does not take {given}"),
        None => format!("function \"{name}\" does not take these arguments"),
    };
    let error = EngineError::invalid(message);
    Some(if wanted.is_empty() { error } else { error.with_hint(format!("It takes {}.", wanted.join(", "))) })
}

/// `No function matches the given name and argument types 'round(Utf8)'. You might ...\n\tCandidate functions:\n\t...`
fn no_match(text: &str) -> Option<EngineError> {
    let at = text.find("No function matches the given name and argument types '")?;
    let rest = text.get(at..)?.split_once('\'')?.1;
    let (call, rest) = rest.split_once('\'')?;
    let candidates: Vec<&str> =
        rest.split_once("Candidate functions:").map(|(_, list)| list.split_whitespace().collect()).unwrap_or_default();
    let error = EngineError::invalid(format!("there is no function {call}"));
    if candidates.is_empty() {
        return Some(error);
    }
    const LENGTH_MAX: usize = 300;
    let list: String = candidates.join(" ").chars().take(LENGTH_MAX).collect();
    Some(error.with_hint(format!("Cast the arguments; there are {list}.")))
}

/// `Column in SELECT must be in GROUP BY or an aggregate function: ...`
fn group_by(text: &str) -> Option<EngineError> {
    let rest = text.strip_prefix("Column in ")?;
    let (clause, rest) = rest.split_once(" must be in GROUP BY or an aggregate function")?;
    let column = rest.split_once("expression '").or(rest.split_once("column \"")).and_then(|(_, rest)| {
        rest.split_once(['\'', '"']).map(|(column, _)| column.rsplit('.').next().unwrap_or(column))
    });
    let message = match column {
        Some(column) => format!("column \"{column}\" in {clause} must be in GROUP BY or inside an aggregate"),
        None => format!("a column in {clause} must be in GROUP BY or inside an aggregate"),
    };
    Some(EngineError::invalid(message).with_hint("Add it to GROUP BY, or write min(...), any_value(...) or such."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_said_anew() {
        let error = planning("Invalid function 'uper'.\nDid you mean 'upper'?");
        assert_eq!(error.message, "function \"uper\" does not exist");
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"upper\"?"));
        let error = planning(
            "Error during planning: Function 'sum' failed to match any signature, errors: Error during planning: \
             Function 'sum' requires Decimal, but received String (DataType: Utf8).,Error during planning: Function \
             'sum' requires Int64, but received String (DataType: Utf8).",
        );
        assert_eq!(error.message, "function \"sum\" does not take Utf8");
        assert_eq!(error.hint.as_deref(), Some("It takes Decimal, Int64."));
    }

    #[test]
    fn a_parquet_file_is_named() {
        let error = parquet(
            "Parquet error: Failed to fetch metadata for file a/b.parquet: Object Store error: Generic LocalFileSystem \
             error: Out of range of file /a/b.parquet, expected: 300, actual: 300",
        );
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Corrupt, "could not read the Parquet file \"a/b.parquet\"")
        );
        assert_eq!(error.detail.as_deref(), Some("Out of range of file /a/b.parquet, expected: 300, actual: 300"));
        assert_eq!(parquet("Parquet error: Invalid footer").message, "could not read a Parquet file");
    }

    #[test]
    fn types_are_those_of_tables() {
        let error =
            planning("Error during planning: Cannot coerce arithmetic expression Utf8View + Int64 to valid types");
        assert_eq!(error.message, "cannot coerce arithmetic expression Utf8 + Int64 to valid types");
        assert_eq!(tidy("Cast error: no BinaryView."), "no Binary");
    }

    #[test]
    fn literals_are_plain() {
        assert_eq!(plain("a + Int64(1) = Utf8(\"x\") AND MyInt64(2)"), "a + 1 = 'x' AND MyInt64(2)");
        assert_eq!(plain("round(Int64)"), "round(Int64)");
    }

    #[test]
    fn other_sentences_are_trimmed() {
        assert_eq!(tidy("Error during planning: Cannot do that."), "cannot do that");
        assert_eq!(tidy("Arrow error: Cast error: Cannot cast string 'x'"), "cannot cast string 'x'");
        assert_eq!(tidy("UNION needs columns"), "UNION needs columns");
    }
}
