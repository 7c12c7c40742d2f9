//! The columns of a mart as columns of PostgreSQL.

use arrow::datatypes::{DataType, Field, TimeUnit};
use boathouse_engine::EngineError;

use super::load::short;

/// A type of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PgType {
    Boolean,
    Smallint,
    Integer,
    Bigint,
    Real,
    Double,
    Numeric {
        precision: u8,
        scale: u8,
    },
    Text,
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
    /// What is nested.
    Jsonb,
}

impl PgType {
    /// Of a column; an error where no type holds its values.
    pub fn of(field: &Field) -> Result<Self, EngineError> {
        short(field.name(), "Name the column with AS in the query.")?;
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 | DataType::Int16 => Self::Smallint,
            DataType::Int32 => Self::Integer,
            DataType::Int64 => Self::Bigint,
            DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(precision, scale) => match u8::try_from(*scale) {
                Ok(scale) => Self::Numeric { precision: *precision, scale },
                Err(_) => return Err(unfit(field)),
            },
            DataType::Utf8 | DataType::LargeUtf8 => Self::Text,
            DataType::Binary | DataType::LargeBinary => Self::Bytea,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Timestamptz,
            DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => Self::Jsonb,
            _ => return Err(unfit(field)),
        })
    }

    /// As SQL writes it.
    pub fn sql(self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Smallint => "smallint".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Bigint => "bigint".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Double => "double precision".to_owned(),
            Self::Numeric { precision, scale } => format!("numeric({precision}, {scale})"),
            Self::Text => "text".to_owned(),
            Self::Bytea => "bytea".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Timestamptz => "timestamptz".to_owned(),
            Self::Jsonb => "jsonb".to_owned(),
        }
    }
}

fn unfit(field: &Field) -> EngineError {
    let message = format!("column \"{}\" is {}, which PostgreSQL has no type for", field.name(), field.data_type());
    EngineError::unsupported(message).with_hint("Cast it in the query.")
}
