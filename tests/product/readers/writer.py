"""What another Delta library writes, step by step, into one table: each a function of the library and the table's folder."""

import datetime
import decimal

import pyarrow as pa

DAY = datetime.date(2024, 2, 29)
MOMENT = datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)


def batch(ids, **columns):
    """Rows with these ids; a column is a list of values with its type, or one value for all rows."""
    arrays = {"id": pa.array(ids, pa.int64())}
    for name, (values, kind) in columns.items():
        arrays[name] = pa.array(values if isinstance(values, list) else [values] * len(ids), kind)
    return pa.table(arrays)


def every_type(ids, base):
    n = len(ids)
    some = lambda value: [None if i % 4 == 3 else value(i + base) for i in range(n)]
    place = pa.struct([("city", pa.string()), ("zip", pa.int32())])
    return batch(
        ids,
        kind=(some(lambda i: ["a b/c=%", "ü", "x"][i % 3]), pa.string()),
        yes=(some(lambda i: i % 2 == 0), pa.bool_()),
        tiny=(some(lambda i: i % 100), pa.int8()),
        small=(some(lambda i: -i), pa.int16()),
        whole=(some(lambda i: i * 1000), pa.int32()),
        real=(some(lambda i: i / 4), pa.float32()),
        double=(some(lambda i: i / 3), pa.float64()),
        price=(some(lambda i: decimal.Decimal(i) / 100), pa.decimal128(10, 2)),
        huge=(some(lambda i: decimal.Decimal(i) * 10**20), pa.decimal128(38, 6)),
        data=(some(lambda i: bytes([i % 256, 0])), pa.binary()),
        day=(some(lambda i: DAY + datetime.timedelta(days=i)), pa.date32()),
        instant=(some(lambda i: MOMENT + datetime.timedelta(hours=i)), pa.timestamp("us", "UTC")),
        moment=(some(lambda i: MOMENT - datetime.timedelta(hours=i)), pa.timestamp("us")),
        place=(some(lambda i: {"city": f"c{i}", "zip": i}), place),
        tags=(some(lambda i: ["t"] * (i % 3)), pa.list_(pa.string())),
        counts=(some(lambda i: [("k", i)]), pa.map_(pa.string(), pa.int64())),
    )


def merge(delta, table):
    source = every_type([1, 2, 1000], 50)
    merging = delta.DeltaTable(table).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    merging.when_matched_update({"price": "s.price", "place": "s.place"}).when_not_matched_insert_all().execute()


def more_columns(delta, table):
    rows = batch([2000, 2001], more=([1.5, None], pa.float64()), kind=("later", pa.string()))
    delta.write_deltalake(table, rows, mode="append", schema_mode="merge")


def replace_where(delta, table):
    rows = every_type([3000], 9).set_column(1, "kind", pa.array(["x"]))
    delta.write_deltalake(table, rows, mode="overwrite", predicate="kind = 'x'", schema_mode="merge")


def anything(method, *arguments, **options):
    """A method of the table, by its path."""

    def step(delta, table):
        found = delta.DeltaTable(table)
        for name in method.split("."):
            found = getattr(found, name)
        found(*arguments, **options)

    return step


STEPS = {
    "create": lambda delta, table: delta.write_deltalake(
        table, every_type(list(range(8)), 0), partition_by=["kind"], description="of another writer"
    ),
    "append": lambda delta, table: delta.write_deltalake(table, every_type(list(range(100, 120)), 20), mode="append"),
    "update": anything("update", updates={"price": "price + 1", "day": "NULL"}, predicate="id % 3 = 0"),
    "delete rows": anything("delete", "id IN (4, 101) OR whole > 35000"),
    "merge": merge,
    "schema evolution": more_columns,
    "replace where": replace_where,
    "delete a partition": anything("delete", "kind = 'later'"),
    "checkpoint": anything("create_checkpoint"),
    "compact": anything("optimize.compact"),
    "z-order": anything("optimize.z_order", ["id"]),
    "add a constraint": anything("alter.add_constraint", {"positive": "id >= 0"}),
    "set a property": anything("alter.set_table_properties", {"delta.logRetentionDuration": "interval 30 days"}),
    "set a comment": anything("alter.set_table_description", "another comment"),
    "restore": anything("restore", 5),
    "vacuum": anything("vacuum", retention_hours=0, enforce_retention_duration=False, dry_run=False),
    "append again": lambda delta, table: delta.write_deltalake(table, every_type([5000], 3), mode="append", schema_mode="merge"),
    "overwrite": lambda delta, table: delta.write_deltalake(
        table, every_type([1, 2, 3], 1), mode="overwrite", schema_mode="overwrite"
    ),
}
