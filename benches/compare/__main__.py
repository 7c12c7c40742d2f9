"""Boathouse beside other engines: the same SQL over the same files, two threads each, in one run.

    python3 benches/compare tpch LAKE --boathouse target/dist/boathouse --rounds 4

LAKE is a lake folder with the TPC-H tables (`data` makes one). The first start makes a Python environment under the
target folder; every later one uses it. `--help` after a subcommand lists its options.
"""

import argparse
import contextlib
import pathlib
import sys

import environment

ROOT = environment.ROOT


def main():
    parser = argparse.ArgumentParser(prog="benches/compare", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    made = command(commands, "data", make_data, "makes the lakes that the others read")
    made.add_argument("--commits", type=numbers, default=[1000, 10000], help="lengths of the long logs; ten files a commit")
    tpch = command(commands, "tpch", compare_queries, "the TPC-H queries, interleaved, answers compared first", "LAKE")
    tpch.add_argument("--sql", type=pathlib.Path, default=ROOT / "sql" / "tpch", help="the folder of q01.sql, q02.sql, ...")
    tpcds = command(commands, "tpcds", compare_tpcds, "the 99 TPC-DS queries; makes data of --scale first")
    for parser_of_queries in (tpch, tpcds):
        parser_of_queries.add_argument("--queries", type=numbers, default=[], metavar="1,6,18")
        parser_of_queries.add_argument("--warm", type=int, default=2, help="rounds before the clock runs, after the one that compares answers")
        parser_of_queries.add_argument("--base", default="duckdb", help="the engine that the ratios are to")
    for name, text in [("point", "lookups by the key that orders is clustered by"), ("partition", "one partition of 1,000")]:
        command(commands, name, compare_lookups, text).add_argument("--count", type=int, default=200)
    opening = command(commands, "open", compare_opening, "tables with a long log, in time and memory")
    opening.add_argument("--commits", type=int, default=10000)
    clients = command(commands, "clients", compare_clients, "many clients of small queries")
    clients.add_argument("--clients", type=numbers, default=[16])
    clients.add_argument("--seconds", type=float, default=20)
    writing = command(commands, "writes", compare_writes, "MERGE, UPDATE, DELETE, OPTIMIZE and small appends, beside deltalake", "LAKE")
    writing.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="MERGE,APPENDS", help="some of the statements")
    growth = command(commands, "growth", compare_growth, "every figure at one and at ten", "SMALL", "BIG")
    growth.add_argument("--queries", type=numbers, default=[])
    growth.add_argument("--sql", type=pathlib.Path, default=ROOT / "sql" / "tpch")
    growth.add_argument("--commits", type=numbers, default=[1000, 10000])
    growth.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    environment.enter()
    arguments.act(arguments)


def command(commands, name, act, text, *places):
    parser = commands.add_parser(name, help=text)
    for place in places or ["FOLDER"]:
        parser.add_argument(place.lower(), type=pathlib.Path, metavar=place, help="what `data` made" if place != "LAKE" else "a lake with the TPC-H tables")
    shared(parser)
    parser.set_defaults(act=act)
    return parser


def shared(parser):
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["boathouse", "duckdb", "polars", "datafusion", "deltalake", "chdb"])
    parser.add_argument("--boathouse", action="append", default=[], metavar="[NAME=]PATH", help="its binary; several are compared under their names")
    parser.add_argument("--boathouse-set", action="append", default=[], metavar="'NAME = VALUE'", help="SET at the start of its session")
    parser.add_argument("--boathouse-argument", action="append", default=[], metavar="TEXT", help="for `boathouse serve`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", default="1", help="of the data that is made; elsewhere a label for the figures")
    parser.add_argument("--json", type=pathlib.Path, help="write all figures there")


def numbers(text):
    return [int(part) for part in text.split(",")]


def make_data(arguments):
    import data

    data.make(arguments.folder, binaries(arguments)[0][1], arguments.scale, arguments.commits)


