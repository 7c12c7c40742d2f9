"""`writes`: MERGE, UPDATE and DELETE of one row in a hundred of `lineitem`, keys spread over all files; OPTIMIZE of the same
rows in many small files; many small appends of several clients.

Each statement runs in a process of its own on a fresh copy of the table, by Boathouse and by Python's `deltalake`. The tables
that they leave are compared. Every figure stands beside the ratio to `deltalake`'s.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import appends
import report

KEYS = "t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber"
SOURCE = """
    SELECT * EXCEPT (l_linenumber, l_comment), 'changed' AS l_comment,
           CASE WHEN l_orderkey % 1000 = 7 THEN CAST(l_linenumber + 10 AS INT) ELSE l_linenumber END AS l_linenumber
    FROM lineitem WHERE l_orderkey % 100 = 7"""
CHECK = "SELECT count(*) AS rows, sum(l_orderkey) AS keys, sum(CASE WHEN l_comment = 'changed' THEN 1 ELSE 0 END) AS changed FROM t"

BOATHOUSE = {
    "MERGE": f"""MERGE INTO lineitem AS t USING read_parquet('{{source}}') AS s ON {KEYS}
                 WHEN MATCHED THEN UPDATE SET l_comment = s.l_comment WHEN NOT MATCHED THEN INSERT *""",
    "UPDATE": "UPDATE lineitem SET l_comment = 'changed' WHERE l_orderkey % 100 = 11",
    "DELETE": "DELETE FROM lineitem WHERE l_orderkey % 100 = 13",
    "OPTIMIZE": "OPTIMIZE lineitem",
}
DELTALAKE = {
    "MERGE": f"""import pyarrow.parquet as pq
