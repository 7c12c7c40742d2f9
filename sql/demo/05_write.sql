-- A table from a query, in one commit: readers see all of it or nothing.
CREATE OR REPLACE TABLE late_lines PARTITIONED BY (year) AS
SELECT
    l_orderkey AS order_key,
    l_linenumber AS line,
    l_receiptdate - l_commitdate AS days_late,
    l_shipyear AS year
FROM lineitem
WHERE l_receiptdate > l_commitdate + INTERVAL '80' DAY;

-- A table of our own. Its columns are checked on every write.
CREATE OR REPLACE TABLE shipment_note (
    order_key BIGINT NOT NULL,
    note VARCHAR NOT NULL COMMENT 'what the customer was told',
    written TIMESTAMP
) COMMENT 'notes on late shipments';

-- A column that is not named becomes NULL.
INSERT INTO shipment_note (note, order_key) VALUES
    ('the ship is in the harbour', 1),
    ('the harbour is frozen', 7);

INSERT INTO shipment_note
SELECT order_key, 'sorry: ' || days_late || ' days late', TIMESTAMP '1998-12-31 12:00:00'
FROM late_lines
ORDER BY days_late DESC, order_key
LIMIT 3;

SELECT * FROM shipment_note ORDER BY order_key, note;

-- Three commits so far; each is a version.
DESCRIBE DETAIL shipment_note;
