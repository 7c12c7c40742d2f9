//! CommandGetSqlInfo: every code of the protocol, each with the type that the protocol gives it.
//!
//! JDBC reads all of them and looks each up by its number, ADBC fails on a wrong type, and tools built on them fail on
//! missing ones: so none is left out and none of our own is added.

use std::collections::BTreeMap;

use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction, SqlSupportsConvert,
    SqlTransactionIsolationLevel, metadata::SqlInfoDataBuilder,
};
use boathouse_engine::{EngineConfig, Session, parser};

const NUMERIC_FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "nanvl",
    "pi",
    "pow",
    "power",
    "radians",
    "random",
    "round",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
];
const STRING_FUNCTIONS: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "find_in_set",
    "initcap",
    "instr",
    "left",
    "length",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "overlay",
    "position",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "substring",
    "substring_index",
    "to_hex",
    "translate",
    "trim",
    "upper",
    "uuid",
];
const DATETIME_FUNCTIONS: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_format",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "from_unixtime",
    "make_date",
    "make_time",
    "now",
    "to_char",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "today",
];

/// All codes and values.
pub fn facts(session: &Session, config: &EngineConfig) -> SqlInfoDataBuilder {
    let mut facts = SqlInfoDataBuilder::new();
    server(&mut facts);
    syntax(&mut facts, session);
    support(&mut facts);
    limits(&mut facts, config);
    transactions(&mut facts);
    facts
}

fn server(facts: &mut SqlInfoDataBuilder) {
    facts.append(SqlInfo::FlightSqlServerName, "Boathouse");
    facts.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    facts.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    facts.append(SqlInfo::FlightSqlServerReadOnly, false);
    facts.append(SqlInfo::FlightSqlServerSql, true);
    facts.append(SqlInfo::FlightSqlServerSubstrait, false);
    facts.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    facts.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    facts.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    facts.append(SqlInfo::FlightSqlServerCancel, true);
    facts.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    facts.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    facts.append(SqlInfo::FlightSqlServerStatementTimeout, 0i32);
    facts.append(SqlInfo::FlightSqlServerTransactionTimeout, 0i32);
}

fn syntax(facts: &mut SqlInfoDataBuilder, session: &Session) {
    facts.append(SqlInfo::SqlDdlCatalog, false);
    facts.append(SqlInfo::SqlDdlSchema, true);
    facts.append(SqlInfo::SqlDdlTable, true);
    facts.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    facts.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    facts.append(SqlInfo::SqlAllTablesAreSelectable, true);
    facts.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    facts.append(SqlInfo::SqlKeywords, parser::keywords());
    let mut system = session.functions();
    for (code, names) in [
        (SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS),
        (SqlInfo::SqlStringFunctions, STRING_FUNCTIONS),
        (SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS),
    ] {
        let (family, rest): (Vec<_>, Vec<_>) = system.into_iter().partition(|name| names.contains(&name.as_str()));
        facts.append(code, family);
        system = rest;
    }
    facts.append(SqlInfo::SqlSystemFunctions, system);
    facts.append(SqlInfo::SqlSearchStringEscape, "\\");
    facts.append(SqlInfo::SqlExtraNameCharacters, "");
    facts.append(SqlInfo::SqlSchemaTerm, "schema");
    facts.append(SqlInfo::SqlProcedureTerm, "procedure");
    facts.append(SqlInfo::SqlCatalogTerm, "catalog");
    facts.append(SqlInfo::SqlCatalogAtStart, true);
}

