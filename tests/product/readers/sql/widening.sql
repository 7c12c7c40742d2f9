-- Columns that became wider: older files hold them narrow.
CREATE TABLE t (id INT, n SMALLINT, f REAL, d DECIMAL(6, 2), home STRUCT<zip INT>);

INSERT INTO t VALUES (1, 1, 1.5, 1.25, named_struct('zip', CAST(3000 AS INT))), (2, NULL, NULL, NULL, NULL);

-- deltalake cannot read t: Unsupported table features required: [TypeWidening]
ALTER TABLE t SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true');

ALTER TABLE t ALTER COLUMN id TYPE BIGINT;

ALTER TABLE t ALTER COLUMN f TYPE DOUBLE;

ALTER TABLE t ALTER COLUMN d TYPE DECIMAL(12, 4);

ALTER TABLE t ALTER COLUMN home.zip TYPE BIGINT;

-- ask t: SELECT id FROM t WHERE id > 2147483647
INSERT INTO t VALUES (3000000000, 7, 0.1, 12345678.0001, named_struct('zip', 3000000000));

UPDATE t SET n = 9 WHERE id = 1;

OPTIMIZE t;
