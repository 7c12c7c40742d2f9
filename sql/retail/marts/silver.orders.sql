/*---
name = "silver.orders"
owner = "data@example.com"
description = "Orders, one row each, as the newest file tells them"
tags = ["retail", "silver"]
refresh = { on_commit = true }

[[test]]
unique = "order_id"

[[test]]                                 # a broken row is put aside, with what is wrong with it ...
name = "every field can be read"
not_null = ["order_id", "ordered_at", "customer_id", "quantity", "unit_price"]
on_violation = "quarantine"

[[test]]
expect = "quantity > 0"
on_violation = "quarantine"

[[test]]
relationships = { column = "customer_id", to = "silver.customers", key = "customer_id" }
on_violation = "quarantine"

[[test]]                                 # ... a broken delivery stops the run, and readers keep the rows they have
name = "prices are in euros, not in cents"
expect = "unit_price < 1000 OR unit_price IS NULL"

[[test]]
accepted_values = { column = "status", values = ["placed", "shipped", "returned"] }

[[test]]
freshness = { column = "loaded_at", max_age = "7d" }
on_violation = "warn"
---*/
SELECT
    order_id,
    ordered_at,
    customer_id,
    category,
    quantity,
    unit_price,
    CAST(quantity * unit_price AS DECIMAL(18, 2)) AS amount,
    status,
    file,
    loaded_at
FROM (
    SELECT
        TRY_CAST(order_id AS BIGINT) AS order_id,
        TRY_CAST(ordered_at AS TIMESTAMP) AS ordered_at,
        customer_id,
        category,
        TRY_CAST(quantity AS INT) AS quantity,
        TRY_CAST(unit_price AS DECIMAL(10, 2)) AS unit_price,
        status,
        file,
        loaded_at,
        row_number() OVER (PARTITION BY order_id ORDER BY file DESC) AS newest_first
    FROM bronze.orders
) AS raw
WHERE newest_first = 1
