/*---
name = "marts.late_lines"
description = "Lines that arrived after the day that was promised, per month and way of shipping"
tags = ["demo"]
strategy = "partition_overwrite"       # a way of shipping that the query gives no rows for stays as it was
partition_by = "mode"

[[test]]
accepted_values = { column = "mode", values = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"] }

[[test]]
not_null = ["month", "mode"]

[[test]]
expect = "late <= lines"

[[test]]
name = "half of all lines are in time"
expect = "late * 2 <= lines"
on_violation = "warn"
---*/
SELECT
    date_trunc('month', l_receiptdate) AS month,
    l_shipmode AS mode,
    count(*) AS lines,
    count(*) FILTER (WHERE l_receiptdate > l_commitdate) AS late
FROM lineitem
GROUP BY 1, 2
