-- A query that names the year touches that year's files only: see the files skipped and the bytes read.
EXPLAIN ANALYZE
SELECT sum(l_extendedprice * l_discount) AS revenue
FROM lineitem
WHERE l_shipyear = 1995 AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24;

-- A query on the date itself is helped by the statistics that every file carries.
EXPLAIN ANALYZE
SELECT count(*) AS lines
FROM lineitem
WHERE l_shipdate >= DATE '1998-09-01';
