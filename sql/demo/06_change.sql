-- Rows change in place. Each statement is one commit: readers see the table before it or after it.
UPDATE shipment_note SET note = 'the harbour is free again', written = TIMESTAMP '1999-01-02 09:00:00' WHERE order_key = 7;

-- MERGE brings a table up to date from a query: what is there is changed, what is new is added.
MERGE INTO shipment_note AS n
USING (
    SELECT order_key, max(days_late) AS days
    FROM late_lines
    GROUP BY order_key
    ORDER BY days DESC, order_key
    LIMIT 5
) AS late
ON n.order_key = late.order_key
WHEN MATCHED THEN UPDATE SET note = 'a voucher for ' || late.days || ' days'
WHEN NOT MATCHED THEN INSERT (order_key, note) VALUES (late.order_key, 'sorry: ' || late.days || ' days late');

DELETE FROM shipment_note WHERE note LIKE 'the ship %';

SELECT * FROM shipment_note ORDER BY order_key, note;

-- Nothing of it is forgotten: who changed what, and how many rows.
DESCRIBE HISTORY shipment_note LIMIT 4;