fn support(facts: &mut SqlInfoDataBuilder) {
    for (code, value) in [
        (SqlInfo::SqlSupportsColumnAliasing, true),
        (SqlInfo::SqlNullPlusNullIsNull, true),
        (SqlInfo::SqlSupportsTableCorrelationNames, true),
        (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
        (SqlInfo::SqlSupportsOrderByUnrelated, true),
        (SqlInfo::SqlSupportsLikeEscapeClause, true),
        (SqlInfo::SqlSupportsNonNullableColumns, true),
        (SqlInfo::SqlSupportsIntegrityEnhancementFacility, false),
        (SqlInfo::SqlSelectForUpdateSupported, false),
        (SqlInfo::SqlStoredProceduresSupported, false),
        (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
        (SqlInfo::SqlBatchUpdatesSupported, true),
        (SqlInfo::SqlSavepointsSupported, false),
        (SqlInfo::SqlNamedParametersSupported, false),
        (SqlInfo::SqlLocatorsUpdateCopy, false),
        (SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false),
    ] {
        facts.append(code, value);
    }
    facts.append(SqlInfo::SqlSupportsConvert, conversions());
    // Bit masks: bit n stands for value n of the enum that the protocol names for the code.
    for (code, bits) in [
        (SqlInfo::SqlSupportedGroupBy, 0b11),
        (SqlInfo::SqlSupportedGrammar, 0b11),
        (SqlInfo::SqlAnsi92SupportedLevel, 0b1),
        (SqlInfo::SqlOuterJoinsSupportLevel, 0b110),
        (SqlInfo::SqlSchemasSupportedActions, 0),
        (SqlInfo::SqlCatalogsSupportedActions, 0),
        (SqlInfo::SqlSupportedPositionedCommands, 0),
        (SqlInfo::SqlSupportedSubqueries, 0b111),
        (SqlInfo::SqlSupportedUnions, 0b11),
        (SqlInfo::SqlSupportedResultSetTypes, 0b10),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, 0b10),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0),
    ] {
        facts.append(code, bits);
    }
}

/// 0 says that there is no limit, or none that is known.
fn limits(facts: &mut SqlInfoDataBuilder, config: &EngineConfig) {
    for code in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        facts.append(code, 0i64);
    }
    facts.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, false);
    facts.append(SqlInfo::SqlMaxStatementLength, i64::try_from(config.sql_bytes_max).unwrap_or(0));
}

fn transactions(facts: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    // The protocol says 32 bits; the JDBC driver casts to 64 and fails on anything else, and no other client was seen to ask.
    facts.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(none));
    facts.append(SqlInfo::SqlTransactionsSupported, false);
    facts.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, 1i32 << none);
    facts.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    facts.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
}

/// From each type, those that CAST can make of it.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Type;
    let decimals = [Type::SqlConvertDecimal, Type::SqlConvertNumeric];
    let numbers = [
        Type::SqlConvertBigint,
        Type::SqlConvertFloat,
        Type::SqlConvertInteger,
        Type::SqlConvertReal,
        Type::SqlConvertSmallint,
        Type::SqlConvertTinyint,
    ];
    let texts = [Type::SqlConvertChar, Type::SqlConvertLongvarchar, Type::SqlConvertVarchar];
    let times = [Type::SqlConvertDate, Type::SqlConvertTime, Type::SqlConvertTimestamp];
    let binaries = [Type::SqlConvertBinary, Type::SqlConvertLongvarbinary, Type::SqlConvertVarbinary];
    let bit = [Type::SqlConvertBit];
    let mut map = BTreeMap::new();
    let mut add = |from: &[Type], to: &[&[Type]]| {
        for from in from {
            map.insert(*from as i32, to.iter().copied().flatten().map(|to| *to as i32).collect());
        }
    };
    add(&numbers, &[&numbers, &decimals, &texts, &bit]);
    add(&decimals, &[&numbers, &decimals, &texts]);
    add(&bit, &[&numbers, &texts, &bit]);
    add(&texts, &[&numbers, &decimals, &texts, &bit, &times, &binaries]);
    add(&binaries, &[&binaries, &texts]);
    add(&[Type::SqlConvertDate], &[&texts, &[Type::SqlConvertDate, Type::SqlConvertTimestamp]]);
    add(&[Type::SqlConvertTime], &[&texts, &[Type::SqlConvertTime]]);
    add(&[Type::SqlConvertTimestamp], &[&texts, &times]);
    map
}
