"""Boathouse beside other engines: the same SQL over the same files, two threads each, in one run.

    python3 benches/compare tpch LAKE --boathouse target/dist/boathouse --rounds 4

LAKE is a lake folder with the TPC-H tables (`data` makes one). The first start makes a Python environment under the
target folder; every later one uses it. `--help` after a subcommand lists its options.
"""

import argparse
import pathlib
import sys

import environment

ROOT = environment.ROOT


def main():
    parser = argparse.ArgumentParser(prog="benches/compare", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    tpch = commands.add_parser("tpch", help="the TPC-H queries, interleaved, with answers compared first")
    tpch.add_argument("lake", type=pathlib.Path)
    tpch.add_argument("--sql", type=pathlib.Path, default=ROOT / "sql" / "tpch", help="the folder of q01.sql, q02.sql, ...")
    tpch.add_argument("--queries", type=numbers, default=[], metavar="1,6,18")
    tpch.add_argument("--rounds", type=int, default=3)
    tpch.add_argument("--warm", type=int, default=2, help="rounds before the clock runs, after the one that compares answers")
    tpch.add_argument("--base", default="duckdb", help="the engine that the ratios are to")
    shared(tpch)
    arguments = parser.parse_args()
    environment.enter()
    {"tpch": compare_queries}[arguments.command](arguments)


def shared(parser):
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["boathouse", "duckdb", "polars", "datafusion", "deltalake", "chdb"])
    parser.add_argument("--boathouse", action="append", default=[], metavar="[NAME=]PATH", help="its binary; several are compared under their names")
    parser.add_argument("--boathouse-set", action="append", default=[], metavar="'NAME = VALUE'", help="SET at the start of its session")
    parser.add_argument("--boathouse-argument", action="append", default=[], metavar="TEXT", help="for `boathouse serve`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", default="", help="a label for the figures")
    parser.add_argument("--json", type=pathlib.Path, help="write all figures there")


def numbers(text):
    return [int(part) for part in text.split(",")]


def compare_queries(arguments):
    import queries
    import report

    workers = start(arguments, tables(arguments.lake))
    try:
        report.versions(workers)
        base = arguments.base if arguments.base in [worker.name for worker in workers] else workers[0].name
        figures, faults = queries.run(workers, queries.load(arguments.sql, arguments.queries), arguments.rounds, arguments.warm)
        queries.show(figures, faults, base)
        if arguments.json:
            told = {f"{name} q{number:02}": fault for (name, number), fault in faults.items()}
            made = {worker.name: worker.version for worker in workers}
            report.write_json(arguments.json, {"scale": arguments.scale, "versions": made, "figures": figures, "faults": told})
    finally:
        for worker in workers:
            worker.close()


def tables(lake):
    """Every table in the lake's schema `main`: name -> folder."""
    found = {log.parent.name: str(log.parent) for log in sorted(lake.resolve().glob("main/*/_delta_log"))}
    if not found:
        sys.exit(f"{lake} holds no table main/*/_delta_log")
    return found


def start(arguments, lake_tables):
    """A worker for each engine that is wanted and there."""
    import report
    from worker import Failed, Worker

    workers = []
    for kind in arguments.engines:
        for name, options in variants(kind, arguments):
            try:
                workers.append(Worker(name, kind, lake_tables, arguments.threads, options))
            except Failed as error:
                report.say(f"{name} is left out: {error}")
    if not workers:
        sys.exit("no engine is left to measure")
    return workers


def variants(kind, arguments):
    if kind != "boathouse":
        return [(kind, {})]
    shared_options = {"set": arguments.boathouse_set, "arguments": arguments.boathouse_argument}
    paths = arguments.boathouse or [str(environment.target_folder() / "dist" / "boathouse")]
    named = [path.split("=", 1) if "=" in path else ["boathouse", path] for path in paths]
    return [(name, {**shared_options, "binary": path}) for name, path in named]


if __name__ == "__main__":
    main()
