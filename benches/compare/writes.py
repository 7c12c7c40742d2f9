"""`writes`: MERGE, UPDATE and DELETE of one row in a hundred of `lineitem`, keys spread over all files.

Each statement runs in a process of its own on a fresh copy of the table, by Boathouse and by Python's `deltalake`. The tables
that they leave are compared.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

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
}
DELTALAKE = {
    "MERGE": f"""import pyarrow.parquet as pq
source = pq.read_table("{{source}}")
merge = table.merge(source, "{KEYS}", source_alias="s", target_alias="t")
merge.when_matched_update({{{{"l_comment": "s.l_comment"}}}}).when_not_matched_insert_all().execute()""",
    "UPDATE": """table.update(updates={{"l_comment": "'changed'"}}, predicate="l_orderkey % 100 = 11")""",
    "DELETE": """table.delete("l_orderkey % 100 = 13")""",
}


def measure(arguments, binaries):
    """(engine, statement) -> {wall s, CPU s, peak MB}, the best of the rounds."""
    table = arguments.lake.resolve() / "main" / "lineitem"
    found = {}
    with tempfile.TemporaryDirectory(dir=arguments.lake.resolve().parent) as scratch:
        scratch = pathlib.Path(scratch)
        source = scratch / "source.parquet"
        write_source(table, source)
        for done in range(arguments.rounds):
            for statement in BOATHOUSE:
                answers = {}
                for name, command in commands(binaries, statement, source, arguments.threads):
                    lake = scratch / "lake"
                    copy = lake / "main" / "lineitem"
                    shutil.copytree(table, copy)
                    ran = once([part.replace("{lake}", str(lake)) for part in command], arguments.threads)
                    answers[name] = answer(copy)
                    shutil.rmtree(lake)
                    best = found.get((name, statement), ran)
                    found[name, statement] = {key: min(best[key], ran[key]) for key in ran}
                if len(set(answers.values())) > 1:
                    sys.exit(f"{statement} left different tables: {answers}")
            report.say(f"round {done + 1} of {arguments.rounds}")
    return found


def commands(binaries, statement, source, threads):
    for name, binary in binaries:
        yield name, [binary, "sql", "{lake}", "-c", BOATHOUSE[statement].format(source=source)]
    text = DELTALAKE[statement].format(source=source)
    yield "deltalake", [sys.executable, "-c", f'from deltalake import DeltaTable\ntable = DeltaTable("{{lake}}/main/lineitem")\n{text}']


def once(command, threads):
    environment = {**os.environ, "BOATHOUSE_THREADS": str(threads)}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"{command} failed")
    return {"wall s": wall, "CPU s": used.ru_utime + used.ru_stime, "peak MB": used.ru_maxrss * 1024 / 1e6}


def write_source(table, file):
    import pyarrow.parquet as pq

    pq.write_table(ask(table, SOURCE, "lineitem"), file)


def answer(table):
    return str(ask(table, CHECK, "t").to_pylist())


def ask(table, sql, name):
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    return pa.table(QueryBuilder().register(name, DeltaTable(str(table))).execute(sql).read_all())


def show(found):
    for statement in BOATHOUSE:
        rows = {name: figure for (name, other), figure in found.items() if other == statement}
        print(f"{statement} of 1 % of lineitem")
        report.table(["engine", *next(iter(rows.values()))], [[name, *figure.values()] for name, figure in rows.items()])
