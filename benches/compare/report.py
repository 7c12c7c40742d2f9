"""Tables of figures."""

import json
import math
import platform
import statistics
import sys


def geometric_mean(values):
    values = [value for value in values if value and value > 0]
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def table(heads, rows):
    """Text in columns: the first to the left, the others to the right."""
    cells = [heads, *[[cell(value) for value in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(heads))]
    for row in cells:
        print("  ".join(text.ljust(width) if not index else text.rjust(width) for index, (text, width) in enumerate(zip(row, widths))))
    print(flush=True)


def cell(value):
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
    return str(value)


def versions(workers):
    for worker in workers:
        print(f"{worker.name:>12}  {worker.version}")
        for note in worker.notes:
            print(f"{'':>12}  {note}")
    print(f"{'Python':>12}  {platform.python_version()}\n", flush=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def write_json(arguments, workers, figures):
    """Writes the figures where `--json` says, with what they are figures of."""
    if arguments.json:
        made = {worker.name: worker.version for worker in workers}
        told = {"command": arguments.command, "scale": arguments.scale, "versions": made, "figures": figures}
        arguments.json.write_text(json.dumps(told, indent=1))
        print(f"written: {arguments.json}")
