"""Writes q01.slt to q22.slt: the TPC-H queries of sql/tpch with the answers of DuckDB at scale 0.01.

The data comes from the generator that the tests use too (tpchgen 4.0.0), as Parquet:

    python -m venv answers && answers/bin/pip install duckdb==2.0.0 tpchgen-cli==4.0.0
    answers/bin/tpchgen-cli parquet -s 0.01 --output-dir answers/data
    answers/bin/python tests/slt/tpch/make_answers.py answers/data

Numbers with a fraction are rounded to four places, half away from zero, and lose trailing zeros: DuckDB divides
decimals as floats, Boathouse as decimals of a few more places. The runner writes its numbers the same way.
"""

import decimal
import pathlib
import sys

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
QUERIES = HERE.parents[2] / "sql" / "tpch"
TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]

# Queries whose ORDER BY may leave ties, with the positions of their keys; all others order their rows totally.
KEYS = {3: [1, 2], 5: [1], 10: [2], 11: [1], 18: [4, 3]}


def letter(kind):
    kind = str(kind)
    if kind.startswith("DECIMAL") or kind in ("DOUBLE", "FLOAT"):
        return "R"
    if kind in ("BIGINT", "INTEGER", "HUGEINT", "SMALLINT"):
        return "I"
    return {"VARCHAR": "T", "DATE": "D"}[kind]


def text(value, kind):
    if value is None:
        return "NULL"
    if kind == "R":
        number = decimal.Decimal(str(value))
        number = number.quantize(decimal.Decimal("0.0001"), rounding=decimal.ROUND_HALF_UP)
        whole = format(number, "f").rstrip("0").rstrip(".")
        return "0" if whole == "-0" else whole
    return str(value) or "(empty)"


def main(data):
    decimal.getcontext().prec = 60
    database = duckdb.connect()
    for table in TABLES:
        database.execute(f"CREATE VIEW {table} AS FROM read_parquet('{data}/{table}.parquet')")
    for number in range(1, 23):
        lines = (QUERIES / f"q{number:02}.sql").read_text().splitlines()
        comment, query = lines[0], "\n".join(lines[1:])
        answer = database.execute(query)
        letters = [letter(column[1]) for column in answer.description]
        rows = answer.fetchall()
        # A tie, in the answer or at its LIMIT, leaves more than one right order.
        keys = KEYS.get(number)
        mode = ""
        if keys:
            unlimited = database.execute(query.split("\nLIMIT")[0].rstrip(";")).fetchall()
            seen = [tuple(row[key] for key in keys) for row in unlimited[: len(rows) + 1]]
            if len(set(seen)) < len(seen):
                if len(unlimited) > len(rows) and seen[-1] == seen[-2]:
                    sys.exit(f"q{number:02}: the LIMIT cuts through a tie")
                mode = " rowsort"
        written = [[text(value, kind) for value, kind in zip(row, letters)] for row in rows]
        if mode:
            written.sort()
        with open(HERE / f"q{number:02}.slt", "w") as out:
            out.write(f"# {comment[3:]} Scale 0.01.\n")
            out.write("# The answer is DuckDB's: see make_answers.py, which wrote this file from sql/tpch.\n\n")
            out.write(f"query {''.join(letters)}{mode}\n{query}\n----\n")
            out.writelines(" ".join(row) + "\n" for row in written)


if __name__ == "__main__":
    main(sys.argv[1])
