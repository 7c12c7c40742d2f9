//! Tests of a mart as its definition has them: what must hold, and what becomes of rows for which it does not.

use std::time::Duration;

use super::{anomaly::Anomaly, header};
use crate::{
    EngineError,
    catalog::{DEFAULT_SCHEMA, TableName},
    parser,
};

/// A test.
#[derive(Debug, Clone)]
pub(super) struct Test {
    /// Where it stands in the file.
    pub line: usize,
    pub name: String,
    pub check: Check,
    pub on_violation: OnViolation,
}

/// What must hold. NULL has no duplicate, no wrong value and no missing counterpart, as in SQL's own constraints; a
/// condition must be TRUE.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    Unique(Vec<String>),
    /// Unique, where NULL is a value like any other: the key of a strategy.
    Key(Vec<String>),
    /// The same among the rows that hold now.
    CurrentKey(Vec<String>),
    NotNull(Vec<String>),
    /// The values as SQL writes them.
    AcceptedValues {
        column: String,
        values: Vec<String>,
    },
    Relationships {
        column: String,
        to: TableName,
        key: String,
    },
    /// A condition, as it is written.
    Expect(String),
    RowCount {
        min: Option<u64>,
        max: Option<u64>,
    },
    /// The greatest value of the column is not older.
    Freshness {
        column: String,
        max_age: Duration,
    },
    /// A number is as in the runs before.
    Anomaly(Anomaly),
}

/// What becomes of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnViolation {
    Fail,
    Warn,
    Drop,
    Quarantine,
}

impl OnViolation {
    const ALL: [(&'static str, Self); 4] =
        [("fail", Self::Fail), ("warn", Self::Warn), ("drop", Self::Drop), ("quarantine", Self::Quarantine)];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(word, _)| word)
    }

    /// Whether rows that violate the test do not get into the table.
    pub fn takes_rows(self) -> bool {
        matches!(self, Self::Drop | Self::Quarantine)
    }
}

impl Check {
    /// Whether each row by itself keeps or violates it.
    pub fn is_about_rows(&self) -> bool {
        match self {
            Self::NotNull(_) | Self::AcceptedValues { .. } | Self::Relationships { .. } | Self::Expect(_) => true,
            Self::Unique(_)
            | Self::Key(_)
            | Self::CurrentKey(_)
            | Self::RowCount { .. }
            | Self::Freshness { .. }
            | Self::Anomaly(_) => false,
        }
    }

    /// The mart's columns that it names.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Unique(columns) | Self::Key(columns) | Self::CurrentKey(columns) | Self::NotNull(columns) => {
                columns.iter().map(String::as_str).collect()
            }
            Self::AcceptedValues { column, .. }
            | Self::Relationships { column, .. }
            | Self::Freshness { column, .. } => vec![column],
            Self::Expect(_) | Self::RowCount { .. } | Self::Anomaly(_) => Vec::new(),
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Key(columns) | Self::CurrentKey(columns) => format!("key({})", columns.join(", ")),
            Self::Unique(columns) => format!("unique({})", columns.join(", ")),
            Self::NotNull(columns) => format!("not_null({})", columns.join(", ")),
            Self::AcceptedValues { column, .. } => format!("accepted_values({column})"),
            Self::Relationships { column, to, key } => format!("relationships({column} -> {to}.{key})"),
            Self::Expect(condition) => format!("expect({condition})"),
            Self::RowCount { .. } => "row_count".to_owned(),
            Self::Freshness { column, .. } => format!("freshness({column})"),
            Self::Anomaly(anomaly) => anomaly.name(),
        }
    }
}

impl Test {
    /// Whether it looks at the runs before.
    pub fn is_of_history(&self) -> bool {
        matches!(self.check, Check::Anomaly(_))
    }

    /// Checks what is written. What needs the mart's columns is checked when it is planned.
    pub fn of(written: header::Test, line: usize) -> Result<Self, EngineError> {
        let on_violation = match &written.on_violation {
            None => OnViolation::Fail,
            Some(word) => {
                let known = OnViolation::ALL.iter().find(|(known, _)| known == word);
                known.map(|(_, of)| *of).ok_or_else(|| {
                    let error = EngineError::invalid(format!("on_violation = \"{word}\" is not known"));
                    error.with_hint("Write fail, warn, drop or quarantine.")
                })?
            }
        };
        let name = written.name.clone();
        let check = check(written)?;
        if on_violation.takes_rows() && !check.is_about_rows() {
            let message = format!("on_violation = \"{}\" is for tests of single rows", on_violation.word());
            let hint = "Write fail or warn: which rows would have to go, this test does not say.";
            return Err(EngineError::invalid(message).with_hint(hint));
        }
        Ok(Self { line, name: name.unwrap_or_else(|| check.name()), check, on_violation })
    }
}

const KINDS: &str = "unique, not_null, accepted_values, relationships, expect, row_count, freshness or anomaly";

fn check(written: header::Test) -> Result<Check, EngineError> {
    let anomaly = Anomaly::of(&written)?;
    let header::Test { unique, not_null, accepted_values, relationships, expect, row_count, freshness, .. } = written;
    let mut checks: Vec<Check> = Vec::new();
    checks.extend(unique.map(|names| Check::Unique(names.0)));
    checks.extend(not_null.map(|names| Check::NotNull(names.0)));
    if let Some(accepted) = accepted_values {
        let values = accepted.values.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            return Err(EngineError::invalid("accepted_values has no values"));
        }
        checks.push(Check::AcceptedValues { column: accepted.column, values });
    }
    if let Some(header::Relationships { column, to, key }) = relationships {
        let name = parser::object_name(&to).and_then(|name| TableName::of_object(&name, DEFAULT_SCHEMA).ok());
        let to = name.ok_or_else(|| EngineError::invalid(format!("\"{to}\" is not the name of a table")))?;
        checks.push(Check::Relationships { column, to, key });
    }
    if let Some(condition) = expect {
        parser::parse_condition(&condition)
            .map_err(|error| EngineError { message: format!("expect: {}", error.message), ..error })?;
        checks.push(Check::Expect(condition));
    }
    if let Some(header::RowCount { min, max }) = row_count {
        if min.is_none() && max.is_none() {
            return Err(EngineError::invalid("row_count has neither min nor max"));
        }
        checks.push(Check::RowCount { min, max });
    }
    checks.extend(freshness.map(|written| Check::Freshness { column: written.column, max_age: written.max_age.0 }));
    checks.extend(anomaly.map(Check::Anomaly));
    match (checks.pop(), checks.is_empty()) {
        (Some(check), true) => Ok(check),
        (None, _) => Err(EngineError::invalid("the test says nothing").with_hint(format!("Write one of {KINDS}."))),
        (Some(_), false) => {
            let error = EngineError::invalid("the test says more than one thing");
            Err(error.with_hint("Write a [[test]] for each."))
        }
    }
}

/// A value of the block in SQL.
fn literal(value: &toml::Value) -> Result<String, EngineError> {
    match value {
        toml::Value::String(text) => Ok(format!("'{}'", text.replace('\'', "''"))),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        _ => Err(EngineError::invalid(format!("accepted_values has the value {value}"))
            .with_hint("Values are texts, numbers, true and false.")),
    }
}
