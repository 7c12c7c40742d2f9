-- What the shop's tills and its web shop send, as it comes: all of it is text, and none of it is trusted.
CREATE OR REPLACE TABLE bronze.customers (
    customer_id VARCHAR,
    name VARCHAR,
    country VARCHAR
) COMMENT 'Customers as the shop tells them';

CREATE OR REPLACE TABLE bronze.orders (
    order_id VARCHAR,
    ordered_at VARCHAR,
    customer_id VARCHAR,
    category VARCHAR,
    quantity VARCHAR,
    unit_price VARCHAR,
    status VARCHAR,
    file VARCHAR COMMENT 'One a day; an order may come later, or again with another status',
    loaded_at TIMESTAMP
) COMMENT 'Lines of the files of orders, as they came';
