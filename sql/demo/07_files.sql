-- Results go out as files ...
COPY (
    SELECT nation, sum(revenue) AS revenue
    FROM revenue_by_nation
    GROUP BY nation
) TO './boathouse-demo-files/revenue.csv' (FORMAT csv, HEADER true);

-- ... files are read where they lie ...
SELECT * FROM './boathouse-demo-files/revenue.csv' ORDER BY revenue DESC LIMIT 3;

-- ... and loaded into a table, in one commit.
CREATE OR REPLACE TABLE revenue_import (nation VARCHAR NOT NULL, revenue DECIMAL(38, 4));

COPY revenue_import FROM './boathouse-demo-files/revenue.csv' (FORMAT csv, HEADER true);

SELECT count(*) AS nations, max(revenue) AS best FROM revenue_import;
