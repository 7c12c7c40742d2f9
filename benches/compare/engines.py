"""The engines that are compared. Each opens the same tables, gives every answer as an Arrow table and tells its version.

An engine object lives in a process of its own (worker.py); only there is its library imported.
"""

import os
import pathlib
import resource
import subprocess
import tempfile
import time

import pyarrow as pa


class Engine:
    """What most engines have in common."""

    notes = ()

    def client(self):
        """What another client calls with its SQL, from a thread of its own."""
        return self.run

    def cpu(self):
        """CPU seconds outside this process."""
        return 0.0

    def resident(self):
        """Bytes of memory at the peak."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def close(self):
        """Ends what would outlive this process."""


class Duckdb(Engine):
    """`read_parquet` on the live files of each table; partition columns come back from the folders' names."""

    def __init__(self, tables, threads, options):
        import duckdb
        from deltalake import DeltaTable

        self.connection = duckdb.connect()
        self.connection.execute("SET enable_progress_bar = false")
        self.connection.execute(f"SET threads = {threads}")
        self.connection.execute("SET parquet_metadata_cache = true")
        for name, folder in tables.items():
            table = DeltaTable(folder)
            files = [uri.removeprefix("file://") for uri in table.file_uris()]
            kinds = {field.name: str(field.type) for field in pa.schema(table.schema().to_arrow())}
            hive = {column: sql_type(kinds[column]) for column in table.metadata().partition_columns}
            typed = ", ".join(f"'{column}': {kind}" for column, kind in hive.items())
            partitions = f", hive_partitioning = true, hive_types = {{{typed}}}" if hive else ""
            self.connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({files}{partitions})")

    def version(self):
        import duckdb

        return duckdb.__version__

    def run(self, sql):
        return self.connection.sql(sql).to_arrow_table()

    def client(self):
        cursor = self.connection.cursor()
        return lambda sql: cursor.sql(sql).to_arrow_table()


class Polars(Engine):
    """`scan_delta` and the SQL context, streaming engine. POLARS_MAX_THREADS is set before the import."""

    def __init__(self, tables, threads, options):
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars

        self.context = polars.SQLContext({name: polars.scan_delta(folder) for name, folder in tables.items()})

    def version(self):
        import polars

        return polars.__version__

    def run(self, sql):
        return self.context.execute(sql.strip().rstrip(";")).collect(engine="streaming").to_arrow()


class Datafusion(Engine):
    """Python's `datafusion` with the table provider of Python's `deltalake`."""

    def __init__(self, tables, threads, options):
        import datafusion
        from deltalake import DeltaTable

        config = datafusion.SessionConfig().with_target_partitions(threads)
        self.context = datafusion.SessionContext(config)
        for name, folder in tables.items():
            self.context.register_table(name, DeltaTable(folder))

    def version(self):
        import datafusion
        import deltalake

        return f"{datafusion.__version__} on deltalake {deltalake.__version__}"

    def run(self, sql):
        return self.context.sql(sql).to_arrow_table()


class Deltalake(Engine):
    """The query engine inside Python's `deltalake`. It takes as many threads as it may use cores."""

    def __init__(self, tables, threads, options):
        from deltalake import DeltaTable, QueryBuilder

        self.builder = QueryBuilder()
        for name, folder in tables.items():
            self.builder.register(name, DeltaTable(folder))

    def version(self):
        import deltalake

        return deltalake.__version__

    def run(self, sql):
        return pa.table(self.builder.execute(sql).read_all())


class Chdb(Engine):
    """chDB's `deltaLakeLocal`."""

    def __init__(self, tables, threads, options):
        from chdb import session

        # It reads files under the current folder only.
        os.chdir(os.path.commonpath(tables.values()))
        self.session = session.Session()
        self.session.query("CREATE DATABASE lake")
        for name, folder in tables.items():
            self.session.query(f"CREATE VIEW lake.{name} AS SELECT * FROM deltaLakeLocal('{folder}')")
        for statement in ["USE lake", f"SET max_threads = {threads}", "SET join_use_nulls = 1"]:
            self.session.query(statement)

    def version(self):
        import chdb

        return chdb.__version__

    def client(self):
        raise NotImplementedError("a session answers one query at a time")

    def run(self, sql):
        return self.session.query(sql.strip().rstrip(";"), "ArrowTable")


class Boathouse(Engine):
    """`boathouse serve` and the ADBC driver for Flight SQL: the server's CPU time and the client's are both counted."""

    def __init__(self, tables, threads, options):
        from adbc_driver_flightsql import dbapi

        lakes = {pathlib.Path(folder).parents[1] for folder in tables.values()}
        if len(lakes) != 1:
            raise ValueError(f"the tables lie in more than one lake: {sorted(map(str, lakes))}")
        self.binary = options["binary"]
        self.log = tempfile.TemporaryFile()
        arguments = [self.binary, "serve", str(lakes.pop()), "--listen", "127.0.0.1:0", *options.get("arguments", [])]
        environment = {**os.environ, "BOATHOUSE_THREADS": str(threads)}
        self.server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=self.log, env=environment, text=True)
        line = self.server.stdout.readline()
        if "grpc://" not in line:
            self.server.wait()
            self.log.seek(0)
            raise RuntimeError(self.log.read().decode() or line)
        self.connect = dbapi.connect
        self.address = "grpc://" + line.split("grpc://")[1].strip()
        # A result that comes out of a cache says nothing of the scan.
        self.settings = ["result_cache = false", *options.get("set", [])]
        self.notes = []
        self.connections = []
        self.cursor = self.connected()

    def connected(self):
        # Without cookies each statement would start from the defaults again.
        cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
        connection = self.connect(self.address, cookies, autocommit=True)
        cursor = connection.cursor()
        self.connections += [cursor, connection]
        for setting in self.settings:
            try:
                cursor.execute(f"SET {setting}")
                cursor.fetchall()
            except Exception as error:
                note = f"SET {setting}: {str(error).splitlines()[0]}"
                self.notes += [note] if note not in self.notes else []
        return cursor

    def version(self):
        told = subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=True)
        return told.stdout.strip().removeprefix("boathouse ")

    def run(self, sql):
        self.cursor.execute(sql)
        return self.cursor.fetch_arrow_table()

    def client(self):
        cursor = self.connected()

        def run(sql):
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

        return run

    def cpu(self):
        # The clock of another process: the kernel's clockid for all threads of a process id.
        return time.clock_gettime((~self.server.pid << 3) | 2)

    def resident(self):
        for line in pathlib.Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        return 0

    def close(self):
        for open_one in self.connections:
            open_one.close()
        self.server.terminate()
        self.server.wait()


def sql_type(kind):
    kinds = {"int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "date32[day]": "DATE"}
    return kinds.get(kind, "VARCHAR")


ENGINES = {
    "boathouse": Boathouse,
    "duckdb": Duckdb,
    "polars": Polars,
    "datafusion": Datafusion,
    "deltalake": Deltalake,
    "chdb": Chdb,
}
