/*---
name = "silver.customers"
owner = "data@example.com"
description = "Customers, one row each"
tags = ["retail", "silver"]

[[test]]
unique = "customer_id"

[[test]]
not_null = ["customer_id", "country"]
---*/
SELECT customer_id, name, country
FROM bronze.customers
