-- What is in the lake: eight Delta tables, plain folders that any Delta reader can open.
SHOW TABLES;

-- Their columns can be queried like everything else.
SELECT table_name, count(*) AS columns
FROM information_schema.columns
WHERE table_schema = 'main'
GROUP BY table_name
ORDER BY table_name;

-- What a table looks like: order lines, kept in one folder per year.
DESCRIBE lineitem;

-- And what lies on the disk.
DESCRIBE DETAIL lineitem;
