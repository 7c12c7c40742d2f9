-- Every statement that changes rows, on a table without anything special.
CREATE TABLE t AS SELECT value AS id, value % 7 AS g, concat('n', value) AS name FROM generate_series(1, 40);

-- ask t: SELECT count(*) AS n FROM t WHERE id > 40
INSERT INTO t VALUES (41, 6, 'n41'), (42, 0, NULL);

INSERT WITH SCHEMA EVOLUTION INTO t SELECT 43 AS id, 1 AS g, 'n43' AS name, DATE '2024-02-29' AS day;

-- ask t: SELECT count(*) AS n FROM t WHERE day IS NULL
UPDATE t SET name = concat(name, '*'), day = DATE '2024-01-01' WHERE g = 3;

UPDATE t SET name = s.name FROM (VALUES (1, 'one'), (2, 'two')) AS s (id, name) WHERE t.id = s.id;

DELETE FROM t WHERE id IN (SELECT id + 1 FROM t WHERE g = 5);

DELETE FROM t USING (VALUES (20), (21)) AS s (id) WHERE t.id = s.id;

MERGE INTO t USING (SELECT value AS id, 'merged' AS name FROM generate_series(38, 50)) AS s ON t.id = s.id
WHEN MATCHED AND t.id = 39 THEN DELETE
WHEN MATCHED THEN UPDATE SET name = s.name
WHEN NOT MATCHED AND s.id < 48 THEN INSERT (id, name) VALUES (s.id, s.name)
WHEN NOT MATCHED BY SOURCE AND t.g = 1 THEN UPDATE SET g = 100
WHEN NOT MATCHED BY SOURCE AND t.g = 2 THEN DELETE;

COPY (SELECT id + 1000 AS id, g, name, day FROM t) TO '{files}/rows.csv' (FORMAT csv, HEADER true);

COPY t FROM '{files}/rows.csv' (HEADER true);

COPY (SELECT id + 2000 AS id, g, name, day FROM t) TO '{files}/rows.parquet';

COPY t FROM '{files}/rows.parquet';

OPTIMIZE t;

-- ask t: SELECT sum(id) AS n FROM t WHERE g BETWEEN 2 AND 4
OPTIMIZE t ZORDER BY (g);

INSERT INTO t REPLACE WHERE id > 1000 SELECT CAST(1001 AS BIGINT), CAST(1 AS BIGINT), 'replaced', NULL;

RESTORE TABLE t TO VERSION AS OF 4;

SET vacuum_retention_check = false;

VACUUM t RETAIN 0 HOURS;

INSERT OVERWRITE t VALUES (1, 1, 'only', NULL);

CREATE OR REPLACE TABLE t (a INT, b VARCHAR NOT NULL) PARTITIONED BY (b);

INSERT INTO t VALUES (1, 'x'), (2, 'y');

TRUNCATE TABLE t;

INSERT INTO t VALUES (3, 'z');

DROP TABLE t;

UNDROP TABLE t;

INSERT INTO t VALUES (4, 'z');
