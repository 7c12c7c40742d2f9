-- The change feed of every statement that changes rows.
CREATE TABLE t (id BIGINT NOT NULL, day DATE, name VARCHAR) PARTITIONED BY (day)
TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');

INSERT INTO t SELECT value, DATE '2024-01-01' + CAST(value % 3 AS INT), concat('n', value) FROM generate_series(1, 30);

INSERT INTO t VALUES (31, NULL, 'no day'), (32, DATE '2024-01-01', NULL);

UPDATE t SET name = concat(name, '*') WHERE id % 4 = 0;

-- Rows go from one partition to another.
UPDATE t SET day = DATE '2024-02-29' WHERE id IN (1, 2, 31);

DELETE FROM t WHERE id BETWEEN 10 AND 12;

-- Whole files go.
DELETE FROM t WHERE day = DATE '2024-01-02';

MERGE INTO t USING (SELECT value AS id, 'merged' AS name FROM generate_series(20, 40)) AS s ON t.id = s.id
WHEN MATCHED AND t.id = 21 THEN DELETE
WHEN MATCHED THEN UPDATE SET name = s.name
WHEN NOT MATCHED AND s.id < 38 THEN INSERT (id, name) VALUES (s.id, s.name)
WHEN NOT MATCHED BY SOURCE AND t.id = 3 THEN DELETE;

OPTIMIZE t;

INSERT INTO t REPLACE WHERE day = DATE '2024-02-29' SELECT 100, DATE '2024-02-29', 'replaced';

INSERT OVERWRITE t SELECT 200, DATE '2024-01-01', 'new';

TRUNCATE TABLE t;

INSERT INTO t VALUES (300, DATE '2024-01-01', 'last');
