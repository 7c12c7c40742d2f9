-- Columns that come, go and are renamed, with rows of every age.
CREATE TABLE t (id INT NOT NULL, name VARCHAR, home STRUCT<city VARCHAR, zip INT>, kind VARCHAR) PARTITIONED BY (kind);

INSERT INTO t VALUES (1, 'one', named_struct('city', 'Bern', 'zip', CAST(3000 AS INT)), 'a'), (2, NULL, NULL, NULL);

ALTER TABLE t ADD COLUMN price DECIMAL(8, 2) COMMENT 'in francs' AFTER id;

ALTER TABLE t ADD COLUMN home.street VARCHAR AFTER city;

INSERT INTO t (id, price, kind) VALUES (3, 1.5, 'b');

ALTER TABLE t ALTER COLUMN id DROP NOT NULL;

ALTER TABLE t ALTER COLUMN name COMMENT 'what it is called';

ALTER TABLE t ALTER COLUMN price FIRST;

ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'owner' = 'sales');

INSERT INTO t (id, name, kind) VALUES (4, 'four', 'a');

-- ask t: SELECT id FROM t WHERE title = 'one'
ALTER TABLE t RENAME COLUMN name TO title;

ALTER TABLE t RENAME COLUMN kind TO sort;

ALTER TABLE t RENAME COLUMN home.city TO town;

-- ask t: SELECT id FROM t WHERE sort = 'b' AND title > 'a'
INSERT INTO t (id, title, sort) VALUES (5, 'five', 'b');

ALTER TABLE t DROP COLUMN price;

ALTER TABLE t ADD COLUMN price DOUBLE;

UPDATE t SET price = CAST(id AS DOUBLE), title = concat(title, '!') WHERE id <> 2;

MERGE INTO t USING (VALUES (1, 'eins'), (9, 'neun')) AS s (id, title) ON t.id = s.id
WHEN MATCHED THEN UPDATE SET title = s.title WHEN NOT MATCHED THEN INSERT (id, title, sort) VALUES (s.id, s.title, 'c');

DELETE FROM t WHERE price > 5 OR title = 'five!';

OPTIMIZE t;

ALTER TABLE t UNSET TBLPROPERTIES ('owner');

CREATE TABLE mapped (id INT, "Two_Words" VARCHAR) TBLPROPERTIES ('delta.columnMapping.mode' = 'name');

INSERT INTO mapped VALUES (1, 'x'), (2, NULL);

INSERT WITH SCHEMA EVOLUTION INTO mapped SELECT CAST(3 AS INT) AS id, 'y' AS "Two_Words", 0.5 AS more;

TRUNCATE TABLE mapped;
