//! Rows in the binary form of COPY.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int8Array, Int16Array, Int32Array, Int64Array, LargeBinaryArray, LargeStringArray, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, Schema, TimestampMicrosecondType,
    },
    json::{WriterBuilder, writer::LineDelimited},
};
use boathouse_engine::EngineError;

use super::{numeric::numeric, types::PgType};

/// What stands before the rows: a signature, no flags, nothing more.
pub(super) const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands behind them.
pub(super) const END: &[u8] = &[0xff, 0xff];
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// 2000-01-01, from which PostgreSQL counts, in days and microseconds since 1970.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// A batch, ready to be written row by row.
pub(super) struct Rows<'a> {
    columns: Vec<(&'a str, Values<'a>)>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    Date(&'a Date32Array),
    Time(&'a TimestampMicrosecondArray),
    Json(&'a ArrayRef, Json),
}

/// Texts, one for each row, one behind the other.
struct Json {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Rows<'a> {
    pub fn of(batch: &'a RecordBatch) -> Result<Self, EngineError> {
        let fields = batch.schema_ref().fields().iter().zip(batch.columns());
        let columns = fields.map(|(field, column)| Ok((field.name().as_str(), Values::of(field, column)?)));
        Ok(Self { columns: columns.collect::<Result<_, EngineError>>()? })
    }

    /// Appends a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), EngineError> {
        let count = i16::try_from(self.columns.len())
            .map_err(|_| EngineError::unsupported("a table of PostgreSQL does not have so many columns"))?;
        out.extend_from_slice(&count.to_be_bytes());
        for (name, values) in &self.columns {
            if values.is_null(row) {
                out.extend_from_slice(&NULL);
                continue;
            }
            // Room for the length, which comes out only then.
            let begin = out.len();
            out.extend_from_slice(&NULL);
            values.write(row, out).map_err(|why| EngineError::invalid(format!("column \"{name}\" {why}")))?;
            let length = i32::try_from(out.len() - begin - NULL.len())
                .map_err(|_| EngineError::unsupported(format!("a value of column \"{name}\" is larger than a GiB")))?;
            if let Some(place) = out.get_mut(begin..begin + NULL.len()) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }
}

impl<'a> Values<'a> {
    fn of(field: &Field, column: &'a ArrayRef) -> Result<Self, EngineError> {
        Ok(match (PgType::of(field)?, column.data_type()) {
            (PgType::Boolean, _) => Self::Boolean(column.as_boolean()),
            (PgType::Smallint, DataType::Int8) => Self::Int8(column.as_primitive::<Int8Type>()),
            (PgType::Smallint, _) => Self::Int16(column.as_primitive::<Int16Type>()),
            (PgType::Integer, _) => Self::Int32(column.as_primitive::<Int32Type>()),
            (PgType::Bigint, _) => Self::Int64(column.as_primitive::<Int64Type>()),
            (PgType::Real, _) => Self::Float32(column.as_primitive::<Float32Type>()),
            (PgType::Double, _) => Self::Float64(column.as_primitive::<Float64Type>()),
            (PgType::Numeric { scale, .. }, _) => Self::Decimal(column.as_primitive::<Decimal128Type>(), scale),
            (PgType::Text, DataType::LargeUtf8) => Self::LargeText(column.as_string::<i64>()),
            (PgType::Text, _) => Self::Text(column.as_string::<i32>()),
            (PgType::Bytea, DataType::LargeBinary) => Self::LargeBytes(column.as_binary::<i64>()),
            (PgType::Bytea, _) => Self::Bytes(column.as_binary::<i32>()),
            (PgType::Date, _) => Self::Date(column.as_primitive::<Date32Type>()),
            (PgType::Timestamp | PgType::Timestamptz, _) => {
                Self::Time(column.as_primitive::<TimestampMicrosecondType>())
            }
            (PgType::Jsonb, _) => Self::Json(column, nested(column)?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(values) => values.is_null(row),
            Self::Int8(values) => values.is_null(row),
            Self::Int16(values) => values.is_null(row),
            Self::Int32(values) => values.is_null(row),
            Self::Int64(values) => values.is_null(row),
            Self::Float32(values) => values.is_null(row),
            Self::Float64(values) => values.is_null(row),
            Self::Decimal(values, _) => values.is_null(row),
            Self::Text(values) => values.is_null(row),
            Self::LargeText(values) => values.is_null(row),
            Self::Bytes(values) => values.is_null(row),
            Self::LargeBytes(values) => values.is_null(row),
            Self::Date(values) => values.is_null(row),
            Self::Time(values) => values.is_null(row),
            Self::Json(values, _) => values.is_null(row),
        }
    }

    /// Appends a value. The error is what its column does.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Int8(values) => out.extend_from_slice(&i16::from(values.value(row)).to_be_bytes()),
            Self::Int16(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Self::Int32(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Self::Int64(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Self::Float32(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Self::Float64(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
            Self::Decimal(values, scale) => numeric(values.value(row), *scale, out),
            Self::Text(values) => text(values.value(row), out)?,
            Self::LargeText(values) => text(values.value(row), out)?,
            Self::Bytes(values) => out.extend_from_slice(values.value(row)),
            Self::LargeBytes(values) => out.extend_from_slice(values.value(row)),
            Self::Date(values) => {
                let days = values.value(row).checked_sub(EPOCH_DAYS).ok_or("has a date that is too early")?;
                out.extend_from_slice(&days.to_be_bytes());
            }
            Self::Time(values) => {
                let time = values.value(row).checked_sub(EPOCH_US).ok_or("has a time that is too early")?;
                out.extend_from_slice(&time.to_be_bytes());
            }
            Self::Json(_, json) => {
                // The version of the form.
                out.push(1);
                out.extend_from_slice(json.value(row));
            }
        }
        Ok(())
    }
}

fn text(value: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if value.contains('\0') {
        return Err("has a text with the character U+0000, which PostgreSQL does not keep".to_owned());
    }
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

impl Json {
    fn value(&self, row: usize) -> &[u8] {
        let begin = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let line = self.ends.get(row).and_then(|end| self.text.get(begin..*end)).unwrap_or_default();
        // Between `{"v":` and `}` and a line feed.
        line.strip_prefix(b"{\"v\":").and_then(|line| line.strip_suffix(b"}\n")).unwrap_or(b"null")
    }
}

/// The values of a nested column as JSON.
fn nested(column: &ArrayRef) -> Result<Json, EngineError> {
    let wrong = |error| EngineError::unsupported("a nested value has no form as JSON").with_source(error);
    let field = Field::new("v", column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()]).map_err(wrong)?;
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    writer.write(&batch).and_then(|()| writer.finish()).map_err(wrong)?;
    drop(writer);
    // Line feeds inside values are escaped.
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    Ok(Json { text, ends })
}
