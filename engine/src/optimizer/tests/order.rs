//! Rows come in the order that was asked for, whether the files have it or a sort makes it: random tables, written in order
//! and changed afterwards.

use std::sync::Arc;

use super::{Random, rows};
use crate::{Engine, EngineConfig, Session};

const SEEDS: u64 = 16;
const CHANGES: usize = 4;
const ROWS: usize = 60;

/// Types of the column by which files may be sorted, and what makes a value of a number `n`.
const KINDS: [(&str, &str); 6] = [
    ("BIGINT", "n"),
    ("TINYINT", "n"),
    ("VARCHAR", "CONCAT('text ', CAST(n + 1000 AS VARCHAR))"),
    ("DATE", "DATE '2024-01-01' + CAST(n AS INT)"),
    ("DECIMAL(12, 2)", "n * 1.25"),
    ("TIMESTAMP", "n * 1000001"),
];

/// A table `t` of `id`, `k` and `n`, on which `k` depends. Half of the time the numbers rise from one write to the next.
async fn fill(random: &mut Random, session: &Arc<Session>) -> String {
    let (kind, key) = KINDS[random.below(KINDS.len())];
    let vectors = random.pick(&["true", "false"]);
    let create = format!(
        "CREATE OR REPLACE TABLE t (id BIGINT, k {kind}, n BIGINT) \
         TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}')"
    );
    let mut statements = vec![create];
    let rises = random.below(2) == 0;
    for at in 0..CHANGES {
        let (low, high) = (at * ROWS / 2, at * ROWS / 2 + ROWS / 2 - 1);
        let number = match random.below(3) {
            _ if rises => "id".to_owned(),
            0 => format!("id % {}", 1 + random.below(40)),
            1 => "100 - id".to_owned(),
            _ => format!("CASE WHEN id % {} = 0 THEN NULL ELSE id * 37 % 61 END", 2 + random.below(20)),
        };
        let ids = format!("(SELECT value AS id FROM generate_series({low}, {high}))");
        let numbers = format!("(SELECT id, {number} AS n FROM {ids})");
        let insert = format!("INSERT INTO t SELECT id, CAST({key} AS {kind}) AS k, n FROM {numbers} ORDER BY k");
        statements.push(match random.below(12) {
            0..8 => insert,
            8 => format!("{insert} DESC"),
            9 => format!("{insert} NULLS FIRST"),
            10 => format!("DELETE FROM t WHERE id % {} = 1", 2 + random.below(9)),
            _ => format!("UPDATE t SET k = (SELECT max(k) FROM t) WHERE id % {} = 2", 3 + random.below(9)),
        });
        if !rises && random.below(3) == 0 {
            statements.push("OPTIMIZE t ZORDER BY (k)".to_owned());
        }
        if random.below(4) == 0 {
            statements.push(format!("DELETE FROM t WHERE id % {} = 3", 4 + random.below(9)));
        }
    }
    for statement in &statements {
        session.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    statements.join("\n")
}

/// Rows in rising order with NULL last are those in falling order with NULL first, the other way round. No file is sorted so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_files_have_is_the_order_that_was_asked_for() {
    let config = EngineConfig { memory_bytes_max: 64 << 20, threads: 2, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    let mut spared = 0;
    for seed in 1..=SEEDS {
        let mut random = Random(seed * 0x9E37_79B9);
        let history = fill(&mut random, &session).await;
        for filter in ["", "WHERE id % 3 <> 0", "WHERE n > 20", "WHERE k IS NOT NULL"] {
            let mut expected = rows(&session, &format!("SELECT k FROM t {filter} ORDER BY k DESC")).await;
            expected.reverse();
            let numbered = format!("SELECT k, row_number() OVER (ORDER BY k) AS r FROM t {filter}");
            for (sql, expected) in [
                (format!("SELECT k FROM t {filter} ORDER BY k"), &expected[..]),
                (format!("SELECT k FROM t {filter} ORDER BY k LIMIT 7"), &expected[..expected.len().min(7)]),
                (format!("SELECT k FROM ({numbered}) ORDER BY r"), &expected[..]),
                (format!("SELECT k FROM t {filter} ORDER BY k, id + n"), &expected[..]),
            ] {
                let plan = rows(&session, &format!("EXPLAIN {sql}")).await.join("\n");
                spared += usize::from(!plan.contains("SortExec") && plan.contains("output_ordering"));
                assert_eq!(rows(&session, &sql).await, expected, "seed {seed}: {sql}\n{history}\n{plan}");
            }
        }
    }
    assert!(spared > 50, "only {spared} sorts were spared");
}

/// Texts are made to fit the table by another step, for which the library deals the rows out to all processors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_ends_with_order_by_fills_files_in_that_order() {
    let config = EngineConfig { memory_bytes_max: 64 << 20, threads: 2, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    let made = "SELECT value * 37 % 50021 AS k, CONCAT('text ', CAST(value AS VARCHAR)) AS name \
                FROM generate_series(1, 50020) ORDER BY";
    for statements in [
        [format!("CREATE TABLE a AS {made} k"), "SELECT 1".to_owned()],
        ["CREATE TABLE b (k BIGINT, name VARCHAR, more INT)".to_owned(), format!("INSERT INTO b (k, name) {made} k")],
        [format!("CREATE TABLE c AS {made} name"), "SELECT 1".to_owned()],
    ] {
        for statement in &statements {
            session.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    for (table, column) in [("a", "k"), ("b", "k"), ("c", "name")] {
        let sql = format!("SELECT {column} FROM {table} ORDER BY {column}");
        let plan = rows(&session, &format!("EXPLAIN {sql}")).await.join("\n");
        assert!(!plan.contains("SortExec"), "{table}\n{plan}");
        let found = rows(&session, &sql).await;
        assert_eq!(found.len(), 50_020);
    }
}

/// Groups of a table whose files are in the order of their first column are ended one by one, with the same result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_ordered_files_are_those_of_others() {
    let config = EngineConfig { memory_bytes_max: 64 << 20, threads: 2, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    let made = "SELECT value / 7 AS k, value % 5 AS part, CASE value % 11 WHEN 0 THEN NULL ELSE value END AS n \
                FROM generate_series";
    for statement in [
        "CREATE TABLE sorted (k BIGINT, part BIGINT, n BIGINT) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
            .to_owned(),
        format!("INSERT INTO sorted {made}(0, 30000) ORDER BY k"),
        format!("INSERT INTO sorted {made}(30001, 60000) ORDER BY k"),
        "DELETE FROM sorted WHERE n % 13 = 5".to_owned(),
        "CREATE TABLE mixed AS SELECT * FROM sorted ORDER BY n % 101".to_owned(),
    ] {
        session.execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let mut ordered = 0;
    for (select, filter, by) in [
        ("k, count(*), sum(n), min(part)", "", "k"),
        ("k, part, count(n), max(n)", "", "k, part"),
        ("part, k, avg(n)", "WHERE n % 3 = 0", "part, k"),
        ("k, count(DISTINCT part)", "WHERE k > 100", "k"),
        ("k + 1, sum(n)", "", "k + 1"),
        ("part, sum(n)", "", "part"),
    ] {
        let sql = |table: &str| format!("SELECT {select} FROM {table} {filter} GROUP BY {by}");
        let (mut found, mut expected) = (rows(&session, &sql("sorted")).await, rows(&session, &sql("mixed")).await);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}", sql("sorted"));
        let plan = rows(&session, &format!("EXPLAIN {}", sql("sorted"))).await.join("\n");
        ordered += usize::from(plan.contains("ordering_mode"));
        assert!(!plan.contains("SortExec") && !plan.contains("SortPreservingMerge"), "{plan}");
    }
    assert!(ordered >= 3, "{ordered} of them were ended in order");
}
