-- What the tests of that run found, and some of the rows ...
SELECT test, state, violations, samples
FROM system.mart_tests
WHERE mart = 'silver.orders' AND state = 'failed'
ORDER BY tested_at DESC
LIMIT 1;

-- ... while everybody reads what was there before: nothing of that day is in any mart.
SELECT max(day) AS last_day, sum(revenue) AS revenue
FROM marts.daily_sales;
