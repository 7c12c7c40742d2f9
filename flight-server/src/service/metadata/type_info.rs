//! CommandGetXdbcTypeInfo: the types that a column can have, for ODBC and what stands on it.

use arrow_flight::sql::{
    Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode,
    metadata::{XdbcTypeInfo, XdbcTypeInfoDataBuilder},
};

/// One row per type.
pub fn facts() -> XdbcTypeInfoDataBuilder {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for info in numbers().into_iter().chain(times()).chain(others()) {
        builder.append(info);
    }
    builder
}

fn numbers() -> Vec<XdbcTypeInfo> {
    let number = |name, data_type, digits, radix| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..plain(name, data_type, Some(digits))
    };
    let whole = |name, data_type, digits| XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        ..number(name, data_type, digits, 10)
    };
    vec![
        whole("TINYINT", XdbcDataType::XdbcTinyint, 3),
        whole("SMALLINT", XdbcDataType::XdbcSmallint, 5),
        whole("INTEGER", XdbcDataType::XdbcInteger, 10),
        whole("BIGINT", XdbcDataType::XdbcBigint, 19),
        number("REAL", XdbcDataType::XdbcReal, 24, 2),
        number("DOUBLE", XdbcDataType::XdbcDouble, 53, 2),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
            minimum_scale: Some(0),
            maximum_scale: Some(38),
            ..number("DECIMAL", XdbcDataType::XdbcDecimal, 38, 10)
        },
    ]
}

fn times() -> Vec<XdbcTypeInfo> {
    let time = |name, data_type, size, subcode, digits, prefix: &str| XdbcTypeInfo {
        literal_prefix: Some(format!("{prefix} '")),
        literal_suffix: Some("'".to_owned()),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        minimum_scale: digits,
        maximum_scale: digits,
        ..plain(name, data_type, Some(size))
    };
    use XdbcDatetimeSubcode as Subcode;
    vec![
        // The subcode of DATE is 1, which the protocol names after YEAR.
        time("DATE", XdbcDataType::XdbcDate, 10, Subcode::XdbcSubcodeYear, None, "DATE"),
        time("TIME", XdbcDataType::XdbcTime, 15, Subcode::XdbcSubcodeTime, Some(6), "TIME"),
        time("TIMESTAMP", XdbcDataType::XdbcTimestamp, 26, Subcode::XdbcSubcodeTimestamp, Some(6), "TIMESTAMP"),
    ]
}

fn others() -> Vec<XdbcTypeInfo> {
    let quoted = |prefix: &str, info: XdbcTypeInfo| XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..info
    };
    vec![
        plain("BOOLEAN", XdbcDataType::XdbcBit, Some(1)),
        XdbcTypeInfo {
            case_sensitive: true,
            ..quoted("'", plain("VARCHAR", XdbcDataType::XdbcVarchar, Some(i32::MAX)))
        },
        quoted("X'", plain("VARBINARY", XdbcDataType::XdbcVarbinary, Some(i32::MAX))),
    ]
}

fn plain(name: &str, data_type: XdbcDataType, column_size: Option<i32>) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}
