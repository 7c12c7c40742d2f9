-- A day later. The tills have new software, which tells prices in cents.
INSERT INTO bronze.orders
SELECT
    CAST(CAST(order_id AS BIGINT) + 1000000 AS VARCHAR),
    '2026-01-31 12:00:00',
    customer_id,
    category,
    quantity,
    CAST(CAST(TRY_CAST(unit_price AS DECIMAL(10, 2)) * 100 AS BIGINT) AS VARCHAR),
    'placed',
    'orders-2026-01-31.csv',
    loaded_at
FROM bronze.orders
WHERE file = 'orders-2026-01-30.csv';
