-- A table on the files of another one.
CREATE TABLE t (id INT, kind VARCHAR) PARTITIONED BY (kind);

INSERT INTO t VALUES (1, 'a b%c'), (2, NULL), (3, 'x');

INSERT INTO t VALUES (4, 'x');

CREATE TABLE sandbox SHALLOW CLONE t VERSION AS OF 1;

INSERT INTO sandbox VALUES (5, 'y');

UPDATE sandbox SET id = id + 100 WHERE kind = 'x';

DELETE FROM t WHERE kind = 'x';

OPTIMIZE sandbox;
