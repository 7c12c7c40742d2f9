-- Rules of a table: what other writers must keep to, and other readers need not know.
CREATE TABLE t (
    id INT NOT NULL, price DECIMAL(8, 2) DEFAULT 9.5, day DATE, month INT GENERATED ALWAYS AS (month(day)),
    CONSTRAINT positive CHECK (id > 0)
);

INSERT INTO t (id, day) VALUES (1, DATE '2024-05-06'), (2, NULL);

ALTER TABLE t ADD CONSTRAINT cheap CHECK (price < 1000);

INSERT INTO t (id, price, day) VALUES (3, 1, DATE '2025-12-31');

UPDATE t SET day = DATE '2000-01-01', price = DEFAULT WHERE id = 3;

ALTER TABLE t DROP CONSTRAINT positive;

ALTER TABLE t ALTER COLUMN price DROP DEFAULT;

DELETE FROM t WHERE day IS NULL;

ALTER TABLE t ALTER COLUMN day SET NOT NULL;

MERGE INTO t USING (VALUES (1, 5), (7, 6)) AS s (id, price) ON t.id = s.id
WHEN MATCHED THEN UPDATE SET price = s.price
WHEN NOT MATCHED THEN INSERT (id, price, day) VALUES (s.id, s.price, DATE '1999-09-09');

COMMENT ON TABLE t IS 'with rules';

CREATE TABLE log (id INT) TBLPROPERTIES ('delta.appendOnly' = 'true');

INSERT INTO log VALUES (1), (2);

OPTIMIZE log;
