/*---
name = "marts.growth"
description = "How the revenue of each nation changed from one year to the next"
tags = ["demo"]
refresh = { on_commit = true }

[[test]]
unique = ["nation", "year"]

[[test]]
row_count = { min = 1 }
---*/
SELECT
    nation,
    year,
    revenue,
    revenue - lag(revenue) OVER (PARTITION BY nation ORDER BY year) AS change
FROM marts.nations
