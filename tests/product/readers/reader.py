"""Another Delta library for the tests: requests come as lines of JSON, answers go out as a line of JSON and an Arrow stream.

    reader.py deltalake          Python's deltalake
    reader.py spark JAR[,JAR]    Delta of Spark

An answer's line says how many bytes of Arrow follow, or `error`. The process ends with its input.
"""

import io
import json
import os
import sys
import tempfile

import pyarrow as pa

import writer


class Deltalake:
    def __init__(self):
        import deltalake

        self.library = deltalake

    def open(self, table, version=None):
        return self.library.DeltaTable(table, version=version)

    def rows(self, table, name, version, query):
        opened = self.open(table, version)
        return pa.table(self.library.QueryBuilder().register(name, opened).execute(query).read_all())

    def changes(self, table, columns):
        read = self.open(table).load_cdf(starting_version=0, columns=columns)
        found = pa.table(read.read_all()).select(columns)
        # Versions are unsigned here.
        fields = [field.with_type(pa.int64()) if field.type == pa.uint64() else field for field in found.schema]
        return found.cast(pa.schema(fields))

    def detail(self, table):
        opened = self.open(table)
        metadata, protocol = opened.metadata(), opened.protocol()
        features = {*(protocol.reader_features or []), *(protocol.writer_features or [])}
        return {
            "id": metadata.id,
            "description": metadata.description,
            "partitionColumns": metadata.partition_columns,
            "numFiles": len(opened.file_uris()),
            "properties": sorted(f"{key}={value}" for key, value in metadata.configuration.items()),
            "minReaderVersion": protocol.min_reader_version,
            "minWriterVersion": protocol.min_writer_version,
            "tableFeatures": sorted(features),
            "version": opened.version(),
        }

    def history(self, table):
        return [{"version": entry["version"], "operation": entry["operation"]} for entry in self.open(table).history()]

    def write(self, table, step):
        writer.STEPS[step](self.library, table)


class Spark:
    def __init__(self, jars):
        from pyspark.sql import SparkSession

        # Spark makes it wherever it is started, though no table of these tests lies there.
        self.warehouse = tempfile.TemporaryDirectory()
        settings = {
            "spark.jars": jars,
            "spark.sql.warehouse.dir": self.warehouse.name,
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.databricks.delta.stalenessLimit": "0",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master("local[2]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")

    def rows(self, table, name, version, query):
        read = self.spark.read.format("delta")
        if version is not None:
            read = read.option("versionAsOf", version)
        read.load(table).createOrReplaceTempView(name)
        return self.spark.sql(query.replace('"', "`")).toArrow()

    def changes(self, table, columns):
        read = self.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 0)
        return read.load(table).select(*columns).toArrow()

    def detail(self, table):
        row = self.spark.sql(f"DESCRIBE DETAIL delta.`{table}`").collect()[0].asDict()
        names = ["id", "description", "partitionColumns", "numFiles", "minReaderVersion", "minWriterVersion"]
        return {
            **{name: row[name] for name in names},
            "properties": sorted(f"{key}={value}" for key, value in row["properties"].items()),
            "tableFeatures": sorted(row["tableFeatures"]),
            "version": self.history(table)[0]["version"],
        }

    def history(self, table):
        rows = self.spark.sql(f"DESCRIBE HISTORY delta.`{table}`").collect()
        return [{"version": row["version"], "operation": row["operation"]} for row in rows]


def answer(reader, request):
    """The JSON and the rows that a request gets."""
    table = request.get("table")
    match request["do"]:
        case "rows":
            return {}, reader.rows(table, request["name"], request.get("version"), request["query"])
        case "changes":
            return {}, reader.changes(table, request["columns"])
        case "detail":
            return reader.detail(table), None
        case "history":
            return {"history": reader.history(table)}, None
        case "steps":
            return {"steps": list(writer.STEPS)}, None
        case "write":
            reader.write(table, request["step"])
            return {}, None
    raise ValueError(f"unknown request {request['do']}")


def stream(rows):
    out = io.BytesIO()
    if rows is not None:
        with pa.ipc.new_stream(out, rows.schema) as written:
            written.write_table(rows)
    return out.getvalue()


def main():
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reader = Deltalake() if sys.argv[1] == "deltalake" else Spark(sys.argv[2])
    for line in sys.stdin:
        try:
            told, rows = answer(reader, json.loads(line))
            body = stream(rows)
        except Exception as error:
            told, body = {"error": f"{type(error).__name__}: {error}"}, b""
        answers.write(json.dumps({**told, "bytes": len(body)}).encode() + b"\n" + body)
        answers.flush()


if __name__ == "__main__":
    main()
