-- Every line that came, the orders that they are, and the rows that were put aside.
SELECT
    (SELECT count(*) FROM bronze.orders) AS lines,
    (SELECT count(*) FROM silver.orders) AS orders,
    (SELECT count(*) FROM silver.orders_quarantine) AS put_aside;

SELECT category, sum(orders) AS orders, sum(revenue) AS revenue
FROM marts.daily_sales
GROUP BY category
ORDER BY revenue DESC;
