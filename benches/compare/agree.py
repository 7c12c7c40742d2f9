"""Whether two engines gave the same answer.

Engines differ in types (DuckDB divides decimals as floats) and in the order of ties: rows are compared as a multiset, and
numbers agree when they differ by less than a part in 100,000.
"""

import datetime
import decimal
import math
import zlib

NEAR = 1e-5


def rows(table):
    """Rows in a fixed order, values as text or number."""
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return sorted(zip(*columns), key=lambda row: tuple(order(value) for value in row))


def checksum(table):
    """Of the row count and all values, numbers rounded to four digits: a name for an answer, not a proof."""
    text = repr([[f"{value:.4g}" if isinstance(value, float) else value for value in row] for row in rows(table)])
    return f"{zlib.crc32(text.encode()):08x}"


def difference(left, right):
    """None when the answers agree; else what differs first."""
    if left.num_rows != right.num_rows:
        return f"{left.num_rows} rows against {right.num_rows}"
    if left.num_columns != right.num_columns:
        return f"{left.num_columns} columns against {right.num_columns}"
    for index, (one, other) in enumerate(zip(rows(left), rows(right))):
        if not all(map(same, one, other)):
            return f"row {index}: {one} against {other}"
    return None


def plain(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, decimal.Decimal)):
        return float(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.replace(tzinfo=None).isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def order(value):
    # Rounded, so that values which agree stand at the same place in both answers, nearly always.
    if isinstance(value, float):
        return (1, "", float(f"{value:.6g}") if math.isfinite(value) else math.inf)
    return (0, "", 0.0) if value is None else (2, str(value), 0.0)


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other) or abs(one - other) <= NEAR * max(abs(one), abs(other), 1.0)
    return one == other
