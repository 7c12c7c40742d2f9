"""`tpch`: the 22 queries (or the 99 of another folder), every engine in turn, round after round.

All engines answer once before the clock runs, and their answers must agree. CPU seconds hold on a machine that does other
things too; wall seconds do not.
"""

import pathlib
import re
import statistics

import agree
import report
from worker import Failed


def load(folder, wanted):
    """Number -> text of each `qNN.sql`."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("q*.sql")):
        number = int(re.sub(r"\D", "", path.stem))
        if not wanted or number in wanted:
            found[number] = path.read_text()
    return found


def run(workers, queries, rounds, warm):
    """Figures: engine -> query -> {cpu: [...], wall: [...], rows}, and the texts of what failed or differed."""
    faults = check(workers, queries)
    for _ in range(warm):
        each(workers, queries, faults, lambda worker, number, sql: worker.run(sql))
    for worker in workers:
        worker.settle()
    figures = {worker.name: {} for worker in workers}

    def measure(worker, number, sql):
        ran = worker.run(sql)
        figure = figures[worker.name].setdefault(number, {"cpu": [], "wall": [], "rows": ran.rows})
        figure["cpu"].append(ran.cpu)
        figure["wall"].append(ran.wall)

    for done in range(rounds):
        report.say(f"round {done + 1} of {rounds}")
        # The order turns, so that no engine always runs behind the same other.
        each(workers[done % len(workers) :] + workers[: done % len(workers)], queries, faults, measure)
    return figures, faults


def each(workers, queries, faults, act):
    for number, sql in queries.items():
        for worker in workers:
            if (worker.name, number) not in faults:
                try:
                    act(worker, number, sql)
                except Failed as error:
                    faults[worker.name, number] = str(error).splitlines()[0][:300]


def check(workers, queries):
    """Runs everything once. An engine that fails a query, or differs from the majority, is not measured on it."""
    faults = {}
    for number, sql in queries.items():
        answers = {}
        for worker in workers:
            try:
                answers[worker.name] = worker.run(sql, keep=True).answer
            except Failed as error:
                faults[worker.name, number] = str(error).splitlines()[0][:300]
        groups = []
        for name, answer in answers.items():
            group = next((group for group in groups if agree.difference(group[0][1], answer) is None), None)
            if group is None:
                groups.append(group := [])
            group.append((name, answer))
        groups.sort(key=len, reverse=True)
        for group in groups[1:]:
            for name, answer in group:
                told = agree.difference(groups[0][0][1], answer)
                faults[name, number] = f"differs from {', '.join(name for name, _ in groups[0])}: {told}"
        if groups:
            first = groups[0][0][1]
            report.say(f"q{number:02}: {first.num_rows} rows, checksum {agree.checksum(first)}, {len(groups[0])} agree")
    return faults


def show(figures, faults, base):
    """Prints seconds, ratios to the engine `base`, and their geometric means."""
    names = list(figures)
    numbers = sorted({number for figure in figures.values() for number in figure})
    for kind, best in [("cpu", min), ("wall", min), ("cpu", statistics.median)]:
        title = f"{kind} seconds, {'best' if best is min else 'median'} of the rounds"
        value = lambda name, number: best(figures[name][number][kind]) if number in figures[name] else None
        print(f"{title}; ratio to {base}")
        rows = []
        for number in numbers:
            seconds = [value(name, number) for name in names]
            rows.append([f"q{number:02}", *seconds, *[ratio(second, value(base, number)) for second in seconds]])
        ratios = list(zip(*[row[1 + len(names) :] for row in rows]))
        shared = [number for number in numbers if all(number in figures[name] for name in names)]
        totals = [sum(value(name, number) for number in shared) for name in names]
        base_total = totals[names.index(base)]
        rows.append(["total", *totals, *[ratio(total, base_total) for total in totals]])
        rows.append(["geometric mean", *[None] * len(names), *map(report.geometric_mean, ratios)])
        rows.append(["worst", *[None] * len(names), *[max(filter(None, column), default=None) for column in ratios]])
        report.table([best.__name__, *names, *[f"x {name}" for name in names]], rows)
    for (name, number), fault in sorted(faults.items()):
        print(f"not measured: {name} q{number:02}: {fault}")


def ratio(value, base):
    return value / base if value is not None and base else None
