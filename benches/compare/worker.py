"""A process for each engine, so that none sees another's threads and memory, and a handle on it."""

import multiprocessing
import os
import random
import threading
import time
from dataclasses import dataclass

from engines import ENGINES

# Two threads mean two cores, also for what an engine does not count as its threads.
SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Ran:
    """One statement that was run: seconds, seconds of CPU, and the answer where it was asked for."""

    wall: float
    cpu: float
    rows: int
    answer: object = None


class Failed(Exception):
    """The engine's own words."""


class Worker:
    """An engine in its process. `kind` is the engine, `name` what it is called in the tables."""

    def __init__(self, name, kind, tables, threads, options=None):
        self.name = name
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(theirs, kind, tables, threads, options or {}), daemon=False)
        self.process.start()
        theirs.close()
        try:
            self.opened = self.receive()
        except Failed:
            self.process.join()
            raise
        self.version = self.opened["version"]
        self.notes = self.opened["notes"]

    def run(self, sql, keep=False):
        self.pipe.send(("run", sql, keep))
        return Ran(**self.receive())

    def crowd(self, queries, clients, seconds):
        """Many clients at once: {times: seconds of each query, wall, cpu}."""
        self.pipe.send(("crowd", queries, clients, seconds))
        return self.receive()

    def cpu(self):
        """CPU seconds of the engine so far, with what it does in the background."""
        self.pipe.send(("cpu",))
        return self.receive()

    def resident(self):
        """Bytes of memory at the peak."""
        self.pipe.send(("resident",))
        return self.receive()

    def settle(self, seconds_max=120.0):
        """Waits until the engine does nothing any more in the background."""
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(0.5)
            if self.cpu() - before < 0.02:
                return

    def close(self):
        try:
            self.pipe.send(None)
        except OSError:
            pass
        self.process.join(30)

    def receive(self):
        try:
            fine, told = self.pipe.recv()
        except EOFError:
            raise Failed("the engine's process has ended") from None
        if not fine:
            raise Failed(told)
        return told


def serve(pipe, kind, tables, threads, options):
    """The worker's process: opens the engine and answers until it hears None."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    started, cpu = time.perf_counter(), time.process_time()
    try:
        engine = ENGINES[kind](tables, threads, options)
    except BaseException as error:
        pipe.send((False, f"{type(error).__name__}: {error}"))
        return
    opened = {"wall": time.perf_counter() - started, "cpu": spent(engine) - cpu}
    pipe.send((True, {**opened, "version": engine.version(), "notes": list(engine.notes)}))
    try:
        while (message := pipe.recv()) is not None:
            try:
                pipe.send((True, answer(engine, message)))
            # Rust panics reach Python as BaseException.
            except BaseException as error:
                pipe.send((False, f"{type(error).__name__}: {error}"))
    except EOFError:
        pass
    finally:
        engine.close()
    pipe.close()
    # Some libraries' threads do not let a process end by itself.
    os._exit(0)


def answer(engine, message):
    if message[0] == "cpu":
        return spent(engine)
    if message[0] == "resident":
        return engine.resident()
    if message[0] == "crowd":
        return crowd(engine, *message[1:])
    _, sql, keep = message
    cpu, started = spent(engine), time.perf_counter()
    table = engine.run(sql)
    wall = time.perf_counter() - started
    cpu = spent(engine) - cpu
    return {"wall": wall, "cpu": cpu, "rows": table.num_rows, "answer": table if keep else None}


def crowd(engine, queries, clients, seconds):
    runs = [engine.client() for _ in range(clients)]
    times, faults = [], []

    def client(index):
        chance = random.Random(index)
        try:
            while time.monotonic() < end:
                day = f"199{chance.randint(2, 7)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
                sql = chance.choice(queries).format(day=day, key=chance.randint(1, 15000))
                started = time.perf_counter()
                runs[index](sql)
                times.append(time.perf_counter() - started)
        except BaseException as error:
            faults.append(error)

    for sql in queries:
        runs[0](sql.format(day="1995-01-01", key=1))
    cpu, started, end = spent(engine), time.perf_counter(), time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return {"times": times, "wall": time.perf_counter() - started, "cpu": spent(engine) - cpu}


def spent(engine):
    return time.process_time() + engine.cpu()
