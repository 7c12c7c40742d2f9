-- Fields that come, go and grow inside of ARRAY, MAP and STRUCT: older files have them otherwise.
CREATE TABLE t (
  id INT, s STRUCT<a INT>, l ARRAY<STRUCT<x INT>>,
  g INT GENERATED ALWAYS AS (s.a), CONSTRAINT positive CHECK (s.a IS NULL OR s.a > 0)
);

INSERT INTO t (id, s, l) VALUES (1, named_struct('a', 1), [named_struct('x', 1), NULL]), (2, NULL, NULL);

ALTER TABLE t ADD COLUMN l.element.y VARCHAR;

ALTER TABLE t ADD COLUMN s.b BIGINT;

INSERT INTO t (id, s, l) VALUES (3, named_struct('a', 3, 'b', 30), [named_struct('x', 3, 'y', 'three')]);

INSERT WITH SCHEMA EVOLUTION INTO t SELECT CAST(4 AS INT) AS id, [named_struct('y', 'four', 'z', true)] AS l;

MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 1 AS id, named_struct('b', 10, 'c', 'new') AS s) AS u ON t.id = u.id
WHEN MATCHED THEN UPDATE SET *;

-- ask t: SELECT id FROM t WHERE s.b > 5
UPDATE t SET s.a = 7 WHERE id = 3;

-- ask t: SELECT id FROM t WHERE g = 7
OPTIMIZE t;

CREATE TABLE maps (id INT, m MAP(VARCHAR, STRUCT<v INT>));

INSERT INTO maps VALUES (1, MAP {'k': named_struct('v', 1)}), (2, NULL);

-- deltalake cannot read maps: Cannot cast column 'm'
ALTER TABLE maps ADD COLUMN m.value.w DOUBLE;

INSERT INTO maps VALUES (3, MAP {'k': named_struct('v', 3, 'w', 0.5), 'l': NULL});

CREATE TABLE mapped (id INT, l ARRAY<STRUCT<x INT, y VARCHAR>>, m MAP(VARCHAR, STRUCT<v INT>))
TBLPROPERTIES ('delta.columnMapping.mode' = 'name');

INSERT INTO mapped VALUES (1, [named_struct('x', 1, 'y', 'one')], MAP {'k': named_struct('v', 1)});

ALTER TABLE mapped RENAME COLUMN l.element.x TO number;

ALTER TABLE mapped DROP COLUMN l.element.y;

ALTER TABLE mapped ADD COLUMN l.element.y INT;

INSERT INTO mapped VALUES (2, [named_struct('number', 2, 'y', 2)], MAP {'k': named_struct('v', 2)});

CREATE TABLE wide (id INT, l ARRAY<INT>, m MAP(VARCHAR, STRUCT<v SMALLINT>));

INSERT INTO wide VALUES (1, [1, NULL], MAP {'k': named_struct('v', CAST(1 AS SMALLINT))});

-- deltalake cannot read wide: Unsupported table features required: [TypeWidening]
ALTER TABLE wide SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true');

ALTER TABLE wide ALTER COLUMN l.element TYPE BIGINT;

ALTER TABLE wide ALTER COLUMN m.value.v TYPE INT;

INSERT INTO wide VALUES (2, [3000000000], MAP {'k': named_struct('v', 100000)});
