"""`point` and `partition`: small answers out of large tables, many different ones after another."""

import random
import statistics

import report
from worker import Failed


def point_queries(table, key, keys, count):
    """Lookups by the key that the table is clustered by."""
    chosen = random.Random(7).sample(keys, min(count, len(keys)))
    return [f"SELECT * FROM {table} WHERE {key} = {value}" for value in chosen]


def partition_queries(count):
    days = random.Random(7).sample(range(1000), count)
    return [f"SELECT count(*) AS n, sum(amount) AS total, max(name) AS last FROM events WHERE day = {day}" for day in days]


def keys(folder):
    """Some order keys of a lake, read from the file of the table that comes first."""
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    found = []
    for uri in DeltaTable(folder / "main" / "orders").file_uris():
        column = pq.read_table(uri.removeprefix("file://"), columns=["o_orderkey"]).column(0)
        found += column.to_pylist()[:: max(1, len(column) // 1000)]
    return found


def measure(workers, queries):
    """Engine -> {median wall, 99th percentile, CPU a query}, in milliseconds; engines take turns query by query."""
    for sql in queries[:5] * 2:
        for worker in workers:
            worker.run(sql)
    for worker in workers:
        worker.settle()
    runs = {worker.name: [] for worker in workers}
    rows = {}
    for sql in queries:
        for worker in workers:
            ran = worker.run(sql)
            if rows.setdefault(sql, ran.rows) != ran.rows:
                raise Failed(f"{worker.name} gives {ran.rows} rows, {workers[0].name} {rows[sql]}: {sql}")
            runs[worker.name].append(ran)
    return {name: figures(found) for name, found in runs.items()}


def figures(runs):
    wall = sorted(ran.wall * 1000 for ran in runs)
    return {
        "median ms": statistics.median(wall),
        "p99 ms": wall[min(len(wall) - 1, int(len(wall) * 0.99))],
        "CPU ms": statistics.fmean(ran.cpu * 1000 for ran in runs),
    }


def show(title, found):
    print(title)
    heads = list(next(iter(found.values())))
    report.table(["engine", *heads], [[name, *figure.values()] for name, figure in found.items()])
