"""Python's clients against a server: ADBC with its DB-API, pandas, polars, SQLAlchemy, and pyarrow's plain Flight.

`check.py URL` prints a line per check and ends with 1 when one of them failed.
"""

import datetime
import decimal
import os
import subprocess
import sys
import threading
import time
import traceback

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.flight
import sqlalchemy

URL = sys.argv[1]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connect(**options):
    # ADBC's autocommit=True says that transactions are not wanted; the server has none.
    return dbapi.connect(URL, autocommit=True, **options)


def rows(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def fails(kind, work):
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


@check
def connects_and_says_who_it_is():
    with connect() as connection:
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Boathouse", info
        assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]


@check
def browses_catalog_schema_table_and_column():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE browsed (id BIGINT NOT NULL, price DECIMAL(12, 2), day DATE)")
        found = connection.adbc_get_objects(
            depth="all", catalog_filter="lake", db_schema_filter="main", table_name_filter="brow%"
        )
        (catalog,) = found.read_all().to_pylist()
        (schema,) = catalog["catalog_db_schemas"]
        (table,) = schema["db_schema_tables"]
        names = [column["column_name"] for column in table["table_columns"]]
        assert (table["table_name"], table["table_type"], names) == ("browsed", "TABLE", ["id", "price", "day"])
        schema = connection.adbc_get_table_schema("browsed")
        assert schema.field("price").type == pyarrow.decimal128(12, 2) and not schema.field("id").nullable


@check
def values_of_all_types_come_as_they_are():
    with connect() as connection, connection.cursor() as cursor:
        (row,) = rows(
            cursor,
            "SELECT true, CAST(-1 AS TINYINT), CAST(2 AS SMALLINT), CAST(3 AS INT), 4, CAST(0.5 AS REAL), CAST(1.5 AS"
            " DOUBLE), CAST(12.34 AS DECIMAL(10, 2)), 'größe', X'00ff', DATE '2026-02-03', TIMESTAMP"
            " '2026-02-03 04:05:06.789', NULL, [1, NULL, 3], named_struct('a', 1, 'b', 'x')",
        )
        assert row[:10] == (True, -1, 2, 3, 4, 0.5, 1.5, decimal.Decimal("12.34"), "größe", b"\x00\xff"), row
        assert row[10] == datetime.date(2026, 2, 3), row
        assert row[11].replace(tzinfo=None) == datetime.datetime(2026, 2, 3, 4, 5, 6, 789000), row
        assert row[12:] == (None, [1, None, 3], {"a": 1, "b": "x"}), row


@check
def parameters_are_bound_by_place():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bound (n BIGINT, word VARCHAR, price DECIMAL(9, 2), day DATE)")
        day = datetime.date(2026, 5, 6)
        cursor.execute("INSERT INTO bound VALUES (?, ?, ?, ?)", (1, "one", decimal.Decimal("1.25"), day))
        assert cursor.rowcount in (1, -1), cursor.rowcount
        cursor.execute("INSERT INTO bound VALUES ($1, $2, $3, $4)", (2, None, None, None))
        assert rows(cursor, "SELECT * FROM bound WHERE n >= ? ORDER BY n", (1,)) == [
            (1, "one", decimal.Decimal("1.25"), day),
            (2, None, None, None),
        ]
        assert rows(cursor, "SELECT n FROM bound WHERE word IS NULL AND n = $1", (2,)) == [(2,)]


@check
def many_rows_are_one_commit():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE many (n BIGINT, word VARCHAR)")
        cursor.executemany("INSERT INTO many VALUES (?, ?)", [(n, f"word {n}") for n in range(1000)])
        assert rows(cursor, "SELECT count(*), min(n), max(n) FROM many") == [(1000, 0, 999)]
        assert len(rows(cursor, "DESCRIBE HISTORY many")) == 2


@check
def a_change_whose_result_is_fetched_happens_once():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE once (n BIGINT)")
        assert rows(cursor, "INSERT INTO once VALUES (1), (2)") == [] and cursor.rowcount == 2
        assert rows(cursor, "SELECT count(*) FROM once") == [(2,)]


@check
def big_results_stream():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value, 'row ' || value AS text FROM generate_series(1, 1000000)")
        count = sum(batch.num_rows for batch in cursor.fetch_record_batch())
        assert count == 1_000_000, count


