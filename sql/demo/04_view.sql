-- A view is a stored query. It lives in the lake, so every client sees it.
CREATE OR REPLACE VIEW revenue_by_nation AS
SELECT
    n_name AS nation,
    o_orderyear AS year,
    sum(l_extendedprice * (1 - l_discount)) AS revenue
FROM lineitem
JOIN orders ON o_orderkey = l_orderkey
JOIN customer ON c_custkey = o_custkey
JOIN nation ON n_nationkey = c_nationkey
GROUP BY n_name, o_orderyear;

SELECT nation, revenue
FROM revenue_by_nation
WHERE year = 1997
ORDER BY revenue DESC
LIMIT 5;
