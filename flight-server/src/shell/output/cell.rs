//! One value as text: numbers as SQL writes them, timestamps as psql shows them, nested values as JSON, bytes as hex.

use std::{fmt::Write, io, sync::LazyLock};

use arrow::{
    array::Array,
    datatypes::{DataType, FieldRef},
    json::writer::{EncoderOptions, NullableEncoder, make_encoder},
    util::display::{ArrayFormatter, FormatOptions},
};
use unicode_width::UnicodeWidthChar;

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_date_format(Some("%Y-%m-%d"))
    .with_datetime_format(Some("%Y-%m-%d %H:%M:%S"))
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
    .with_time_format(Some("%H:%M:%S%.f"));

static JSON_OPTIONS: LazyLock<EncoderOptions> = LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));

/// A column of a batch, ready to write any of its values.
pub struct Column<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Flat(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

impl<'a> Column<'a> {
    pub fn new(field: &'a FieldRef, array: &'a dyn Array) -> io::Result<Self> {
        let values = if is_nested(array.data_type()) {
            Values::Nested(make_encoder(field, array, &JSON_OPTIONS).map_err(io::Error::other)?)
        } else {
            Values::Flat(ArrayFormatter::try_new(array, &OPTIONS).map_err(io::Error::other)?)
        };
        Ok(Self { array, values })
    }

    /// Replaces `text` by the value; says `false`, with an empty text, for NULL.
    pub fn write(&mut self, row: usize, text: &mut String) -> io::Result<bool> {
        text.clear();
        if self.array.is_null(row) {
            return Ok(false);
        }
        match &mut self.values {
            Values::Flat(values) => write!(text, "{}", values.value(row)).map_err(io::Error::other)?,
            Values::Nested(values) => {
                let mut bytes = Vec::new();
                values.encode(row, &mut bytes);
                text.push_str(std::str::from_utf8(&bytes).map_err(io::Error::other)?);
            }
        }
        Ok(true)
    }
}

fn is_nested(data_type: &DataType) -> bool {
    // Unions and the like have no JSON form; the flat formatter shows them in its own way.
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => is_encodable(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_encodable(field.data_type())),
        _ => false,
    }
}

fn is_encodable(data_type: &DataType) -> bool {
    !data_type.is_nested() || is_nested(data_type)
}

/// `text` without control characters, which would disturb a terminal: those but line feeds become escapes.
pub fn printable(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => clean.push('\n'),
            '\t' => clean.push_str("\\t"),
            '\r' => clean.push_str("\\r"),
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// `text` cut to a width on the screen, with `…` when something is missing.
pub fn cut(text: &str, width_max: Option<usize>) -> String {
    let Some(width_max) = width_max else { return text.to_owned() };
    let mut width = 0;
    let mut last_fit = 0;
    for (at, c) in text.char_indices() {
        width += c.width().unwrap_or(0);
        if width > width_max {
            return format!("{}…", &text[..last_fit]);
        }
        // One column is kept for the ellipsis.
        if width < width_max {
            last_fit = at + c.len_utf8();
        }
    }
    text.to_owned()
}
