"""Python's clients at a server that asks for credentials: ADBC and pyarrow's plain Flight.

`login.py URL TOKEN` prints a line per check and ends with 1 when one of them failed. The server has the reader "ann", whose
password is "password of ann", and TOKEN is an access token of hers.
"""

import sys
import traceback

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow.flight

URL, TOKEN = sys.argv[1:]
PASSWORD = {"username": "ann", "password": "password of ann"}
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def who(options):
    with dbapi.connect(URL, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


def fails(work, text):
    try:
        work()
    except (dbapi.Error, pyarrow.ArrowException) as error:
        assert text in str(error), error
        return
    raise AssertionError("no error")


@check
def adbc_logs_in_with_a_password():
    assert who(PASSWORD) == "ann"


@check
def adbc_logs_in_with_an_access_token():
    assert who({"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) == "ann"


@check
def wrong_and_missing_credentials_are_refused():
    fails(lambda: who({}), "asks for credentials")
    fails(lambda: who({**PASSWORD, "password": "another one"}), "wrong user name or password")
    fails(lambda: who({"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}x"}), "access token is not known")


@check
def a_reader_cannot_write():
    with dbapi.connect(URL, db_kwargs=PASSWORD, autocommit=True) as connection, connection.cursor() as cursor:
        fails(lambda: cursor.execute("CREATE TABLE by_ann AS SELECT 1 AS a"), "may not run CREATE TABLE")
        rows = pyarrow.table({"a": [1]})
        fails(lambda: cursor.adbc_ingest("by_ann", rows, mode="create"), "may not ingest rows")


@check
def plain_flight_logs_in_with_a_password():
    client = pyarrow.flight.connect(URL.replace("grpc://", "grpc+tcp://"))
    header = client.authenticate_basic_token("ann", "password of ann")
    options = pyarrow.flight.FlightCallOptions(headers=[header])
    list(client.list_flights(options=options))
    fails(lambda: list(client.list_flights()), "asks for credentials")


def main():
    failed = 0
    for function in CHECKS:
        try:
            function()
            print(f"ok      {function.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {function.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"python login: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
