-- Every type, at its ends and without a value; texts and times that are easily got wrong.
CREATE TABLE t (
    id BIGINT NOT NULL, b BOOLEAN, i1 TINYINT, i2 SMALLINT, i4 INT, i8 BIGINT, f4 REAL, f8 DOUBLE,
    price DECIMAL(10, 2), huge DECIMAL(38, 6), name VARCHAR, data BINARY, day DATE,
    instant TIMESTAMP WITH TIME ZONE, moment TIMESTAMP
) COMMENT 'every type';

-- ask t: SELECT count(*) AS n FROM t WHERE huge < 0 AND i8 = -9223372036854775808
-- ask t: SELECT id FROM t WHERE price >= 99999999.99 AND f8 > CAST('1e300' AS DOUBLE)
-- ask t: SELECT count(*) AS n FROM t WHERE moment IS NULL
INSERT INTO t VALUES
    (1, true, -128, -32768, -2147483648, -9223372036854775808, CAST('-inf' AS REAL), CAST('-1.7976931348623157e308' AS DOUBLE), -99999999.99,
     -12345678901234567890123456789012.345678, '', X'', DATE '0001-01-01', CAST('1900-01-01T00:00:00.000001Z' AS TIMESTAMP WITH TIME ZONE),
     TIMESTAMP '1900-01-01T00:00:00.000001'),
    (2, false, 127, 32767, 2147483647, 9223372036854775807, CAST('inf' AS REAL), CAST('1.7976931348623157e308' AS DOUBLE), 99999999.99,
     12345678901234567890123456789012.345678, 'ü 🛶 ''quoted'' "twice" \ back', X'00FF10', DATE '9999-12-31',
     CAST('2262-01-01T23:59:59.999999Z' AS TIMESTAMP WITH TIME ZONE), TIMESTAMP '2262-01-01T23:59:59.999999'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, true, 0, 0, 0, 0, CAST('nan' AS REAL), CAST('nan' AS DOUBLE), 0, 0,
     'a text that is longer than what statistics keep of one, so that its end is cut off', X'7F', DATE '1970-01-01',
     CAST('1970-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE), TIMESTAMP '1970-01-01T00:00:00');

-- ask t: SELECT id FROM t WHERE name > 'a text that is longer than what statistics keep of one, so'
-- ask t: SELECT id FROM t WHERE day < DATE '1000-01-01'
INSERT INTO t (id, name) SELECT id + 10, concat(name, '!') FROM t WHERE name IS NOT NULL;

UPDATE t SET price = -price, huge = -huge, data = NULL WHERE id < 3;

DELETE FROM t WHERE isnan(f8);

OPTIMIZE t ZORDER BY (price, name);

CREATE TABLE nested (
    id INT, place STRUCT<city VARCHAR, at STRUCT<lat DOUBLE, lon DOUBLE>>, tags ARRAY<VARCHAR>,
    prices MAP(VARCHAR, DECIMAL(10, 2)), deep ARRAY<STRUCT<a INT, b ARRAY<BIGINT>>>
);

-- ask nested: SELECT id FROM nested WHERE place['city'] = 'Bern'
INSERT INTO nested VALUES
    (1, named_struct('city', 'Bern', 'at', named_struct('lat', CAST(46.9 AS DOUBLE), 'lon', CAST(7.4 AS DOUBLE))), ['a', NULL, ''],
     MAP {'x': CAST(1.5 AS DECIMAL(10, 2)), 'y': CAST(2 AS DECIMAL(10, 2))}, [named_struct('a', CAST(1 AS INT), 'b', [CAST(1 AS BIGINT), 2])]),
    (2, NULL, NULL, NULL, NULL);

INSERT INTO nested (id, tags) VALUES (3, []);

UPDATE nested SET tags = ['new'] WHERE id = 3;

MERGE INTO nested AS n USING (VALUES (CAST(2 AS INT)), (9)) AS s (id) ON n.id = s.id
WHEN MATCHED THEN UPDATE SET place = named_struct('city', 'Chur', 'at', NULL)
WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);

DELETE FROM nested WHERE place IS NULL;
