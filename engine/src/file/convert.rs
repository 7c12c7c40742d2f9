//! Columns of text to columns of values. A value that would be changed by the conversion (a decimal with more digits than
//! its column, a time with nanoseconds) counts as one that does not parse.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, BinaryBuilder, StringArray, new_empty_array},
    compute::{CastOptions, cast_with_options, concat},
    datatypes::{DataType, Field, FieldRef, Schema},
    error::ArrowError,
    json::ReaderBuilder,
};

use crate::EngineError;

/// The values, and the rows whose text is none. Such a row holds NULL.
pub(super) fn convert(text: &StringArray, field: &FieldRef) -> Result<(ArrayRef, Vec<usize>), EngineError> {
    let failed = |error: ArrowError| EngineError::from(datafusion::error::DataFusionError::from(error));
    let values = match field.data_type() {
        DataType::Utf8 => return Ok((Arc::new(text.clone()), Vec::new())),
        DataType::Binary => binary(text),
        data_type if data_type.is_nested() => return nested(text, field),
        DataType::Decimal128(_, scale) => {
            cast(&exact(text, usize::try_from(*scale).unwrap_or(0)), field).map_err(failed)?
        }
        DataType::Timestamp(_, None) => cast(&zoneless(&exact(text, 6)), field).map_err(failed)?,
        DataType::Timestamp(_, Some(_)) => cast(&exact(text, 6), field).map_err(failed)?,
        DataType::Date32 => cast(&midnight(text), field).map_err(failed)?,
        DataType::Float32 | DataType::Float64 => cast(&finite(text), field).map_err(failed)?,
        _ => cast(text, field).map_err(failed)?,
    };
    let bad = (0..text.len()).filter(|row| text.is_valid(*row) && values.is_null(*row)).collect();
    Ok((values, bad))
}

fn cast(text: &StringArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    cast_with_options(text, field.data_type(), &CastOptions { safe: true, ..CastOptions::default() })
}

/// Marks texts with more digits after the point than are kept, which the cast would round away.
fn exact(text: &StringArray, digits: usize) -> StringArray {
    text.iter().map(|value| value.map(|value| if fraction(value) > digits { "" } else { value })).collect()
}

/// The digits after the point, without zeros at the end.
fn fraction(value: &str) -> usize {
    let Some((_, after)) = value.split_once('.') else { return 0 };
    let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    after[..digits].trim_end_matches('0').len()
}

/// Marks times with a zone, which the cast would shift to UTC and forget.
fn zoneless(text: &StringArray) -> StringArray {
    let zoned = |value: &str| value.get(10..).is_some_and(|time| time.contains(['Z', 'z', '+', '-']));
    text.iter().map(|value| value.map(|value| if zoned(value) { "" } else { value })).collect()
}

/// Marks dates with a time of day or a zone, which the cast would cut off.
fn midnight(text: &StringArray) -> StringArray {
    let timed = |value: &str| {
        let time = value.trim().split_once(['T', 't', ' ']).map(|(_, time)| time);
        time.is_some_and(|time| time.contains(|c: char| !matches!(c, '0' | ':' | '.' | 'Z' | 'z' | ' ')))
    };
    text.iter().map(|value| value.map(|value| if timed(value) { "" } else { value })).collect()
}

/// Marks numbers too large for any float, which the cast would turn into infinity.
fn finite(text: &StringArray) -> StringArray {
    let check = |value: &str| match value.parse::<f64>() {
        Ok(number) => number.is_finite() || value.to_ascii_lowercase().contains("inf") || number.is_nan(),
        Err(_) => true,
    };
    text.iter().map(|value| value.map(|value| if check(value) { value } else { "" })).collect()
}

