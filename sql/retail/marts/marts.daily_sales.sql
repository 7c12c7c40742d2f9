/*---
name = "marts.daily_sales"
owner = "sales@example.com"
description = "Sales per day and category; an order that came late counts on its day"
tags = ["retail"]
refresh = { on_commit = true }

[[test]]
unique = ["day", "category"]

[[test]]
accepted_values = { column = "category", values = ["books", "clothes", "food", "garden", "toys"] }

[[test]]
row_count = { min = 1 }

[[export]]
to = "warehouse"
table = "daily_sales"
---*/
SELECT
    CAST(ordered_at AS DATE) AS day,
    category,
    count(*) AS orders,
    sum(quantity) AS units,
    sum(amount) AS revenue
FROM silver.orders
WHERE status <> 'returned'
GROUP BY CAST(ordered_at AS DATE), category
