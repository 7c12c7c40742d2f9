//! What SqlInfo claims of the server, tried out on it.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Int32Type, Int64Type, UInt32Type},
};
use arrow_flight::sql::{SqlInfo, SqlSupportsConvert as Type};
use boathouse_flight_server::client::{Answer, Client, ClientError};

use crate::support::{Flight, fetch, server, text};

/// Each code with its value, in an array of one.
async fn facts(flight: &mut Flight) -> BTreeMap<u32, ArrayRef> {
    let info = flight.get_sql_info(Vec::new()).await.unwrap();
    let mut facts = BTreeMap::new();
    for batch in fetch(flight, &info).await {
        let (codes, values) = (batch.column(0).as_primitive::<UInt32Type>(), batch.column(1).as_union());
        facts.extend((0..batch.num_rows()).map(|row| (codes.value(row), values.value(row))));
    }
    facts
}

/// Runs a statement, and takes all of its rows.
async fn run(client: &dyn Client, sql: &str) -> Result<(), ClientError> {
    match client.run(sql).await? {
        Answer::Rows(rows) => rows.collect().await.map(drop),
        Answer::Changed { .. } | Answer::Done(_) => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_work_does_and_what_is_denied_is_refused() {
    let (_lake, server) = server().await;
    let facts = facts(&mut server.flight().await).await;
    let client = server.client().await.unwrap();
    for (code, sql) in [
        (SqlInfo::FlightSqlServerSql, "SELECT 1"),
        (SqlInfo::SqlDdlCatalog, "CREATE CATALOG made"),
        (SqlInfo::SqlDdlSchema, "CREATE SCHEMA made"),
        (SqlInfo::SqlDdlTable, "CREATE TABLE made.u (a INT)"),
        (SqlInfo::SqlAllTablesAreSelectable, "SELECT * FROM made.u"),
        (SqlInfo::SqlSupportsColumnAliasing, "SELECT a AS other FROM t"),
        (SqlInfo::SqlSupportsTableCorrelationNames, "SELECT other.a FROM t AS other"),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, "SELECT a FROM t ORDER BY -a"),
        (SqlInfo::SqlSupportsOrderByUnrelated, "SELECT a FROM t ORDER BY b"),
        (SqlInfo::SqlSupportsLikeEscapeClause, "SELECT a FROM t WHERE b LIKE 'o!_%' ESCAPE '!'"),
        (SqlInfo::SqlSupportsNonNullableColumns, "CREATE TABLE made.filled (a INT NOT NULL)"),
        (SqlInfo::SqlSupportsIntegrityEnhancementFacility, "CREATE TABLE made.keyed (a INT PRIMARY KEY)"),
        (SqlInfo::SqlSelectForUpdateSupported, "SELECT a FROM t FOR UPDATE"),
        (SqlInfo::SqlStoredProceduresSupported, "CALL something()"),
        (
            SqlInfo::SqlCorrelatedSubqueriesSupported,
            "SELECT a FROM t o WHERE EXISTS (SELECT 1 FROM t i WHERE i.a = o.a)",
        ),
        (SqlInfo::SqlSavepointsSupported, "SAVEPOINT here"),
        (SqlInfo::SqlTransactionsSupported, "BEGIN"),
    ] {
        let claimed = facts[&(code as u32)].as_boolean().value(0);
        let ran = run(&*client, sql).await;
        assert_eq!(ran.is_ok(), claimed, "{code:?}: {sql}: {ran:?}");
    }
    // Bit n stands for value n of the enum that the protocol names.
    for (code, bit, sql) in [
        (SqlInfo::SqlSupportedGroupBy, 0, "SELECT max(a) FROM t GROUP BY b"),
        (SqlInfo::SqlSupportedGroupBy, 1, "SELECT b, max(a) FROM t GROUP BY a, b"),
        (SqlInfo::SqlOuterJoinsSupportLevel, 1, "SELECT x.a FROM t x LEFT JOIN t y ON x.a = y.a + 1"),
        (SqlInfo::SqlOuterJoinsSupportLevel, 2, "SELECT x.a FROM t x FULL JOIN t y ON x.a = y.a + 1"),
        (SqlInfo::SqlSupportedSubqueries, 0, "SELECT a FROM t WHERE a = (SELECT max(a) FROM t)"),
        (SqlInfo::SqlSupportedSubqueries, 1, "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t WHERE a > 2)"),
        (SqlInfo::SqlSupportedSubqueries, 2, "SELECT a FROM t WHERE a IN (SELECT a + 1 FROM t)"),
        (SqlInfo::SqlSupportedUnions, 0, "SELECT a FROM t UNION SELECT a FROM t"),
        (SqlInfo::SqlSupportedUnions, 1, "SELECT a FROM t UNION ALL SELECT a FROM t"),
    ] {
        let mask = facts[&(code as u32)].as_primitive::<Int32Type>().value(0);
        assert!(mask & (1 << bit) != 0, "{code:?} {bit}");
        run(&*client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_names_values_and_limits_holds() {
    let (_lake, server) = server().await;
    let facts = facts(&mut server.flight().await).await;
    let number = |code: SqlInfo| facts[&(code as u32)].as_primitive::<Int32Type>().value(0);
    let word = |code: SqlInfo| facts[&(code as u32)].as_string::<i32>().value(0).to_owned();
    let yes = |code: SqlInfo| facts[&(code as u32)].as_boolean().value(0);
    assert_eq!(word(SqlInfo::FlightSqlServerName), "Boathouse");
    assert_eq!(word(SqlInfo::FlightSqlServerArrowVersion), arrow::ARROW_VERSION);
    // Neither transactions nor plans of Substrait; bulk ingestion, and cancelling.
    assert_eq!(number(SqlInfo::FlightSqlServerTransaction), 0);
    assert!(!yes(SqlInfo::FlightSqlServerSubstrait) && !yes(SqlInfo::FlightSqlServerIngestTransactionsSupported));
    assert!(yes(SqlInfo::FlightSqlServerCancel) && yes(SqlInfo::FlightSqlServerBulkIngestion));
    assert!(!yes(SqlInfo::FlightSqlServerReadOnly));
    let client = server.client().await.unwrap();
    // Names without quotes are put into small letters (3), and NULL sorts high (0).
    assert_eq!(number(SqlInfo::SqlIdentifierCase), 3);
    client.run("CREATE TABLE MiXeD (A INT)").await.unwrap();
    let quote = word(SqlInfo::SqlIdentifierQuoteChar);
    run(&*client, &format!("SELECT {quote}a{quote} FROM {quote}mixed{quote}")).await.unwrap();
    assert_eq!(number(SqlInfo::SqlNullOrdering), 0);
    let sorted = text(&*client, "SELECT b IS NULL AS n FROM t ORDER BY b").await;
    assert_eq!(sorted.lines().nth(5), Some("| true  |"), "{sorted}");
    let longest = facts[&(SqlInfo::SqlMaxStatementLength as u32)].as_primitive::<Int64Type>().value(0);
    let padded = |bytes: i64| format!("SELECT 1 --{}", "-".repeat(usize::try_from(bytes).unwrap() - 11));
    run(&*client, &padded(longest)).await.unwrap();
    run(&*client, &padded(longest + 1)).await.unwrap_err();
}

/// A value of a type, which becomes one of `to`, and the type's name in SQL.
fn example(from: Type, to: Type) -> &'static str {
    match (from, to) {
        (Type::SqlConvertChar | Type::SqlConvertLongvarchar | Type::SqlConvertVarchar, to) => match to {
            Type::SqlConvertDate => "'2024-02-29'",
            Type::SqlConvertTime => "'12:34:56'",
            Type::SqlConvertTimestamp => "'2024-02-29 12:34:56'",
            Type::SqlConvertBit => "'true'",
            _ => "'1'",
        },
        (Type::SqlConvertBinary | Type::SqlConvertLongvarbinary | Type::SqlConvertVarbinary, _) => "X'31'",
        (Type::SqlConvertBit, _) => "TRUE",
        (Type::SqlConvertDate, _) => "DATE '2024-02-29'",
        (Type::SqlConvertTime, _) => "CAST('12:34:56' AS TIME)",
        (Type::SqlConvertTimestamp, _) => "TIMESTAMP '2024-02-29 12:34:56'",
        (number, _) => match sql_name(number) {
            "DECIMAL(9, 2)" => "CAST(1 AS DECIMAL(9, 2))",
            "DOUBLE" => "CAST(1 AS DOUBLE)",
            "REAL" => "CAST(1 AS REAL)",
            "SMALLINT" => "CAST(1 AS SMALLINT)",
            "TINYINT" => "CAST(1 AS TINYINT)",
            "INT" => "CAST(1 AS INT)",
            _ => "CAST(1 AS BIGINT)",
        },
    }
}

fn sql_name(kind: Type) -> &'static str {
    match kind {
        Type::SqlConvertBigint => "BIGINT",
        Type::SqlConvertInteger => "INT",
        Type::SqlConvertSmallint => "SMALLINT",
        Type::SqlConvertTinyint => "TINYINT",
        Type::SqlConvertFloat => "DOUBLE",
        Type::SqlConvertReal => "REAL",
        Type::SqlConvertDecimal | Type::SqlConvertNumeric => "DECIMAL(9, 2)",
        Type::SqlConvertBit => "BOOLEAN",
        Type::SqlConvertChar | Type::SqlConvertLongvarchar | Type::SqlConvertVarchar => "VARCHAR",
        Type::SqlConvertBinary | Type::SqlConvertLongvarbinary | Type::SqlConvertVarbinary => "BINARY",
        Type::SqlConvertDate => "DATE",
        Type::SqlConvertTime => "TIME",
        Type::SqlConvertTimestamp => "TIMESTAMP",
        other => panic!("{other:?} is no type of this server"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_conversion_that_is_claimed_is_a_cast_that_works() {
    let (_lake, server) = server().await;
    let facts = facts(&mut server.flight().await).await;
    let client = server.client().await.unwrap();
    let map = facts[&(SqlInfo::SqlSupportsConvert as u32)].as_map().value(0);
    let (from, to) = (map.column(0).as_primitive::<Int32Type>(), map.column(1).as_list::<i32>());
    let kind = |number: i32| Type::try_from(number).unwrap();
    let mut tried = 0;
    for row in 0..map.len() {
        for target in to.value(row).as_primitive::<Int32Type>().values() {
            let (from, to) = (kind(from.value(row)), kind(*target));
            let sql = format!("SELECT CAST({} AS {}) AS x", example(from, to), sql_name(to));
            run(&*client, &sql).await.unwrap_or_else(|error| panic!("{from:?} to {to:?}: {sql}: {error}"));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}