@check
def a_statement_is_polled_until_its_partitions_are_there():
    with connect() as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        statement.set_sql_query("SELECT value % 10 AS d, count(*) AS n FROM generate_series(1, 3000000) GROUP BY d")
        fetched = []
        while True:
            partitions, _, _ = statement.execute_partitions()
            if not partitions:
                break
            for partition in partitions:
                stream = connection.adbc_connection.read_partition(partition)
                fetched.append(pyarrow.RecordBatchReader.from_stream(stream).read_all())
        assert len(fetched) == 1, fetched
        assert sorted(fetched[0].to_pydict()["n"]) == [300000] * 10, fetched
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE polled AS SELECT 1 AS a")
        statement = cursor.adbc_statement
        statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        statement.set_sql_query("INSERT INTO polled VALUES (2), (3)")
        while statement.execute_partitions()[0]:
            pass
        statement.set_options(**{"adbc.statement.exec.incremental": "false"})
        assert rows(cursor, "SELECT count(*) FROM polled") == [(3,)]
        cursor.execute("DROP TABLE polled")


@check
def a_result_comes_over_several_streams():
    with connect(db_kwargs={"adbc.flight.sql.rpc.with_cookie_middleware": "true"}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET parallel_endpoints = 4")
            partitions, _ = cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 1000)")
            assert len(partitions) == 4, partitions
            read = []
            for partition in partitions:
                cursor.adbc_read_partition(partition)
                read += cursor.fetchall()
            assert sorted(read) == [(n,) for n in range(1, 1001)]
            cursor.execute("SELECT value FROM generate_series(1, 1000000)")
            values = cursor.fetch_arrow_table()["value"]
            assert len(values) == 1000000 and pyarrow.compute.sum(values).as_py() == 500000500000
            assert pyarrow.compute.count_distinct(values).as_py() == 1000000


@check
def the_schema_is_told_without_running():
    with connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT 1 AS a, 'x' AS b")
        assert schema.names == ["a", "b"] and schema.types[1] == pyarrow.string(), schema


@check
def errors_have_their_kind_text_and_details():
    with connect() as connection, connection.cursor() as cursor:
        error = fails(dbapi.ProgrammingError, lambda: cursor.execute("SELECT nothing FROM nowhere"))
        assert "nowhere" in str(error) and error.status_code == adbc_driver_manager.AdbcStatusCode.NOT_FOUND, error
        details = b" ".join(value if isinstance(value, bytes) else value.encode() for _, value in error.details)
        assert b"42704" in details, error.details
        error = fails(dbapi.Error, lambda: cursor.execute("SELEC 1"))
        assert "LINE 1" in str(error), error
        assert rows(cursor, "SELECT 1") == [(1,)]


@check
def transactions_are_refused_and_not_pretended():
    with connect() as connection, connection.cursor() as cursor:
        fails(dbapi.NotSupportedError, lambda: cursor.execute("BEGIN"))
        fails(dbapi.Error, lambda: connection.adbc_connection.set_autocommit(False))


@check
def a_query_can_be_cancelled():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 1000000000000)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        timer = threading.Timer(0.2, cursor.adbc_cancel)
        timer.start()
        started = time.monotonic()
        fails(Exception, lambda: [None for _ in reader])
        assert time.monotonic() - started < 30
    with connect() as connection, connection.cursor() as cursor:
        assert rows(cursor, "SELECT 1") == [(1,)]


@check
def ingestion_creates_appends_and_replaces():
    table = pyarrow.table({"n": list(range(1000)), "word": ["w"] * 999 + [None]})
    with connect() as connection, connection.cursor() as cursor:
        assert cursor.adbc_ingest("ingested", table, mode="create") in (1000, -1)
        fails(dbapi.Error, lambda: cursor.adbc_ingest("ingested", table, mode="create"))
        cursor.adbc_ingest("ingested", table, mode="append")
        cursor.adbc_ingest("ingested", table.to_reader(100), mode="create_append", catalog_name="lake", db_schema_name="main")
        assert rows(cursor, "SELECT count(*), count(word) FROM ingested") == [(3000, 2997)]
        cursor.adbc_ingest("ingested", table.slice(0, 7), mode="replace")
        assert rows(cursor, "SELECT count(*) FROM ingested") == [(7,)]
        fails(dbapi.Error, lambda: cursor.adbc_ingest("absent", table, mode="append"))
        fails(dbapi.Error, lambda: cursor.adbc_ingest("ingested", table, mode="append", temporary=True))
        wrong = pyarrow.table({"n": ["not a number"], "word": ["x"]})
        fails(dbapi.Error, lambda: cursor.adbc_ingest("ingested", wrong, mode="append"))
        assert rows(cursor, "SELECT count(*) FROM ingested") == [(7,)]