source = pq.read_table("{{source}}")
merge = table.merge(source, "{KEYS}", source_alias="s", target_alias="t")
merge.when_matched_update({{{{"l_comment": "s.l_comment"}}}}).when_not_matched_insert_all().execute()""",
    "UPDATE": """table.update(updates={{"l_comment": "'changed'"}}, predicate="l_orderkey % 100 = 11")""",
    "DELETE": """table.delete("l_orderkey % 100 = 13")""",
    "OPTIMIZE": "table.optimize.compact()",
}
ROWS_PER_SMALL_FILE = 100_000
APPENDS = f"{appends.APPENDS} appends of Arrow tables of {appends.ROWS} rows, {appends.CLIENTS} clients"
# What deltalake is asked to do is the same: it has no statements.
INSERTS = f"{appends.APPENDS} INSERT statements of {appends.ROWS} rows, {appends.CLIENTS} clients"
STATEMENTS = [*BOATHOUSE, APPENDS, INSERTS]


def short(statement):
    """As `--only` names it."""
    return {APPENDS: "APPENDS", INSERTS: "INSERTS"}.get(statement, statement)


def measure(arguments, binaries):
    """(engine, statement) -> {wall s, CPU s, peak MB}, the best of the rounds."""
    whole = arguments.lake.resolve() / "main" / "lineitem"
    found = {}
    with Launcher() as launcher, tempfile.TemporaryDirectory(dir=arguments.lake.resolve().parent) as scratch:
        scratch = pathlib.Path(scratch)
        source = scratch / "source.parquet"
        if "MERGE" in arguments.statements:
            write_source(whole, source)
        small = scratch / "small"
        if "OPTIMIZE" in arguments.statements:
            write_small_files(whole, small)
        for done in range(arguments.rounds):
            for statement in [statement for statement in BOATHOUSE if statement in arguments.statements]:
                answers = {}
                for name, command in commands(binaries, statement, source):
                    lake = scratch / "lake"
                    copy = lake / "main" / "lineitem"
                    shutil.copytree(small if statement == "OPTIMIZE" else whole, copy)
                    ran = launcher.once([part.replace("{lake}", str(lake)) for part in command], arguments.threads)
                    answers[name] = answer(copy)
                    shutil.rmtree(lake)
                    keep_best(found, (name, statement), ran)
                if len(set(answers.values())) > 1:
                    sys.exit(f"{statement} left different tables: {answers}")
            for statement in [statement for statement in (APPENDS, INSERTS) if statement in arguments.statements]:
                for name, binary in [*binaries, ("deltalake", None)]:
                    way = [binary, *(["insert"] if statement == INSERTS else [])] if binary else []
                    keep_best(found, (name, statement), append(launcher, way, scratch / "appends", arguments.threads))
            report.say(f"round {done + 1} of {arguments.rounds}")
    return found


def keep_best(found, key, ran):
    best = found.get(key, ran)
    found[key] = {figure: min(best[figure], ran[figure]) for figure in ran}


def append(launcher, way, lake, threads):
    """Small appends into a new table, by a process that ends when all of them are on the disk."""
    (lake / "main").mkdir(parents=True)
    script = pathlib.Path(__file__).with_name("appends.py")
    ran = launcher.once([sys.executable, str(script), str(lake), *way], threads)
    left = ask(lake / "main" / "events", "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM t", "t").to_pylist()[0]
    shutil.rmtree(lake)
    if left["rows"] != left["ids"] or left["rows"] != appends.APPENDS * appends.ROWS:
        sys.exit(f"{' '.join(way) or 'deltalake'} left other rows than were appended: {left}")
    return ran


def commands(binaries, statement, source):
    for name, binary in binaries:
        yield name, [binary, "sql", "{lake}", "-c", BOATHOUSE[statement].format(source=source)]
    text = DELTALAKE[statement].format(source=source)
    yield "deltalake", [sys.executable, "-c", f'from deltalake import DeltaTable\ntable = DeltaTable("{{lake}}/main/lineitem")\n{text}']


class Launcher:
    """Starts what is measured from a process that stays small: Linux counts a parent's memory as its child's."""

    PROGRAM = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    command, environment = json.loads(line)
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    print(json.dumps([status, wall, cpu, used.ru_maxrss * 1024 / 1e6]), flush=True)
"""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", self.PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def once(self, command, threads):
        environment = {**os.environ, "BOATHOUSE_THREADS": str(threads)}
        print(json.dumps([command, environment]), file=self.process.stdin, flush=True)
        status, wall, cpu, peak = json.loads(self.process.stdout.readline())
        if status:
            sys.exit(f"{command} failed")
        return {"wall s": wall, "CPU s": cpu, "peak MB": peak}


def write_source(table, file):
    import pyarrow.parquet as pq

    pq.write_table(ask(table, SOURCE, "lineitem"), file)


def write_small_files(table, folder):
    """The same rows in files of one row group, one commit."""
    import pyarrow.dataset as ds
    from deltalake import DeltaTable, write_deltalake

    files = [file.removeprefix("file://") for file in DeltaTable(str(table)).file_uris()]
    rows = ds.dataset(files, format="parquet").to_table()
    for start in range(0, rows.num_rows, ROWS_PER_SMALL_FILE):
        write_deltalake(str(folder), rows.slice(start, ROWS_PER_SMALL_FILE), mode="append")


def answer(table):
    return str(ask(table, CHECK, "t").to_pylist())


def ask(table, sql, name):
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    return pa.table(QueryBuilder().register(name, DeltaTable(str(table))).execute(sql).read_all())


def show(found):
    for statement in STATEMENTS:
        rows = {name: figure for (name, other), figure in found.items() if other == statement}
        if not rows:
            continue
        print(f"{statement} of 1 % of lineitem" if statement in ("MERGE", "UPDATE", "DELETE") else statement)
        base, lines = rows.get("deltalake"), []
        for name, figures in rows.items():
            ratios = [base[key] / figures[key] if base else None for key in ("wall s", "CPU s")]
            lines.append([name, *figures.values(), *ratios, figures["peak MB"] / base["peak MB"] if base else None])
        heads = ["engine", *next(iter(rows.values())), "times as fast", "of CPU", "of its memory"]
        report.table(heads, lines)
