//! Values of each type arrive as they are.

use crate::{database::Database, place::Place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_arrives_as_it_is() {
    let Some(database) = Database::start().await else { return };
    let table = "CREATE TABLE t (id BIGINT, b BOOLEAN, i1 TINYINT, i2 SMALLINT, i4 INT, i8 BIGINT, f4 REAL, f8 DOUBLE,
            d DECIMAL(10, 2), dd DECIMAL(38, 20), s VARCHAR, x BINARY, day DATE, ts TIMESTAMP,
            tz TIMESTAMP WITH TIME ZONE, l ARRAY<BIGINT>);
        INSERT INTO t VALUES (1, true, -128, -32768, 2147483647, -9223372036854775807, CAST('1.5' AS REAL),
            CAST('-1e300' AS DOUBLE), CAST('-12345.67' AS DECIMAL(10, 2)),
            CAST('-123456789012345678.12345678901234567891' AS DECIMAL(38, 20)), 'snow \u{2603} \"quoted\"', X'616263',
            DATE '1969-12-31', TIMESTAMP '2026-01-02 03:04:05.678901',
            CAST('2026-01-02T03:04:05+02:00' AS TIMESTAMP WITH TIME ZONE), [1, NULL, 3]);
        INSERT INTO t (id) VALUES (2);
        INSERT INTO t VALUES (3, false, 0, 0, 0, 0, CAST('NaN' AS REAL), CAST('inf' AS DOUBLE), CAST('0' AS DECIMAL(10, 2)),
            CAST('0' AS DECIMAL(38, 20)), '', X'', DATE '2000-01-01', TIMESTAMP '1900-01-01 00:00:00',
            CAST('1970-01-01T00:00:00+00:00' AS TIMESTAMP WITH TIME ZONE), [4])";
    let place = Place::new(&database, table, "table = \"s.rows\"", "SELECT * FROM t");
    let text = place.run(&database);
    assert!(text.contains("m.rows  delivered  to warehouse: s.rows, 3 rows, version 0"), "{text}");
    let rows = database.ask("SET TIME ZONE 'UTC'; SELECT * FROM s.rows ORDER BY id").await;
    assert_eq!(
        rows,
        [
            "1|t|-128|-32768|2147483647|-9223372036854775807|1.5|-1e+300|-12345.67|-123456789012345678.12345678901234567891|\
             snow \u{2603} \"quoted\"|\\x616263|1969-12-31|2026-01-02 03:04:05.678901|2026-01-02 01:04:05+00|[1, null, 3]",
            "2|||||||||||||||",
            "3|f|0|0|0|0|NaN|Infinity|0.00|0.00000000000000000000||\\x|2000-01-01|1900-01-01 00:00:00|\
             1970-01-01 00:00:00+00|[4]",
        ]
    );
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 's.rows'::regclass AND attnum > 0";
    assert_eq!(
        database.ask(types).await,
        [
            "bigint, boolean, smallint, smallint, integer, bigint, real, double precision, numeric(10,2), numeric(38,20), text, bytea, \
          date, timestamp without time zone, timestamp with time zone, jsonb"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_arrive() {
    let Some(database) = Database::start().await else { return };
    let table =
        "CREATE TABLE t AS SELECT value AS id, repeat(CAST(value AS VARCHAR), 20) AS s FROM generate_series(1, 50000)";
    let place = Place::new(&database, table, "table = \"rows\"", "SELECT * FROM t");
    place.run(&database);
    let sums = database.ask("SELECT count(*), sum(id), sum(length(s)) FROM public.rows").await;
    let digits: usize = (1..=50_000_u32).map(|id| id.to_string().len() * 20).sum();
    assert_eq!(sums, [format!("50000|1250025000|{digits}")]);
}
