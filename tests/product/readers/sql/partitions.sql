-- Partitions of every type that can be one, with values that a path must escape.
CREATE TABLE t (
    id BIGINT, name VARCHAR, day DATE, n INT, yes BOOLEAN, price DECIMAL(10, 2), moment TIMESTAMP,
    instant TIMESTAMP WITH TIME ZONE
) PARTITIONED BY (name, day, n, yes, price, moment, instant);

-- ask t: SELECT id FROM t WHERE name = 'a b/c=d%20' AND day = DATE '2024-02-29'
-- ask t: SELECT id FROM t WHERE name IS NULL
-- ask t: SELECT id FROM t WHERE n < 0 OR price > 1.2
INSERT INTO t VALUES
    (1, 'a b/c=d%20', DATE '2024-02-29', 1, true, 1.50, TIMESTAMP '2024-02-29T12:34:56.789', CAST('2024-02-29T12:34:56Z' AS TIMESTAMP WITH TIME ZONE)),
    (2, 'ü:🛶', DATE '1969-12-31', -1, false, -0.01, TIMESTAMP '1969-12-31T23:59:59', CAST('1969-12-31T23:59:59.999999Z' AS TIMESTAMP WITH TIME ZONE)),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

UPDATE t SET name = 'moved', n = 7 WHERE id = 2;

DELETE FROM t WHERE name IS NULL;

CREATE TABLE u (id INT, kind VARCHAR) PARTITIONED BY (kind);

INSERT INTO u SELECT CAST(value AS INT), concat('k', value % 3) FROM generate_series(1, 12);

INSERT INTO u SELECT CAST(value AS INT), concat('k', value % 3) FROM generate_series(13, 24);

DELETE FROM u WHERE kind = 'k1';

INSERT INTO u REPLACE WHERE kind = 'k2' VALUES (100, 'k2'), (101, 'k2');

OPTIMIZE u WHERE kind = 'k0';

MERGE INTO u USING (VALUES (3, 'k9'), (500, 'k0')) AS s (id, kind) ON u.id = s.id
WHEN MATCHED THEN UPDATE SET kind = s.kind WHEN NOT MATCHED THEN INSERT *;

INSERT OVERWRITE u VALUES (1, 'k0');
