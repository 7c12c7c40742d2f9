/*---
name = "marts.nations"
owner = "sales@example.com"
description = "Revenue and orders of each nation and year"
tags = ["demo"]
refresh = { on_commit = true }
contract = true

[[column]]
name = "nation"
type = "VARCHAR"
not_null = true
description = "Where the customers live"

[[column]]
name = "year"
type = "INT"
not_null = true

[[column]]
name = "revenue"
type = "DECIMAL(38, 4)"
description = "Discounts taken off"

[[column]]
name = "orders"
type = "BIGINT"

[[test]]
unique = ["nation", "year"]

[[test]]
relationships = { column = "nation", to = "nation", key = "n_name" }

[[test]]
expect = "revenue > 0"
on_violation = "quarantine"
---*/
SELECT
    n_name AS nation,
    CAST(o_orderyear AS INT) AS year,
    sum(l_extendedprice * (1 - l_discount)) AS revenue,
    count(DISTINCT o_orderkey) AS orders
FROM lineitem
JOIN orders ON o_orderkey = l_orderkey
JOIN customer ON c_custkey = o_custkey
JOIN nation ON n_nationkey = c_nationkey
GROUP BY n_name, CAST(o_orderyear AS INT)
