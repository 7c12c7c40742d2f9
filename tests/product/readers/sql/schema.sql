-- What changes a table's columns and place along with its rows, and columns that the table fills by itself.
CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY, name VARCHAR, home STRUCT<city VARCHAR, zip INT>)
TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true');

INSERT INTO t (name) VALUES ('a'), ('b'), (NULL);

INSERT INTO t (name, home) SELECT 'c', named_struct('city', 'Bern', 'zip', CAST(3000 AS INT));

UPDATE t SET home.zip = 3001 WHERE name = 'c';

MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 'a' AS name, DATE '2024-02-29' AS day) AS s ON t.name = s.name
WHEN MATCHED THEN UPDATE SET day = s.day WHEN NOT MATCHED THEN INSERT (name, day) VALUES (s.name, s.day);

INSERT WITH SCHEMA EVOLUTION OVERWRITE t SELECT name, day, 1 AS more FROM t;

CREATE TABLE old (id INT);

INSERT INTO old VALUES (1), (2);

ALTER TABLE old RENAME TO new;

INSERT INTO new VALUES (3);

CREATE TABLE old (other VARCHAR);

INSERT INTO old VALUES ('x');
