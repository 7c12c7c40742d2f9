//! SQL types to Arrow types, as far as a Delta table keeps them.
//!
//! | SQL | kept as |
//! |---|---|
//! | BOOLEAN | Boolean |
//! | TINYINT, SMALLINT, INT, BIGINT and their names with bits or bytes | Int8, Int16, Int32, Int64 |
//! | REAL, FLOAT, FLOAT4; DOUBLE, FLOAT8 | Float32; Float64 |
//! | DECIMAL(p, s), NUMERIC(p, s); (38, 10) when nothing is said | Decimal128 |
//! | VARCHAR, TEXT, STRING, CHAR VARYING without length | Utf8 |
//! | BINARY, BYTEA, BLOB, VARBINARY without length | Binary |
//! | DATE | Date32 |
//! | TIMESTAMP [WITHOUT TIME ZONE], TIMESTAMP_NTZ, DATETIME | microseconds without a zone |
//! | TIMESTAMP WITH TIME ZONE, TIMESTAMPTZ, TIMESTAMP_LTZ | microseconds UTC |
//! | ARRAY<T>, T[], MAP<K, V>, STRUCT<name T, ...> | List, Map, Struct |
//!
//! A type or a length that a table would not keep is refused with the type to write instead: nothing is rounded or dropped
//! without a word.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit},
    error::DataFusionError,
    logical_expr::planner::TypePlanner,
    sql::sqlparser::ast::{self, ArrayElemTypeDef, ExactNumberInfo, StructField, TimezoneInfo},
};

use crate::EngineError;

/// The digits of a DECIMAL at most.
const PRECISION_MAX: u64 = 38;

/// The Arrow type of a column declared with an SQL type.
pub(crate) fn arrow_type(sql: &ast::DataType) -> Result<DataType, EngineError> {
    use ast::DataType as Sql;
    Ok(match sql {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(None) => DataType::Int8,
        Sql::SmallInt(None) | Sql::Int2(None) | Sql::Int16 => DataType::Int16,
        Sql::Int(None) | Sql::Integer(None) | Sql::Int4(None) | Sql::Int32 => DataType::Int32,
        Sql::BigInt(None) | Sql::Int8(None) | Sql::Int64 => DataType::Int64,
        Sql::Real | Sql::Float4 | Sql::Float32 | Sql::Float(ExactNumberInfo::None) => DataType::Float32,
        Sql::Float(ExactNumberInfo::Precision(1..=24)) => DataType::Float32,
        Sql::Float(ExactNumberInfo::Precision(25..=53)) => DataType::Float64,
        Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Decimal(info) | Sql::Numeric(info) | Sql::Dec(info) => decimal(sql, info)?,
        Sql::Varchar(None)
        | Sql::CharVarying(None)
        | Sql::CharacterVarying(None)
        | Sql::Nvarchar(None)
        | Sql::Text
        | Sql::String(None) => DataType::Utf8,
        Sql::Binary(None) | Sql::Varbinary(None) | Sql::Blob(None) | Sql::Bytes(None) | Sql::Bytea => DataType::Binary,
        Sql::Date | Sql::Date32 => DataType::Date32,
        Sql::Timestamp(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        | Sql::TimestampNtz(None | Some(6))
        | Sql::Datetime(None | Some(6)) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Sql::Timestamp(None | Some(6), TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => utc(),
        Sql::Array(ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::SquareBracket(item, None)) => {
            DataType::List(Arc::new(Field::new("element", arrow_type(item)?, true)))
        }
        Sql::Map(key, value) => map(key, value)?,
        Sql::Struct(fields, _) => DataType::Struct(struct_fields(sql, fields)?),
        Sql::Custom(name, arguments) if arguments.is_empty() => custom(sql, &name.to_string())?,
        other => return Err(refused(other)),
    })
}

/// The types that the library's planner has no idea of, wherever a type stands in a query: MAP.
#[derive(Debug)]
pub(crate) struct MapTypes;

impl TypePlanner for MapTypes {
    fn plan_type_field(&self, sql: &ast::DataType) -> Result<Option<FieldRef>, DataFusionError> {
        match sql {
            // Without a name: nothing but the type is asked for.
            ast::DataType::Map(..) => Ok(Some(Arc::new(Field::new("", arrow_type(sql)?, true)))),
            _ => Ok(None),
        }
    }
}

/// The SQL spelling of an Arrow type, for error texts and `SHOW CREATE TABLE`. Reads back through [`arrow_type`].
pub(crate) fn sql_type(arrow: &DataType) -> String {
    match arrow {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BINARY".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Dictionary(_, value) => sql_type(value),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("ARRAY<{}>", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let part = |field: &FieldRef| format!("{} {}", field_name(field.name()), sql_type(field.data_type()));
            format!("STRUCT<{}>", fields.iter().map(part).collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP({}, {})", sql_type(pair[0].data_type()), sql_type(pair[1].data_type()))
            }
            _ => "MAP".into(),
        },
        other => other.to_string(),
    }
}

/// In double quotes where it is no word. Case needs none, and words of SQL are names here.
fn field_name(name: &str) -> String {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn decimal(sql: &ast::DataType, info: &ExactNumberInfo) -> Result<DataType, EngineError> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (PRECISION_MAX, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let fits = (1..=PRECISION_MAX).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if fits => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(EngineError::unsupported(format!("type {sql} is not supported"))
            .with_hint(format!("A DECIMAL has 1 to {PRECISION_MAX} digits, of which 0 to all are after the point."))),
    }
}

fn map(key: &ast::DataType, value: &ast::DataType) -> Result<DataType, EngineError> {
    let pair = vec![Field::new("key", arrow_type(key)?, false), Field::new("value", arrow_type(value)?, true)];
    Ok(DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.into()), false)), false))
}

