/*---
name = "marts.customer_value"
owner = "sales@example.com"
description = "What each customer has bought, and the class that this makes them"
tags = ["retail"]
refresh = { on_commit = true }

[[test]]
unique = "customer_id"

[[test]]
not_null = ["customer_id", "revenue"]

[[test]]
relationships = { column = "customer_id", to = "silver.customers", key = "customer_id" }

[[test]]
accepted_values = { column = "class", values = ["gold", "silver", "bronze"] }

[[export]]
to = "spreadsheet"
table = "customer_value"
---*/
SELECT
    customer_id,
    name,
    country,
    count(*) AS orders,
    max(ordered_at) AS last_order,
    sum(amount) AS revenue,
    CASE WHEN sum(amount) >= 2500 THEN 'gold' WHEN sum(amount) >= 1500 THEN 'silver' ELSE 'bronze' END AS class
FROM silver.orders
JOIN silver.customers USING (customer_id)
WHERE status <> 'returned'
GROUP BY customer_id, name, country
