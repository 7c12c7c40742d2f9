-- Old rows in the cold tier: dense files beside others, behind deletion vectors, with mapped columns; in order without partitions.
CREATE TABLE t (id BIGINT, day DATE, name VARCHAR) PARTITIONED BY (day) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true');

INSERT INTO t SELECT value, DATE '2020-01-01' + CAST(value % 3 AS INT), concat('n', value) FROM generate_series(1, 300);

INSERT INTO t SELECT value, DATE '2999-01-01', 'new' FROM generate_series(301, 310);

DELETE FROM t WHERE id % 7 = 0;

ALTER TABLE t SET TIER (cold_after = '90 days', on = day);

boathouse tier run;

-- ask t: SELECT count(*) AS n, sum(id) AS ids FROM t WHERE day = DATE '2020-01-02'
INSERT INTO t VALUES (1000, DATE '2020-01-01', 'late');

DELETE FROM t WHERE id % 5 = 0;

UPDATE t SET name = 'changed' WHERE id % 11 = 0;

ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name');

ALTER TABLE t RENAME COLUMN name TO title;

boathouse tier run;

OPTIMIZE t;

RESTORE TABLE t TO VERSION AS OF 5;

CREATE TABLE u (id BIGINT, at TIMESTAMP);

INSERT INTO u SELECT value, TIMESTAMP '2020-01-01 00:00:00' FROM generate_series(100, 1, -1) ORDER BY value;

INSERT INTO u VALUES (101, NULL), (102, TIMESTAMP '2999-01-01 00:00:00');

ALTER TABLE u SET TIER (cold_after = '2 weeks', on = at);

boathouse tier run;

DELETE FROM u WHERE id = 50;
