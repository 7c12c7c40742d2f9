"""Many small appends of several clients into one new table: what `writes` runs in a process of its own.

    python3 appends.py LAKE [BOATHOUSE [insert]]

With a binary through `boathouse serve` and one connection a client, which sends Arrow tables or INSERT statements; else
Arrow tables through Python's `deltalake` and one thread a client.
"""

import os
import pathlib
import sys
import threading

APPENDS = 1000
CLIENTS = 8
ROWS = 100


def main():
    lake = pathlib.Path(sys.argv[1])
    writers, close = by_boathouse(lake, *sys.argv[2:]) if len(sys.argv) > 2 else by_deltalake(lake)
    faults = []

    def client(index):
        try:
            for number in range(index, APPENDS, CLIENTS):
                writers[index](range(number * ROWS, (number + 1) * ROWS))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close()
    if faults:
        raise faults[0]


def arrow_table(ids):
    import pyarrow as pa

    return pa.table({"id": pa.array(ids, pa.int64()), "name": [f"name {id}" for id in ids]})


def by_boathouse(lake, binary, way="ingest"):
    from engines import Boathouse

    engine = Boathouse({"events": str(lake / "main" / "events")}, int(os.environ.get("BOATHOUSE_THREADS", "2")), {"binary": binary})
    engine.run("CREATE TABLE events (id BIGINT, name VARCHAR)")

    def inserts(run):
        return lambda ids: run("INSERT INTO events VALUES " + ", ".join(f"({id}, 'name {id}')" for id in ids))

    def ingests(cursor):
        return lambda ids: cursor.adbc_ingest("events", arrow_table(ids), mode="append")

    if way == "insert":
        return [inserts(engine.client()) for _ in range(CLIENTS)], engine.close
    return [ingests(engine.connected()) for _ in range(CLIENTS)], engine.close


def by_deltalake(lake):
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import CommitFailedError

    folder = str(lake / "main" / "events")
    DeltaTable.create(folder, pa.schema([("id", pa.int64()), ("name", pa.string())]))

    def write(ids):
        rows = arrow_table(ids)
        while True:
            try:
                return write_deltalake(folder, rows, mode="append")
            # It tries 15 versions; who must not lose rows tries again.
            except CommitFailedError:
                pass

    return [write] * CLIENTS, lambda: None


if __name__ == "__main__":
    main()
