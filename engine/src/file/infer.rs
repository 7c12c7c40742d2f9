//! The columns of CSV and JSON files, found by looking at their first rows.
//!
//! A type is chosen only when every value looked at has it and nothing of it would be lost: `007` and `+49` stay text.
//! Whether the rest of a file keeps to it is checked when it is read.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::file::File;
use datafusion::{
    arrow::{
        compute::kernels::cast_utils::string_to_datetime,
        datatypes::{DataType, Field, FieldRef, TimeUnit},
        json::reader::infer_json_schema_from_iterator,
    },
    execution::object_store::ObjectStoreRegistry,
};
use futures::StreamExt;

use super::{
    csv::Step,
    json::Value,
    options::FileFormat,
    scan::{Scan, header_names, open, unreadable},
};
use crate::EngineError;

/// Rows looked at in one file.
const ROWS_MAX: usize = 10_000;
/// Files looked at.
const FILES_MAX: usize = 16;
/// Nested values kept of one column, to find the type of their parts.
const NESTED_MAX: usize = 1_000;

/// What the values of a column have been so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Nothing,
    Boolean,
    Integer,
    Float,
    Date,
    Timestamp,
    TimestampUtc,
    Nested,
    Text,
}

#[derive(Debug, Default)]
struct Found {
    /// In the order in which they were met.
    names: Vec<String>,
    guesses: BTreeMap<String, Guess>,
    nested: BTreeMap<String, Vec<serde_json::Value>>,
}

/// The columns of files, in the order in which they are met.
pub(super) async fn columns(
    stores: &dyn ObjectStoreRegistry,
    format: &FileFormat,
    files: &[File],
) -> Result<Vec<FieldRef>, EngineError> {
    let mut found = Found::default();
    for file in files.iter().take(FILES_MAX) {
        sample(stores, format, file, &mut found).await?;
    }
    found.names.iter().map(|name| Ok(Arc::new(Field::new(name, found.data_type(name)?, true)))).collect()
}

async fn sample(
    stores: &dyn ObjectStoreRegistry,
    format: &FileFormat,
    file: &File,
    found: &mut Found,
) -> Result<(), EngineError> {
    let mut bytes = open(stores, format, file).await?;
    let mut scan = Scan::new(format);
    let (mut header, mut rows) = (None, 0);
    while rows < ROWS_MAX {
        match scan.step() {
            Step::More => {
                let next = bytes.next().await.transpose().map_err(|error| unreadable(file, error))?;
                scan.feed(next);
            }
            Step::End => break,
            Step::Bad(reason) => {
                let line = scan.line();
                return Err(EngineError::invalid(format!("bad row in \"{}\", line {line}: {reason}", file.name)));
            }
            Step::Row => {
                rows += 1;
                match &scan {
                    Scan::Csv(row) => match &header {
                        None if format.csv.header => {
                            let names = header_names(row);
                            names.iter().for_each(|name| found.meet(name, Guess::Nothing));
                            header = Some(names);
                        }
                        None => {
                            let names: Vec<String> = (1..=row.len()).map(|n| format!("column_{n}")).collect();
                            found.csv_row(row, &names);
                            header = Some(names);
                        }
                        Some(names) => found.csv_row(row, names),
                    },
                    Scan::Json(row) => row.members().iter().for_each(|(name, value)| found.member(name, value)),
                }
            }
        }
    }
    Ok(())
}

impl Found {
    fn csv_row(&mut self, row: &super::csv::Scanner, names: &[String]) {
        for (n, name) in names.iter().enumerate() {
            self.meet(name, row.value(n).map_or(Guess::Nothing, of_text));
        }
    }

    fn member(&mut self, name: &str, value: &Value) {
        match value {
            Value::Null => self.meet(name, Guess::Nothing),
            Value::Text(_) => self.meet(name, Guess::Text),
            Value::Plain(text) => self.meet(name, of_text(text)),
            Value::Nested(text) => {
                self.meet(name, Guess::Nested);
                let kept = self.nested.entry(name.into()).or_default();
                if kept.len() < NESTED_MAX
                    && let Ok(value) = serde_json::from_str(text)
                {
                    kept.push(value);
                }
            }
        }
    }