fn struct_fields(sql: &ast::DataType, fields: &[StructField]) -> Result<Fields, EngineError> {
    let field = |field: &StructField| {
        let name =
            field.field_name.as_ref().ok_or_else(|| EngineError::invalid(format!("a field of {sql} has no name")))?;
        // Case as written: a struct's field is data, not an SQL name to be folded.
        Ok(Field::new(&name.value, arrow_type(&field.field_type)?, true))
    };
    fields.iter().map(field).collect()
}

fn custom(sql: &ast::DataType, name: &str) -> Result<DataType, EngineError> {
    Ok(match name.to_uppercase().as_str() {
        "BYTE" => DataType::Int8,
        "SHORT" => DataType::Int16,
        "LONG" => DataType::Int64,
        "TIMESTAMP_LTZ" => utc(),
        _ => return Err(refused(sql)),
    })
}

/// Says what to write instead of a type that is not kept.
fn refused(sql: &ast::DataType) -> EngineError {
    use ast::DataType as Sql;
    let hint = match sql {
        Sql::Varchar(Some(_))
        | Sql::Char(_)
        | Sql::Character(_)
        | Sql::CharVarying(Some(_))
        | Sql::CharacterVarying(Some(_))
        | Sql::Nvarchar(Some(_))
        | Sql::String(Some(_))
        | Sql::FixedString(_) => "Tables keep text without a length: write VARCHAR.",
        Sql::Binary(Some(_)) | Sql::Varbinary(Some(_)) | Sql::Blob(Some(_)) | Sql::Bytes(Some(_)) => {
            "Tables keep bytes without a length: write BINARY."
        }
        Sql::TinyIntUnsigned(_) | Sql::UTinyInt | Sql::UInt8 => "Tables keep signed numbers: write SMALLINT.",
        Sql::SmallIntUnsigned(_) | Sql::USmallInt | Sql::UInt16 | Sql::Int2Unsigned(_) | Sql::MediumIntUnsigned(_) => {
            "Tables keep signed numbers: write INT."
        }
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) | Sql::Int4Unsigned(_) | Sql::UInt32 | Sql::Unsigned => {
            "Tables keep signed numbers: write BIGINT."
        }
        Sql::BigIntUnsigned(_) | Sql::UBigInt | Sql::UInt64 | Sql::Int8Unsigned(_) | Sql::HugeInt | Sql::Int128 => {
            "Write DECIMAL(38, 0)."
        }
        Sql::TinyInt(_) | Sql::SmallInt(_) | Sql::Int(_) | Sql::Integer(_) | Sql::BigInt(_) | Sql::MediumInt(_) => {
            "Write TINYINT, SMALLINT, INT or BIGINT without a width."
        }
        Sql::Timestamp(..) | Sql::TimestampNtz(_) | Sql::Datetime(_) | Sql::Datetime64(..) => {
            "Tables keep microseconds: write TIMESTAMP or TIMESTAMP WITH TIME ZONE."
        }
        Sql::Time(..) | Sql::Interval { .. } => "Tables do not keep this type: write VARCHAR or BIGINT.",
        Sql::JSON | Sql::JSONB | Sql::Uuid => "Write VARCHAR.",
        Sql::BigDecimal(_) | Sql::BigNumeric(_) => "Write DECIMAL(precision, scale).",
        _ => {
            "Types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL, VARCHAR, BINARY, DATE, TIMESTAMP, \
              ARRAY, MAP and STRUCT."
        }
    };
    EngineError::unsupported(format!("type {sql} is not supported")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    use super::*;

    fn of(text: &str) -> Result<DataType, EngineError> {
        let dialect = GenericDialect {};
        let mut parser = Parser::new(&dialect).try_with_sql(text).unwrap();
        arrow_type(&parser.parse_data_type().unwrap())
    }

    #[test]
    fn every_spelling_reads_back() {
        for text in [
            "BOOLEAN",
            "TINYINT",
            "SMALLINT",
            "INT",
            "BIGINT",
            "REAL",
            "DOUBLE",
            "DECIMAL(12, 2)",
            "VARCHAR",
            "BINARY",
            "DATE",
            "TIMESTAMP",
            "TIMESTAMP WITH TIME ZONE",
            "ARRAY<INT>",
            "MAP(VARCHAR, BIGINT)",
            "STRUCT<a INT, b ARRAY<VARCHAR>>",
            "STRUCT<Sel INT, order INT, \"a b\" INT, \"c.d\" STRUCT<\"1\" INT>, \"q\"\"q\" INT>",
        ] {
            assert_eq!(sql_type(&of(text).unwrap()), text);
        }
    }

    #[test]
    fn other_names_of_the_same_types() {
        for (text, kept) in [
            ("INTEGER", "INT"),
            ("INT8", "BIGINT"),
            ("LONG", "BIGINT"),
            ("FLOAT(53)", "DOUBLE"),
            ("DOUBLE PRECISION", "DOUBLE"),
            ("NUMERIC(5)", "DECIMAL(5, 0)"),
            ("DECIMAL", "DECIMAL(38, 10)"),
            ("STRING", "VARCHAR"),
            ("BYTEA", "BINARY"),
            ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"),
            ("TIMESTAMP_NTZ", "TIMESTAMP"),
            ("INT[]", "ARRAY<INT>"),
        ] {
            assert_eq!(sql_type(&of(text).unwrap()), kept, "{text}");
        }
    }

    #[test]
    fn what_a_table_does_not_keep_is_refused_with_a_hint() {
        for text in ["VARCHAR(25)", "CHAR(1)", "INT UNSIGNED", "DECIMAL(39, 2)", "TIMESTAMP(9)", "TIME", "UUID", "JSON"]
        {
            let error = of(text).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Unsupported, "{text}");
            assert!(error.hint.is_some(), "{text}");
        }
    }
}
