"""`clients`: many people with a dashboard open. Each client sends one small query after another, all at once."""

import statistics

import report
from worker import Failed

# {day} and {key} differ from call to call, so that no answer can be taken from an earlier one.
DASHBOARD = [
    "SELECT o_orderpriority, count(*) AS n FROM orders WHERE o_orderdate = DATE '{day}' GROUP BY o_orderpriority ORDER BY 1",
    "SELECT sum(o_totalprice) AS total FROM orders WHERE o_orderdate >= DATE '{day}' AND o_orderdate < DATE '{day}' + INTERVAL '7' DAY",
    "SELECT c_mktsegment, count(*) AS n, avg(c_acctbal) AS balance FROM customer GROUP BY c_mktsegment ORDER BY 1",
    "SELECT n_name, count(*) AS n FROM customer, nation WHERE c_nationkey = n_nationkey AND c_custkey > {key} GROUP BY n_name ORDER BY 2 DESC, 1 LIMIT 5",
    "SELECT o_orderkey, o_totalprice FROM orders WHERE o_custkey = {key} ORDER BY o_totalprice DESC LIMIT 10",
    "SELECT l_shipmode, sum(l_quantity) AS n FROM lineitem WHERE l_shipdate = DATE '{day}' GROUP BY l_shipmode ORDER BY 1",
]


def measure(workers, clients, seconds):
    """Engine -> figures. The engines run one after another: each has the cores to itself."""
    found = {}
    for worker in workers:
        try:
            ran = worker.crowd(DASHBOARD, clients, seconds)
        except Failed as error:
            report.say(f"{worker.name} is left out: {str(error).splitlines()[0][:200]}")
            continue
        times = sorted(time * 1000 for time in ran["times"])
        found[worker.name] = {
            "queries/s": len(times) / ran["wall"],
            "p50 ms": statistics.median(times),
            "p99 ms": times[min(len(times) - 1, int(len(times) * 0.99))],
            "CPU ms a query": ran["cpu"] * 1000 / len(times),
        }
    return found


def show(clients, found):
    print(f"{clients} clients")
    heads = list(next(iter(found.values())))
    report.table(["engine", *heads], [[name, *figure.values()] for name, figure in found.items()])