    fn meet(&mut self, name: &str, guess: Guess) {
        match self.guesses.get_mut(name) {
            Some(known) => *known = join(*known, guess),
            None => {
                self.names.push(name.into());
                self.guesses.insert(name.into(), guess);
            }
        }
    }

    fn data_type(&self, name: &str) -> Result<DataType, EngineError> {
        Ok(match self.guesses.get(name).copied().unwrap_or(Guess::Nothing) {
            Guess::Nothing | Guess::Text => DataType::Utf8,
            Guess::Boolean => DataType::Boolean,
            Guess::Integer => DataType::Int64,
            Guess::Float => DataType::Float64,
            Guess::Date => DataType::Date32,
            Guess::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Guess::TimestampUtc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Guess::Nested => {
                let values = self.nested.get(name).into_iter().flatten();
                let objects = values.map(|value| Ok(serde_json::json!({ "v": value })));
                match infer_json_schema_from_iterator(objects) {
                    Ok(schema) => schema.field(0).data_type().clone(),
                    // Arrays and objects of no one type are kept as they are written.
                    Err(_) => DataType::Utf8,
                }
            }
        })
    }
}

fn join(a: Guess, b: Guess) -> Guess {
    match (a, b) {
        (Guess::Nothing, other) | (other, Guess::Nothing) => other,
        (a, b) if a == b => a,
        (Guess::Integer, Guess::Float) | (Guess::Float, Guess::Integer) => Guess::Float,
        (Guess::Date, Guess::Timestamp) | (Guess::Timestamp, Guess::Date) => Guess::Timestamp,
        _ => Guess::Text,
    }
}

fn of_text(text: &str) -> Guess {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let Some(first) = digits.bytes().next() else { return Guess::Text };
    if first.is_ascii_digit() && !leading_zero {
        if text.parse::<i64>().is_ok() {
            return Guess::Integer;
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Guess::Float;
        }
        return of_time(text);
    }
    if first == b'.' && text.parse::<f64>().is_ok() {
        return Guess::Float;
    }
    match text {
        "true" | "false" | "TRUE" | "FALSE" | "True" | "False" => Guess::Boolean,
        _ => Guess::Text,
    }
}

/// `2024-01-31`, `2024-01-31 10:00:00`, with microseconds and a zone.
fn of_time(text: &str) -> Guess {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Guess::Text;
    }
    match string_to_datetime(&chrono::Utc, text) {
        Err(_) => Guess::Text,
        Ok(_) if bytes.len() == 10 => Guess::Date,
        Ok(time) if time.timestamp_subsec_nanos() % 1_000 != 0 => Guess::Text,
        Ok(_) if text.ends_with('Z') || text[10..].contains(['+', '-']) => Guess::TimestampUtc,
        Ok(_) => Guess::Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_can_be_without_a_loss() {
        for (text, guess) in [
            ("1", Guess::Integer),
            ("-12", Guess::Integer),
            ("0", Guess::Integer),
            ("007", Guess::Text),
            ("+49", Guess::Text),
            ("99999999999999999999", Guess::Text),
            ("1.5", Guess::Float),
            ("0.5", Guess::Float),
            ("1e3", Guess::Float),
            ("nan", Guess::Text),
            ("true", Guess::Boolean),
            ("yes", Guess::Text),
            ("2024-01-31", Guess::Date),
            ("2024-01-32", Guess::Text),
            ("2024-01-31T10:00:00", Guess::Timestamp),
            ("2024-01-31 10:00:00.123456Z", Guess::TimestampUtc),
            ("2024-01-31 10:00:00.123456789", Guess::Text),
            ("", Guess::Text),
        ] {
            assert_eq!(of_text(text), guess, "{text}");
        }
        assert_eq!(join(Guess::Integer, Guess::Float), Guess::Float);
        assert_eq!(join(Guess::Date, Guess::Integer), Guess::Text);
    }
}
