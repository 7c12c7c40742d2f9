"""`data FOLDER`: the lakes that the other subcommands read, each a folder of its own that is made once.

- `years`: what `boathouse demo` makes, orders and lineitem partitioned by year.
- `flat`: the same rows without partitions and year columns, in the order of their keys.
- `parts`: one table of 1,000 partitions with 1,000 rows each.
- `log-N`: tables with long logs, `commits` (N commits of one small file) and `files` (10 N of them behind a checkpoint).
"""

import json
import pathlib
import subprocess
import sys

TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]
KEYS = {"partsupp": "ps_partkey, ps_suppkey", "orders": "o_orderkey", "lineitem": "l_orderkey, l_linenumber"}
YEARS = {"o_orderyear", "l_shipyear"}

ROWS_PER_FILE = 10

PARTS = """
CREATE TABLE events PARTITIONED BY (day) AS
SELECT value AS id, CAST(value / 1000 AS INT) AS day, value % 97 AS device, CAST(value % 1009 AS DOUBLE) / 7 AS amount,
       'name ' || CAST(value % 10007 AS VARCHAR) AS name
FROM generate_series(0, 999999) AS made(value)
"""


def make(folder, binary, scale, commits):
    folder.mkdir(parents=True, exist_ok=True)
    once(folder / "years", lambda lake: boathouse(binary, "demo", "--scale", scale, "--lake", lake))
    once(folder / "flat", lambda lake: flat(binary, folder / "years", lake))
    once(folder / "parts", lambda lake: boathouse(binary, "sql", lake, "-c", PARTS))
    for count in commits:
        once(folder / f"log-{count}", lambda lake: long_logs(lake, count))


def once(folder, make_it):
    """Makes a folder; one that was begun and not ended is made again."""
    mark = folder.with_name(f".{folder.name}.made")
    if mark.exists():
        return
    if folder.exists():
        sys.exit(f"{folder} was not made to its end, or by another program: remove it first")
    folder.mkdir()
    print(f"making {folder}", flush=True)
    make_it(folder)
    mark.touch()


def boathouse(binary, *arguments):
    subprocess.run([binary, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def flat(binary, years, lake):
    from deltalake import DeltaTable

    script = []
    for table in TABLES:
        source = years.resolve() / "main" / table
        names = [field.name for field in DeltaTable(source).schema().fields if field.name not in YEARS]
        order = f" ORDER BY {KEYS[table]}" if table in KEYS else ""
        script += [
            f"CREATE EXTERNAL TABLE source STORED AS DELTA LOCATION '{source}'",
            f"CREATE TABLE {table} AS SELECT {', '.join(names)} FROM source{order}",
            "DROP TABLE source",
        ]
    boathouse(binary, "sql", lake, "-c", "; ".join(script))


def long_logs(lake, commits):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    for name, files, per_commit in [("tiny", 1, 1), ("commits", commits, 1), ("files", commits * 10, commits)]:
        table = lake / "main" / name
        log = table / "_delta_log"
        log.mkdir(parents=True)
        for version, first in enumerate(range(0, files, per_commit)):
            actions = head() if version == 0 else []
            for index in range(first, min(first + per_commit, files)):
                ids = range(index * ROWS_PER_FILE, (index + 1) * ROWS_PER_FILE)
                names = [f"name {value % 1009:04}" for value in ids]
                pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "name": names}), table / path(index))
                actions.append(add(index, (table / path(index)).stat().st_size, ids, names))
            (log / f"{version:020}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")
        if name == "files":
            DeltaTable(table).create_checkpoint()


def sought_id(files):
    """An id in the middle of a table of so many files."""
    return files // 2 * ROWS_PER_FILE + 7


def path(index):
    return f"part-{index:08}.parquet"


def head():
    fields = [{"name": "id", "type": "long", "nullable": True, "metadata": {}}]
    fields.append({"name": "name", "type": "string", "nullable": True, "metadata": {}})
    schema = json.dumps({"type": "struct", "fields": fields})
    kind = {"provider": "parquet", "options": {}}
    return [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": {"id": "00000000-0000-0000-0000-000000000000", "format": kind, "schemaString": schema, "partitionColumns": [], "configuration": {}, "createdTime": 0}},
    ]


def add(index, size, ids, names):
    least, most = {"id": min(ids), "name": min(names)}, {"id": max(ids), "name": max(names)}
    stats = {"numRecords": len(ids), "minValues": least, "maxValues": most, "nullCount": {"id": 0, "name": 0}}
    action = {"path": path(index), "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    return {"add": {**action, "stats": json.dumps(stats)}}


def lake(folder, name):
    found = pathlib.Path(folder) / name
    if not found.is_dir():
        sys.exit(f"{found} is missing: make it with `benches/compare data {folder}`")
    return found
