"""`growth`: how each figure grows when files, rows or clients grow tenfold."""

import clients
import data
import lookup
import opening
import queries
import report


def run(arguments, started, variants):
    """Measures both folders that `data` made and prints the table; `started` and `variants` give the engines."""
    pairs = []
    sides = [measure(arguments, folder, started) for folder in (arguments.small, arguments.big)]
    for title in sides[0]:
        pairs.append((f"{title}, rows", sides[0][title], sides[1].get(title, {})))
    logs = [logged(arguments, variants, commits) for commits in arguments.commits]
    for title in logs[0]:
        pairs.append((title, logs[0][title], logs[1].get(title, {})))
    with started(arguments, data.lake(arguments.big, "flat")) as workers:
        crowds = [clients.measure(workers, count, arguments.seconds) for count in (2, 20)]
    for key in ("queries/s", "p99 ms", "CPU ms a query"):
        pairs.append((f"clients: {key}", *[{name: figure[key] for name, figure in crowd.items()} for crowd in crowds]))
    show(pairs)
    return [{"figure": title, "one": one, "ten": ten} for title, one, ten in pairs]


def measure(arguments, folder, started):
    """Title -> engine -> figure, of the lake without partitions."""
    lake = data.lake(folder, "flat")
    with started(arguments, lake) as workers:
        wanted = queries.load(arguments.sql, arguments.queries)
        figures, _ = queries.run(workers, wanted, arguments.rounds, 1)
        shared = set.intersection(*[set(figure) for figure in figures.values()])
        point = lookup.measure(workers, lookup.point_queries("orders", "o_orderkey", lookup.keys(lake), 100))
    total = {name: sum(min(figure[number]["cpu"]) for number in shared) for name, figure in figures.items()}
    return {f"TPC-H, {len(shared)} queries, CPU s": total, "point lookup, CPU ms": {n: f["CPU ms"] for n, f in point.items()}}


def logged(arguments, variants, commits):
    kinds = [found for kind in arguments.engines for found in variants(kind, arguments)]
    lake = data.lake(arguments.big, f"log-{commits}")
    found = opening.measure(kinds, lake, {"commits": commits, "files": commits * 10}, arguments.threads, 1)
    titles = {}
    for (name, table), figure in found.items():
        for key, value in figure.items():
            titles.setdefault(f"long log, {table}: {key}", {})[name] = value
    return titles


def show(pairs):
    """`pairs`: (title, {engine: figure at one}, {engine: figure at ten})."""
    engines = list(dict.fromkeys(name for _, one, _ in pairs for name in one))
    heads = ["figure", *[head for name in engines for head in (name, "x10", "grows")]]
    rows = []
    for title, one, ten in pairs:
        row = [title]
        for name in engines:
            before, after = one.get(name), ten.get(name)
            row += [before, after, after / before if before and after and before > 0 else None]
        rows.append(row)
    report.table(heads, rows)
