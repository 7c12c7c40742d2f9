//! A writer is killed before and after every request that a statement sends to the store: what comes after sees the table
//! as it was, or as the statement leaves it, whole, can write, and cleans up what the dead writer left.
//!
//! `kill.rs` tries the requests of one statement (the cases are below; `feed.rs` looks at what a change feed tells), `mart.rs`
//! those of a run of a mart, `export.rs` those of its delivery to destinations outside of the lake, `point.rs` ends a process at
//! every point of a run of marts and of its deliveries, by name, `begun.rs` tries those of a CREATE TABLE AS whose name nobody
//! takes again, `dropped.rs` those of one over a dropped table, `made.rs` those of one that is sent again with its key, `staged.rs` the files of a folder that are written half,
//! `storm.rs` long runs of statements whose requests fail at random, against a twin lake whose requests do not. Seeds are printed.
//! `BOATHOUSE_TEST_FAULTS=all` leaves out no request, `BOATHOUSE_TEST_STORMS=200` lets more storms come, `BOATHOUSE_TEST_SEED=7` begins with another seed.

mod begun;
mod chance;
mod dropped;
mod export;
mod feed;
mod kill;
mod made;
mod mart;
mod orphan;
mod place;
mod point;
mod staged;
mod storm;

use crate::kill::{Case, MOVE, check};

const MAKE: &str = "CREATE TABLE t AS SELECT value AS id, value * 10 AS x FROM generate_series(1, 5)";
const MAPPED: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')";
const VECTORS: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')";
const FEED: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')";
const WIDER: &str = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')";
const NARROW: &str = "CREATE TABLE t (id INT NOT NULL, x INT, home STRUCT<zip INT>)";
const ROWS: &str = "SELECT id, x FROM t ORDER BY id, x";
const TABLE: &str = "SHOW CREATE TABLE t; SELECT * FROM t ORDER BY 1, 2";
const WRITE: &str = "INSERT INTO t VALUES (1000, 1)";
/// On a table whose columns may have other names.
const ADD: &str = "INSERT INTO t (id) VALUES (1000)";
const OLD: &str = "CREATE OR REPLACE TABLE t PARTITIONED BY (day) AS
    SELECT id, x, DATE '2020-01-01' + CAST(id % 2 AS INT) AS day FROM t";
const POLICY: &str = "ALTER TABLE t SET TIER (cold_after = '90 days', on = day)";
const WRITE_OLD: &str = "INSERT INTO t VALUES (1000, 1, DATE '2020-01-01')";
const ANEW: &str = "CREATE OR REPLACE TABLE t AS SELECT 7 AS id, 8 AS x";
const MERGE: &str =
    "MERGE INTO t USING (SELECT * FROM (VALUES (1, 5), (2, 6), (77, 7)) AS v (id, x)) AS s ON t.id = s.id
    WHEN MATCHED AND s.id = 2 THEN DELETE WHEN MATCHED THEN UPDATE SET x = s.x
    WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, s.x)
    WHEN NOT MATCHED BY SOURCE AND t.id = 1000 THEN UPDATE SET x = 0";

macro_rules! cases {
    ($($name:ident: $before:expr, $statement:expr, $look:expr, $write:expr;)+) => {
        cases!(None; $($name: $before, $statement, $look, $write;)+);
    };
    ($fed_from:expr; $($name:ident: $before:expr, $statement:expr, $look:expr, $write:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let case = Case {
                name: stringify!($name),
                before: &$before,
                statement: $statement,
                look: $look,
                write: $write,
                fed_from: $fed_from,
            };
            check(case).await;
        })+
    };
}

