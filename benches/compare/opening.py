"""`open`: a table with a long log, opened by a fresh process that then answers one selective query.

What an engine takes for a table of one file (its start, its libraries) is measured the same way and subtracted.
"""

import pathlib
import statistics

import data
import report
from worker import Failed, Worker

# How often the query runs once the table is open.
HOT_RUNS = 20


def measure(kinds, lake, files, threads, rounds):
    """(engine, table) -> {wall s, CPU s, MB, hot ms}; `kinds` are (name, kind, options)."""
    raw = {}
    for done in range(rounds):
        for table, count in [("tiny", 1), *files.items()]:
            for name, kind, options in kinds:
                try:
                    ran = once(name, kind, options, lake, table, count, threads)
                    raw.setdefault((name, table), []).append(ran)
                except Failed as error:
                    report.say(f"{name} on {table}: {str(error).splitlines()[0][:200]}")
        report.say(f"round {done + 1} of {rounds}")
    found = {}
    for (name, table), runs in raw.items():
        if table != "tiny" and (name, "tiny") in raw:
            nothing = best(raw[name, "tiny"])
            opened = best(runs)
            found[name, table] = {key: opened[key] - (0 if key.startswith("hot") else nothing[key]) for key in opened}
    return found


def once(name, kind, options, lake, table, count, threads):
    folder = pathlib.Path(lake) / "main" / table
    worker = Worker(name, kind, {table: str(folder.resolve())}, threads, options)
    try:
        sql = f"SELECT count(*) AS n, max(name) AS name FROM {table} WHERE id = {data.sought_id(count)}"
        first = worker.run(sql, keep=True)
        if first.answer.column(0).to_pylist() != [1]:
            raise Failed(f"wrong answer: {first.answer.to_pylist()}")
        opened, resident = worker.opened, worker.resident()
        # The server's start-up is its constructor; a library's is its import. Both are in the figure of the tiny table.
        hot = [worker.run(sql).wall * 1000 for _ in range(HOT_RUNS)]
        return {
            "wall s": opened["wall"] + first.wall,
            "CPU s": opened["cpu"] + first.cpu,
            "peak MB": resident / 1e6,
            "hot ms": statistics.median(hot),
        }
    finally:
        worker.close()


def best(runs):
    return {key: min(run[key] for run in runs) for key in runs[0]}


def show(found):
    tables = sorted({table for _, table in found})
    for table in tables:
        rows = {name: figure for (name, other), figure in found.items() if other == table}
        print(f"{table}: opened and asked once, less the same for a table of one file; then asked again")
        heads = list(next(iter(rows.values())))
        report.table(["engine", *heads], [[name, *figure.values()] for name, figure in rows.items()])
