-- Rows that deletion vectors hide: in one file and in several, again and again, with mapped columns and partitions.
CREATE TABLE t (id BIGINT, g BIGINT, name VARCHAR) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');

INSERT INTO t SELECT value, value % 10, concat('n', value) FROM generate_series(1, 500);

INSERT INTO t SELECT value, value % 10, concat('n', value) FROM generate_series(501, 1000);

-- ask t: SELECT count(*) AS n FROM t WHERE id > 900
DELETE FROM t WHERE g = 3;

-- ask t: SELECT count(*) AS n, min(id) AS first, max(id) AS last FROM t
DELETE FROM t WHERE id IN (1, 2, 999, 1000);

UPDATE t SET name = 'new' WHERE g = 4;

MERGE INTO t USING (SELECT value AS id FROM generate_series(95, 105)) AS s ON t.id = s.id
WHEN MATCHED AND t.g = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'merged'
WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);

INSERT INTO t REPLACE WHERE g = 7 VALUES (7, 7, 'seven');

ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name');

ALTER TABLE t RENAME COLUMN name TO title;

DELETE FROM t WHERE title = 'new';

RESTORE TABLE t TO VERSION AS OF 3;

DELETE FROM t WHERE id % 2 = 0;

OPTIMIZE t;

DELETE FROM t;

CREATE TABLE p (id INT, kind VARCHAR) PARTITIONED BY (kind) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');

INSERT INTO p SELECT CAST(value AS INT), concat('k ', value % 3) FROM generate_series(1, 30);

DELETE FROM p WHERE id % 5 = 0;

UPDATE p SET kind = 'k 9' WHERE id < 4;

SET vacuum_retention_check = false;

VACUUM p RETAIN 0 HOURS;