cases!(
    insert: [MAKE], "INSERT INTO t VALUES (6, 60), (7, 70)", ROWS, WRITE;
    insert_what_it_reads: [MAKE], "INSERT INTO t SELECT id + 100, x FROM t", ROWS, WRITE;
    insert_with_evolution: [MAKE], "INSERT WITH SCHEMA EVOLUTION INTO t SELECT 8 AS id, 'new' AS y", TABLE, ADD;
    insert_with_numbers: ["CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY, x INT)", "INSERT INTO t (x) VALUES (1), (2)"],
        "INSERT INTO t (x) VALUES (3), (4)", "SELECT count(*), count(DISTINCT id) = count(*) FROM t",
        "INSERT INTO t (x) VALUES (5)";
    insert_that_tells_its_time: [MAKE, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')"],
        "INSERT INTO t VALUES (6, 60)", ROWS, WRITE;
    insert_overwrite: [MAKE], "INSERT OVERWRITE t VALUES (8, 80)", ROWS, WRITE;
    replace_where: [MAKE, WRITE], "INSERT INTO t REPLACE WHERE id > 3 VALUES (4, 1), (9, 2)", ROWS, WRITE;
    copy_from: [MAKE, "COPY (SELECT id + 10 AS id, x FROM t) TO 'memory:///files/rows.csv' (FORMAT csv, HEADER true)"],
        "COPY t FROM 'memory:///files/rows.csv' (HEADER true)", ROWS, WRITE;
    delete: [MAKE, WRITE], "DELETE FROM t WHERE id IN (2, 1000)", ROWS, WRITE;
    delete_with_vectors: [MAKE, VECTORS, WRITE], "DELETE FROM t WHERE id = 2", ROWS, WRITE;
    delete_behind_vectors: [MAKE, VECTORS, "DELETE FROM t WHERE id = 2"], "DELETE FROM t WHERE id = 3", ROWS, WRITE;
    update: [MAKE, WRITE], "UPDATE t SET x = x + 1 WHERE id > 3", ROWS, WRITE;
    update_with_vectors: [MAKE, VECTORS, WRITE], "UPDATE t SET x = x + 1 WHERE id > 3", ROWS, WRITE;
    merge: [MAKE, WRITE], MERGE, ROWS, WRITE;
    merge_with_vectors: [MAKE, VECTORS, WRITE], MERGE, ROWS, WRITE;
    merge_with_new_columns: [MAKE, WRITE],
        "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 2 AS id, 'two' AS name UNION ALL SELECT 8, 'eight') AS s ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *", "SELECT * FROM t ORDER BY id", ADD;
    truncate: [MAKE], "TRUNCATE TABLE t", ROWS, WRITE;
    optimize: [MAKE, WRITE, WRITE], "OPTIMIZE t", ROWS, WRITE;
    optimize_with_vectors: [MAKE, VECTORS, WRITE, "DELETE FROM t WHERE id = 2"], "OPTIMIZE t", ROWS, WRITE;
    zorder: [MAKE, WRITE], "OPTIMIZE t ZORDER BY (x)", ROWS, WRITE;
    vacuum: [MAKE, WRITE, WRITE, "OPTIMIZE t"], "VACUUM t RETAIN 0 HOURS", ROWS, WRITE;
    cold_move: [MAKE, OLD, POLICY, WRITE_OLD], MOVE, ROWS, WRITE_OLD;
    cold_move_with_vectors: [MAKE, OLD, VECTORS, MAPPED, POLICY, WRITE_OLD, "DELETE FROM t WHERE id = 2"], MOVE, ROWS, WRITE_OLD;
    restore: [MAKE, WRITE, "DELETE FROM t WHERE id = 1"], "RESTORE TABLE t TO VERSION AS OF 0", ROWS, WRITE;
    restore_vectors: [MAKE, VECTORS, "DELETE FROM t WHERE id = 1", "OPTIMIZE t"],
        "RESTORE TABLE t TO VERSION AS OF 2", ROWS, WRITE;
);

// The first version with changes is that of WRITE.
cases!(Some(2);
    delete_with_feed: [MAKE, FEED, WRITE], "DELETE FROM t WHERE id IN (2, 1000)", ROWS, WRITE;
    update_with_feed: [MAKE, FEED, WRITE], "UPDATE t SET x = x + 1 WHERE id > 3", ROWS, WRITE;
    merge_with_feed: [MAKE, FEED, WRITE], MERGE, ROWS, WRITE;
    overwrite_with_feed: [MAKE, FEED, WRITE], "INSERT OVERWRITE t VALUES (8, 80)", ROWS, WRITE;
);

cases!(Some(3);
    delete_with_feed_and_vectors: [MAKE, VECTORS, FEED, WRITE], "DELETE FROM t WHERE id = 2", ROWS, WRITE;
    update_with_feed_and_vectors: [MAKE, VECTORS, FEED, WRITE], "UPDATE t SET x = x + 1 WHERE id > 3", ROWS, WRITE;
    merge_with_feed_and_vectors: [MAKE, VECTORS, FEED, WRITE], MERGE, ROWS, WRITE;
);

cases!(
    create_table: [], "CREATE TABLE t (id BIGINT, x BIGINT)", TABLE, ANEW;
    create_table_as: [], MAKE, ROWS, ANEW;
    replace_table: [MAKE], "CREATE OR REPLACE TABLE t AS SELECT CAST(9 AS BIGINT) AS id, CAST(90 AS BIGINT) AS x", ROWS, WRITE;
    drop_table: [MAKE], "DROP TABLE t", ROWS, ANEW;
    drop_table_purge: [MAKE, WRITE], "DROP TABLE t PURGE", ROWS, ANEW;
    undrop_table: [MAKE, "DROP TABLE t"], "UNDROP TABLE t", ROWS, ANEW;
    purge_dropped_table: [MAKE, "DROP TABLE t"], "DROP TABLE IF EXISTS t PURGE", "SHOW DROPPED TABLES; SHOW TABLES", ANEW;
    create_over_dropped_table: [MAKE, "DROP TABLE t"], "CREATE TABLE t AS SELECT 3 AS id, 4 AS x", ROWS, ANEW;
    shallow_clone: [MAKE, WRITE], "CREATE TABLE c SHALLOW CLONE t", "SELECT * FROM c ORDER BY id",
        "CREATE OR REPLACE TABLE c AS SELECT 1 AS id";
    drop_clone: [MAKE, "CREATE TABLE c SHALLOW CLONE t"], "DROP TABLE c PURGE", "SELECT * FROM c ORDER BY id",
        "CREATE OR REPLACE TABLE c AS SELECT 1 AS id";
    rename_table: [MAKE], "ALTER TABLE t RENAME TO u", "SELECT id, x FROM u ORDER BY id",
        "CREATE OR REPLACE TABLE u AS SELECT CAST(7 AS BIGINT) AS id, CAST(8 AS BIGINT) AS x";
    rename_table_from: [MAKE], "ALTER TABLE t RENAME TO u", ROWS,
        "CREATE OR REPLACE TABLE t AS SELECT CAST(7 AS BIGINT) AS id, CAST(8 AS BIGINT) AS x";
    create_under_an_old_name: [MAKE, "ALTER TABLE t RENAME TO u"], MAKE, "SELECT t.id FROM t, u WHERE t.id = u.id ORDER BY t.id",
        "CREATE OR REPLACE TABLE t AS SELECT CAST(3 AS BIGINT) AS id";
    drop_renamed_table: [MAKE, "ALTER TABLE t RENAME TO u"], "DROP TABLE u", "SELECT id, x FROM u ORDER BY id",
        "CREATE OR REPLACE TABLE u AS SELECT 7 AS id, 8 AS x";
    create_schema: [], "CREATE SCHEMA s COMMENT 'new'", "SHOW SCHEMAS; SHOW TABLES IN s",
        "CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE s.u (a INT)";
    drop_schema: ["CREATE SCHEMA s", "CREATE TABLE s.u AS SELECT 1 AS a"], "DROP SCHEMA s CASCADE", "SELECT * FROM s.u",
        "CREATE SCHEMA IF NOT EXISTS s; CREATE OR REPLACE TABLE s.u AS SELECT 2 AS a";
    create_view: [MAKE], "CREATE VIEW v AS SELECT sum(x) AS x FROM t", "SELECT * FROM v",
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS x";
    replace_view: [MAKE, "CREATE VIEW v AS SELECT sum(x) AS x FROM t"], "CREATE OR REPLACE VIEW v AS SELECT 2 AS x",
        "SELECT * FROM v", "CREATE OR REPLACE VIEW v AS SELECT 1 AS x";
    drop_view: [MAKE, "CREATE VIEW v AS SELECT sum(x) AS x FROM t"], "DROP VIEW v", "SELECT * FROM v",
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS x";
);

cases!(
    add_column: [MAKE], "ALTER TABLE t ADD COLUMN y BIGINT DEFAULT 3 FIRST", TABLE, ADD;
    add_field: [NARROW], "ALTER TABLE t ADD COLUMN home.city VARCHAR", TABLE, ADD;
    drop_column: [MAKE, MAPPED], "ALTER TABLE t DROP COLUMN x", "SELECT * FROM t ORDER BY id", ADD;
    rename_column: [MAKE, MAPPED], "ALTER TABLE t RENAME COLUMN x TO y", TABLE, ADD;
    move_column: [MAKE], "ALTER TABLE t ALTER COLUMN x FIRST", TABLE, ADD;
    set_not_null: [MAKE], "ALTER TABLE t ALTER COLUMN id SET NOT NULL", TABLE, ADD;
    set_not_null_of_a_field: ["CREATE TABLE t (id INT, home STRUCT<zip INT> NOT NULL)"],
        "ALTER TABLE t ALTER COLUMN home.zip SET NOT NULL", "SHOW CREATE TABLE t; SELECT * FROM t ORDER BY id",
        "INSERT INTO t VALUES (1000, named_struct('zip', 1))";
    drop_not_null: [NARROW], "ALTER TABLE t ALTER COLUMN id DROP NOT NULL", TABLE, ADD;
    widen_column: [NARROW, WIDER, ADD], "ALTER TABLE t ALTER COLUMN x TYPE BIGINT", TABLE, ADD;
    set_default: [MAKE], "ALTER TABLE t ALTER COLUMN x SET DEFAULT 5", TABLE, ADD;
    drop_default: ["CREATE TABLE t (id INT, x INT DEFAULT 3)"], "ALTER TABLE t ALTER COLUMN x DROP DEFAULT", TABLE, ADD;
    comment_on_column: [MAKE], "COMMENT ON COLUMN t.x IS 'ten times as much'", TABLE, ADD;
    comment_on_table: [MAKE], "COMMENT ON TABLE t IS 'a table'", TABLE, ADD;
    add_constraint: [MAKE], "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)", TABLE, ADD;
    drop_constraint: [MAKE, "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)"],
        "ALTER TABLE t DROP CONSTRAINT positive", TABLE, ADD;
    map_columns: [MAKE], MAPPED, "SELECT * FROM t ORDER BY id; SHOW CREATE TABLE t", ADD;
    allow_vectors: [MAKE], VECTORS, TABLE, ADD;
    unset_property: [MAKE, "ALTER TABLE t SET TBLPROPERTIES ('owner' = 'x')"],
        "ALTER TABLE t UNSET TBLPROPERTIES ('owner')", TABLE, ADD;
);