def compare_queries(arguments):
    import queries
    import report

    with started(arguments, arguments.lake) as workers:
        base = arguments.base if arguments.base in [worker.name for worker in workers] else workers[0].name
        wanted = queries.load(arguments.sql, arguments.queries)
        figures, faults = queries.run(workers, wanted, arguments.rounds, arguments.warm)
        queries.show(figures, faults, base)
        told = {f"{name} q{number:02}": fault for (name, number), fault in faults.items()}
        report.write_json(arguments, workers, {"figures": figures, "faults": told})


def compare_tpcds(arguments):
    import tpcds

    tpcds.make(arguments.folder, arguments.scale, environment.target_folder() / "compare-more")
    arguments.lake, arguments.sql = arguments.folder / "lake", arguments.folder / "sql"
    compare_queries(arguments)


def compare_lookups(arguments):
    import data
    import lookup
    import report

    point = arguments.command == "point"
    lake = data.lake(arguments.folder, "flat" if point else "parts")
    with started(arguments, lake) as workers:
        if point:
            wanted = lookup.point_queries("orders", "o_orderkey", lookup.keys(lake), arguments.count)
        else:
            wanted = lookup.partition_queries(arguments.count)
        found = lookup.measure(workers, wanted)
        lookup.show(f"{len(wanted)} lookups, like {wanted[0]}", found)
        report.write_json(arguments, workers, found)


def compare_opening(arguments):
    import data
    import opening
    import report

    kinds = [found for kind in arguments.engines for found in variants(kind, arguments)]
    lake = data.lake(arguments.folder, f"log-{arguments.commits}")
    files = {"commits": arguments.commits, "files": arguments.commits * 10}
    found = opening.measure(kinds, lake, files, arguments.threads, arguments.rounds)
    opening.show(found)
    report.write_json(arguments, [], {f"{name} {table}": figure for (name, table), figure in found.items()})


def compare_clients(arguments):
    import clients
    import data
    import report

    with started(arguments, data.lake(arguments.folder, "flat")) as workers:
        found = {count: clients.measure(workers, count, arguments.seconds) for count in arguments.clients}
        for count, figures in found.items():
            clients.show(count, figures)
        report.write_json(arguments, workers, found)


def compare_writes(arguments):
    import report
    import writes

    arguments.statements = [name for name in writes.STATEMENTS if not arguments.only or writes.short(name) in arguments.only]
    found = writes.measure(arguments, binaries(arguments))
    writes.show(found)
    report.write_json(arguments, [], {f"{name} {statement}": figure for (name, statement), figure in found.items()})


def compare_growth(arguments):
    import growth
    import report

    report.write_json(arguments, [], growth.run(arguments, started, variants))


def tables(lake):
    """Every table in the lake's schema `main`: name -> folder."""
    found = {log.parent.name: str(log.parent) for log in sorted(lake.resolve().glob("main/*/_delta_log"))}
    if not found:
        sys.exit(f"{lake} holds no table main/*/_delta_log")
    return found


@contextlib.contextmanager
def started(arguments, lake):
    """A worker for each engine that is wanted and there, as long as the block runs."""
    import report
    from worker import Failed, Worker

    workers, lake_tables = [], tables(lake)
    try:
        for name, kind, options in [found for kind in arguments.engines for found in variants(kind, arguments)]:
            try:
                workers.append(Worker(name, kind, lake_tables, arguments.threads, options))
            except Failed as error:
                report.say(f"{name} is left out: {error}")
        if not workers:
            sys.exit("no engine is left to measure")
        report.versions(workers)
        yield workers
    finally:
        for worker in workers:
            worker.close()


def variants(kind, arguments):
    """(name, kind, options) of an engine; `boathouse` may have several binaries."""
    if kind != "boathouse":
        return [(kind, kind, {})]
    options = {"set": arguments.boathouse_set, "arguments": arguments.boathouse_argument}
    return [(name, kind, {**options, "binary": path}) for name, path in binaries(arguments)]


def binaries(arguments):
    paths = arguments.boathouse or [str(environment.target_folder() / "dist" / "boathouse")]
    return [path.split("=", 1) if "=" in path else ["boathouse", path] for path in paths]


if __name__ == "__main__":
    main()