/// Bytes as hexadecimal digits, with or without `\x` before them.
fn binary(text: &StringArray) -> ArrayRef {
    let mut builder = BinaryBuilder::new();
    for value in text {
        builder.append_option(value.and_then(|value| unhex(value.strip_prefix("\\x").unwrap_or(value))));
    }
    Arc::new(builder.finish())
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// Arrays and objects from JSON text: all at once, and one by one when that fails.
fn nested(text: &StringArray, field: &FieldRef) -> Result<(ArrayRef, Vec<usize>), EngineError> {
    let whole = |value: Option<&str>| value.is_none_or(|value| is_whole(value, field.data_type()));
    if text.iter().all(whole)
        && let Ok(values) = decode(text.iter(), field)
    {
        return Ok((values, Vec::new()));
    }
    let mut bad = Vec::new();
    let mut parts = Vec::with_capacity(text.len());
    for (row, value) in text.iter().enumerate() {
        let part = match decode([value].into_iter(), field) {
            Ok(part) if whole(value) => Ok(part),
            _ => {
                bad.push(row);
                decode([None].into_iter(), field)
            }
        };
        parts.push(part.map_err(datafusion::error::DataFusionError::from)?);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    Ok((concat(&parts).map_err(datafusion::error::DataFusionError::from)?, bad))
}

/// Whether no number in this JSON has more digits after the point than its type keeps: the decoder would cut them off.
fn is_whole(json: &str, data_type: &DataType) -> bool {
    serde_json::from_str(json).is_ok_and(|value| fits(&value, data_type))
}

fn fits(value: &serde_json::Value, data_type: &DataType) -> bool {
    use serde_json::Value;
    match (value, data_type) {
        (Value::Number(number), data_type) if data_type.is_integer() => !number.is_f64(),
        (Value::Number(number), DataType::Decimal128(_, scale)) => {
            fraction(&number.to_string()) <= usize::try_from(*scale).unwrap_or(0)
        }
        (Value::String(text), data_type) if data_type.is_integer() => text.parse::<i64>().is_ok(),
        (Value::Array(values), DataType::List(item) | DataType::LargeList(item)) => {
            values.iter().all(|value| fits(value, item.data_type()))
        }
        (Value::Object(members), DataType::Struct(fields)) => members
            .iter()
            .all(|(name, value)| fields.find(name).is_none_or(|(_, field)| fits(value, field.data_type()))),
        (Value::Object(members), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(pair) => {
                pair.get(1).is_none_or(|kept| members.values().all(|value| fits(value, kept.data_type())))
            }
            _ => true,
        },
        _ => true,
    }
}

fn decode<'a>(values: impl Iterator<Item = Option<&'a str>>, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let column = Arc::new(Field::new("v", field.data_type().clone(), true));
    let (mut json, mut rows) = (String::new(), 0);
    for value in values {
        json.push_str(&format!("{{\"v\":{}}}\n", value.unwrap_or("null")));
        rows += 1;
    }
    if rows == 0 {
        return Ok(new_empty_array(field.data_type()));
    }
    let schema = Arc::new(Schema::new(vec![column]));
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(rows).with_strict_mode(true).build_decoder()?;
    decoder.decode(json.as_bytes())?;
    let batch = decoder.flush()?.ok_or_else(|| ArrowError::JsonError("no value".into()))?;
    Ok(Arc::clone(batch.column(0)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        datatypes::TimeUnit,
        util::display::{ArrayFormatter, FormatOptions},
    };

    use super::*;

    fn values(texts: &[&str], data_type: DataType) -> Vec<Option<String>> {
        let text = StringArray::from(texts.to_vec());
        let (array, bad) = convert(&text, &Arc::new(Field::new("c", data_type, true))).unwrap();
        let format = ArrayFormatter::try_new(&array, &FormatOptions::default()).unwrap();
        (0..array.len()).map(|row| (!bad.contains(&row)).then(|| format.value(row).to_string())).collect()
    }

    fn some(texts: &[Option<&str>]) -> Vec<Option<String>> {
        texts.iter().map(|text| text.map(str::to_string)).collect()
    }

    #[test]
    fn what_does_not_parse_is_bad() {
        assert_eq!(
            values(&["1", "-2", "x", "1.5", "3000000000"], DataType::Int32),
            some(&[Some("1"), Some("-2"), None, None, None])
        );
        assert_eq!(values(&["2024-02-29", "2023-02-29"], DataType::Date32), some(&[Some("2024-02-29"), None]));
        assert_eq!(
            values(&["2024-02-29T00:00:00Z", "2024-02-29 12:00:00"], DataType::Date32),
            some(&[Some("2024-02-29"), None])
        );
        assert_eq!(values(&["true", "F", "maybe"], DataType::Boolean), some(&[Some("true"), Some("false"), None]));
        assert_eq!(values(&["1e3", "1e999"], DataType::Float64), some(&[Some("1000.0"), None]));
        assert_eq!(values(&["\\x00ff", "0"], DataType::Binary), some(&[Some("00ff"), None]));
    }

    #[test]
    fn what_would_be_rounded_is_bad() {
        let money = DataType::Decimal128(5, 2);
        assert_eq!(
            values(&["1.50", "1.5000", "1.505", "1000"], money),
            some(&[Some("1.50"), Some("1.50"), None, None])
        );
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(
            values(&["2024-01-01 10:00:00.000001", "2024-01-01T10:00:00.0000001"], time),
            some(&[Some("2024-01-01T10:00:00.000001"), None])
        );
    }

    #[test]
    fn a_zone_is_kept_or_refused() {
        let texts = ["2024-01-01 10:00:00", "2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00Z"];
        let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(values(&texts, plain), some(&[Some("2024-01-01T10:00:00"), None, None]));
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(
            values(&texts, zoned),
            some(&[Some("2024-01-01T10:00:00Z"), Some("2024-01-01T08:00:00Z"), Some("2024-01-01T10:00:00Z")])
        );
    }

    #[test]
    fn arrays_come_from_json() {
        let list = |item| DataType::List(Arc::new(Field::new("element", item, true)));
        let whole = list(DataType::Int64);
        assert_eq!(values(&["[1, 2]", "[\"x\"]", "[]"], whole.clone()), some(&[Some("[1, 2]"), None, Some("[]")]));
        assert_eq!(values(&["[1.5]", "[2]", "[\"3.5\"]"], whole), some(&[None, Some("[2]"), None]));
        let money = list(DataType::Decimal128(5, 2));
        assert_eq!(values(&["[1.25]", "[0.125, 1]"], money), some(&[Some("[1.25]"), None]));
        let object = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
        assert_eq!(values(&["{\"x\": 7}", "{\"x\": 7.5}"], object), some(&[Some("{x: 7}"), None]));
    }
}