DIES = """
import os, sys, pyarrow, adbc_driver_flightsql.dbapi as dbapi
def batches():
    for n in range(1000):
        yield pyarrow.record_batch({"n": list(range(10000))})
        if n == 20:
            os._exit(0)
reader = pyarrow.RecordBatchReader.from_batches(pyarrow.schema({"n": pyarrow.int64()}), batches())
with dbapi.connect(sys.argv[1], autocommit=True) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("died", reader, mode="create")
"""


@check
def a_client_that_dies_in_the_middle_of_an_ingestion_leaves_nothing():
    subprocess.run([sys.executable, "-c", DIES, URL], check=True, timeout=60)
    with connect() as connection, connection.cursor() as cursor:
        for _ in range(20):
            fails(dbapi.ProgrammingError, lambda: cursor.execute("SELECT count(*) FROM died"))
            time.sleep(0.02)


@check
def sessions_last_with_cookies():
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with connect(db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA elsewhere")
        cursor.execute("CREATE TABLE elsewhere.here AS SELECT 5 AS five")
        cursor.execute("USE elsewhere")
        assert rows(cursor, "SELECT five FROM here") == [(5,)]
        assert connection.adbc_current_db_schema == "elsewhere" and connection.adbc_current_catalog == "lake"
        connection.adbc_current_db_schema = "main"
        fails(dbapi.Error, lambda: cursor.execute("SELECT five FROM here"))


@check
def pandas_reads_and_writes():
    with connect() as connection:
        frame = pandas.DataFrame({"n": [1, 2, 3], "word": ["a", None, "c"], "x": [0.5, float("nan"), 1.5]})
        frame.to_sql("framed", connection, index=False, if_exists="replace")
        frame.to_sql("framed", connection, index=False, if_exists="append")
        back = pandas.read_sql("SELECT * FROM framed WHERE n > 1 ORDER BY n", connection)
        assert list(back["n"]) == [2, 2, 3, 3] and back["word"].isna().sum() == 2, back
        fails(ValueError, lambda: frame.to_sql("framed", connection, index=False, if_exists="fail"))


@check
def polars_reads_and_writes():
    with connect() as connection:
        frame = polars.DataFrame({"n": [1, 2, 3], "word": ["a", None, "c"]})
        frame.write_database("bears", connection, engine="adbc", if_table_exists="replace")
        frame.write_database("bears", connection, engine="adbc", if_table_exists="append")
        back = polars.read_database("SELECT n, word FROM bears ORDER BY n, word", connection)
        assert back["n"].to_list() == [1, 1, 2, 2, 3, 3] and back["word"].null_count() == 2, back


@check
def plain_flight_lists_and_reads_tables():
    client = pyarrow.flight.connect(URL.replace("grpc://", "grpc+tcp://"))
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE flown AS SELECT 1 AS n UNION ALL SELECT 2")
    (info,) = client.list_flights(b"main.flown")
    assert info.descriptor.path == [b"main", b"flown"], info.descriptor
    info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_path("main", "flown"))
    table = client.do_get(info.endpoints[0].ticket).read_all()
    assert sorted(table["n"].to_pylist()) == [1, 2] and table.schema == info.schema
    client.close()


@check
def sqlalchemy_browses_and_queries():
    engine = sqlalchemy.create_engine(URL.replace("grpc://", "datafusion://") + "?insecure=true")
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE alchemy AS SELECT 1 AS n, 'x' AS word")
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT n, word FROM alchemy")).fetchall() == [(1, "x")]
    assert "alchemy" in sqlalchemy.inspect(engine).get_table_names(schema="main")


def main():
    failed = 0
    for function in CHECKS:
        try:
            function()
            print(f"ok      {function.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {function.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"python: {len(CHECKS) - failed} passed, {failed} failed")
    # Threads of a driver that hangs must not hold up the end.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


main()
