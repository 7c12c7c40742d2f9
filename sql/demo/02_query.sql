-- Revenue by year. All years are read.
SELECT
    l_shipyear AS year,
    count(*) AS lines,
    sum(l_extendedprice * (1 - l_discount)) AS revenue
FROM lineitem
GROUP BY l_shipyear
ORDER BY l_shipyear;

-- The three best customers of each region, with a window function over a join of five tables.
SELECT region, place, customer, spent
FROM (
    SELECT
        r_name AS region,
        c_name AS customer,
        sum(o_totalprice) AS spent,
        row_number() OVER (PARTITION BY r_name ORDER BY sum(o_totalprice) DESC, c_name) AS place
    FROM orders
    JOIN customer ON c_custkey = o_custkey
    JOIN nation ON n_nationkey = c_nationkey
    JOIN region ON r_regionkey = n_regionkey
    GROUP BY r_name, c_name
)
WHERE place <= 3
ORDER BY region, place;
