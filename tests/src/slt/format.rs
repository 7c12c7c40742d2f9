//! Values as text, so that an answer reads the same whoever gave it.
//!
//! | value | text |
//! |---|---|
//! | NULL | `NULL` |
//! | empty string | `(empty)` |
//! | float | 12 significant digits (32 bits: 6), no trailing zeros; from 1e16 on as `1e16`; `NaN`, `Infinity` |
//! | decimal | without trailing zeros: `1.50` is `1.5` |
//! | timestamp, date, time | ISO 8601: `2024-01-31T12:00:00`, with a zone `...Z` |
//! | binary | hexadecimal digits |
//! | list, struct, map | as Arrow prints them: `[1, 2]`, `{a: 1}` |
//!
//! A line break inside a value is written `\n`, except in the last column, where a text of many lines (a plan) becomes
//! many lines, numbered `01)`, `02)`. Column types are letters: `B` boolean, `I` integer, `R` float or decimal, `T` text,
//! `D` date, `P` timestamp, `?` all else.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, SchemaRef,
    },
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use sqllogictest::ColumnType;

/// A column's type as a letter of a `query` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    Boolean,
    Date,
    Integer,
    Number,
    Text,
    Timestamp,
    Other,
}

impl ColumnType for Letter {
    fn from_char(letter: char) -> Option<Self> {
        Some(match letter {
            'B' => Self::Boolean,
            'D' => Self::Date,
            'I' => Self::Integer,
            'R' => Self::Number,
            'T' => Self::Text,
            'P' => Self::Timestamp,
            '?' => Self::Other,
            _ => return None,
        })
    }

    fn to_char(&self) -> char {
        match self {
            Self::Boolean => 'B',
            Self::Date => 'D',
            Self::Integer => 'I',
            Self::Number => 'R',
            Self::Text => 'T',
            Self::Timestamp => 'P',
            Self::Other => '?',
        }
    }
}

/// The letters of a schema's columns.
pub fn letters(schema: &SchemaRef) -> Vec<Letter> {
    schema.fields().iter().map(|field| letter(field.data_type())).collect()
}

fn letter(data_type: &DataType) -> Letter {
    match data_type {
        DataType::Boolean => Letter::Boolean,
        DataType::Date32 | DataType::Date64 => Letter::Date,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Letter::Text,
        DataType::Timestamp(_, _) => Letter::Timestamp,
        DataType::Dictionary(_, values) => letter(values),
        t if t.is_integer() => Letter::Integer,
        t if t.is_numeric() => Letter::Number,
        _ => Letter::Other,
    }
}

/// How many digits after the point a number keeps at most; `None`: all that it has.
pub type Places = Option<usize>;

/// The rows of a batch, a text for each value.
pub fn rows(batch: &RecordBatch, places: Places) -> Result<Vec<Vec<String>>, ArrowError> {
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let values = batch.columns().iter().map(|column| value(column, row, places)).collect::<Result<Vec<_>, _>>()?;
        lines(values, &mut rows);
    }
    Ok(rows)
}

/// Writes a row as one line, or as many when its last value is a text of many lines.
fn lines(mut values: Vec<String>, rows: &mut Vec<Vec<String>>) {
    let last = values.pop();
    for value in &mut values {
        *value = value.replace('\n', "\\n");
    }
    match last {
        Some(text) if text.trim_end().contains('\n') => {
            let mut first = values;
            for (index, line) in text.trim_end().lines().enumerate() {
                let mut row = std::mem::take(&mut first);
                row.push(format!("{:02}) {line}", index + 1));
                rows.push(row);
            }
        }
        last => {
            values.extend(last.map(|text| text.trim_end_matches('\n').replace('\n', "\\n")));
            rows.push(values);
        }
    }
}

fn value(column: &dyn Array, row: usize, places: Places) -> Result<String, ArrowError> {
    if column.is_null(row) {
        return Ok("NULL".to_owned());
    }
    let text = match column.data_type() {
        DataType::Float16 => float(f64::from(column.as_primitive::<Float16Type>().value(row)), 3, places),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row)), 6, places),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row), 12, places),
        DataType::Decimal128(precision, scale) => {
            let digits =
                Decimal128Type::format_decimal(column.as_primitive::<Decimal128Type>().value(row), *precision, *scale);
            decimal(&digits, places)
        }
        DataType::Decimal256(precision, scale) => {
            let digits =
                Decimal256Type::format_decimal(column.as_primitive::<Decimal256Type>().value(row), *precision, *scale);
            decimal(&digits, places)
        }
        _ => {
            let options = FormatOptions::default().with_null("NULL");
            ArrayFormatter::try_new(column, &options)?.value(row).try_to_string()?
        }
    };
    Ok(if text.is_empty() { "(empty)".to_owned() } else { text })
}

fn float(value: f64, digits: usize, places: Places) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if let Some(places) = places {
        return trimmed(&format!("{value:.places$}"));
    }
    // Sums in another order differ in the last digits: what is left after rounding to `digits` does not.
    let rounded: f64 = format!("{value:.*e}", digits - 1).parse().unwrap_or(value);
    let text = format!("{rounded:?}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A decimal's digits without trailing zeros, rounded half away from zero when they are more than `places`.
fn decimal(digits: &str, places: Places) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let Some(places) = places.filter(|places| fraction.len() > *places) else {
        return trimmed(digits);
    };
    let (kept, dropped) = fraction.split_at(places);
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut number: Vec<u8> = format!("0{whole}{kept}").into_bytes();
    if dropped.as_bytes().first().is_some_and(|digit| *digit >= b'5') {
        let nines = number.iter().rev().take_while(|digit| **digit == b'9').count();
        let end = number.len();
        number[end - nines..].fill(b'0');
        number[end - nines - 1] += 1;
    }
    let number = String::from_utf8_lossy(&number).into_owned();
    let (whole, fraction) = number.split_at(number.len() - places);
    let whole = whole.trim_start_matches('0');
    trimmed(&format!("{sign}{}.{fraction}", if whole.is_empty() { "0" } else { whole }))
}

fn trimmed(digits: &str) -> String {
    let text = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_the_digits_that_do_not_depend_on_the_order_of_a_sum() {
        assert_eq!(float(0.1 + 0.2, 12, None), "0.3");
        assert_eq!(float(1.0, 12, None), "1");
        assert_eq!(float(-0.0, 12, None), "0");
        assert_eq!(float(1e300, 12, None), "1e300");
        assert_eq!(float(123_456_789_012_345.0, 12, None), "123456789012000");
        assert_eq!(float(f64::NAN, 12, None), "NaN");
        assert_eq!(float(2.0 / 3.0, 12, Some(4)), "0.6667");
    }

    #[test]
    fn decimals_lose_their_trailing_zeros_and_round_half_away_from_zero() {
        assert_eq!(decimal("1.50", None), "1.5");
        assert_eq!(decimal("100", None), "100");
        assert_eq!(decimal("0.00", None), "0");
        assert_eq!(decimal("25.537587", Some(4)), "25.5376");
        assert_eq!(decimal("-9.99995", Some(4)), "-10");
        assert_eq!(decimal("-0.00001", Some(4)), "0");
        assert_eq!(decimal("99.5", Some(0)), "100");
    }

    #[test]
    fn a_text_of_many_lines_in_the_last_column_becomes_many_lines() {
        let mut rows = Vec::new();
        lines(vec!["a\nb".into(), "Sort\n  Scan\n".into()], &mut rows);
        assert_eq!(rows, [vec!["a\\nb".to_owned(), "01) Sort".into()], vec!["02)   Scan".to_owned()]]);
    }
}
