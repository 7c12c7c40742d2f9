//! Filters found while running must never change the rows: random joins of tables whose columns have the same names,
//! with and without these filters, as hints for reading and applied to every row.

mod order;
mod shared;

use std::sync::Arc;

use datafusion::arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{Engine, EngineConfig, Outcome, Session};

const SEEDS: u64 = 8;
const QUERIES_PER_SEED: usize = 5;

/// Each with the same columns: `id, k, v` whole numbers, `s` text, `f` floating point numbers; many NULLs.
const TABLES: [&str; 4] = ["t", "u", "w", "none"];
const COLUMNS: [&str; 5] = ["id", "k", "v", "s", "f"];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

async fn engine() -> Arc<Engine> {
    let config = EngineConfig { memory_bytes_max: 64 << 20, threads: 2, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    for (at, table) in TABLES.iter().enumerate() {
        let partitions = if *table == "w" { "PARTITIONED BY (k)" } else { "" };
        let create = format!("CREATE TABLE {table} (id BIGINT, k BIGINT, v BIGINT, s VARCHAR, f DOUBLE) {partitions}");
        session.execute(&create).await.unwrap();
        for part in 0..if *table == "none" { 0 } else { 3 } {
            let (low, high) = (part * 7, part * 7 + 6);
            let fill = format!(
                "INSERT INTO {table} SELECT value, CASE value % 5 WHEN 0 THEN NULL ELSE (value + {at}) % 4 END, \
                 20 - value, CASE WHEN value % 6 = {at} THEN NULL ELSE CONCAT('s', (value / 3) % 5) END, \
                 CASE value % 7 WHEN 3 THEN NULL WHEN 5 THEN CAST('NaN' AS DOUBLE) ELSE CAST(value % 4 AS DOUBLE) END \
                 FROM generate_series({low}, {high})"
            );
            session.execute(&fill).await.unwrap();
        }
    }
    engine
}

/// A relation with columns `id, k, v, s, f`: a table, a filtered table, a join, a group or a union.
fn relation(random: &mut Random, depth: usize) -> String {
    let kind = if depth == 0 { random.below(2) } else { 2 + random.below(4) };
    match kind {
        0 => random.pick(&TABLES[..3]).to_owned(),
        1 => format!(
            "(SELECT * FROM {} WHERE {} < {})",
            random.pick(&TABLES),
            random.pick(&["id", "v"]),
            random.below(20)
        ),
        2 | 3 => {
            let join = join(random, depth);
            // Columns of both sides change their names: what was `k` may be called `v`.
            let columns: Vec<String> = ["id", "k", "v"]
                .iter()
                .map(|name| format!("{}.{} AS {name}", random.pick(&["l", "r"]), random.pick(&["id", "k", "v"])))
                .collect();
            format!("(SELECT {}, l.s AS s, r.f AS f FROM {join})", columns.join(", "))
        }
        4 => {
            let inner = relation(random, depth - 1);
            format!("(SELECT id, v AS k, max(k) AS v, s, max(f) AS f FROM {inner} AS g GROUP BY id, v, s)")
        }
        _ => {
            let (upper, lower) = (relation(random, depth - 1), relation(random, depth - 1));
            format!("(SELECT id, k, v, s, f FROM {upper} AS x UNION ALL SELECT k, id, v, s, f FROM {lower} AS y)")
        }
    }
}

fn join(random: &mut Random, depth: usize) -> String {
    let (left, right) = (relation(random, depth - 1), relation(random, depth - 1));
    format!("{left} AS l {} {right} AS r ON {}", kind(random), condition(random, "l", "r"))
}

/// Three relations side by side, so that every name is there three times.
fn chain(random: &mut Random) -> String {
    let [left, middle, right] = [0, 1, 0].map(|depth| relation(random, depth));
    let (first, second) = (condition(random, "l", "m"), random.pick(&["l", "m", "m"]));
    let second = condition(random, second, "r");
    format!("{left} AS l {} {middle} AS m ON {first} {} {right} AS r ON {second}", kind(random), kind(random))
}

fn kind(random: &mut Random) -> &'static str {
    ["JOIN", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"][random.below(6)]
}

fn condition(random: &mut Random, l: &str, r: &str) -> String {
    let keys = ["id", "k", "v"];
    let equal = random.pick(&["=", "=", "=", "IS NOT DISTINCT FROM"]);
    let mut key = || random.pick(&keys).to_owned();
    let (a, b, c, d) = (key(), key(), key(), key());
    match random.below(8) {
        0 => format!("{l}.s = {r}.s AND {l}.id = {r}.id"),
        1 => format!("{l}.f = {r}.f AND {l}.id = {r}.v"),
        2 => format!("{l}.{a} = {r}.{b} AND {l}.{c} {equal} {r}.{d}"),
        3 => format!("{l}.{a} = {r}.{b} AND {l}.v < {r}.v + 3"),
        _ => format!("{l}.{a} {equal} {r}.{b}"),
    }
}

fn query(random: &mut Random) -> String {
    let (from, sides) = match random.below(3) {
        0 => (join(random, 2), vec!["l", "r"]),
        _ => (chain(random), vec!["l", "m", "r"]),
    };
    let filter = match random.below(5) {
        0 => {
            let (side, key, other) = (random.pick(&sides), random.pick(&["id", "k"]), random.pick(&["id", "v"]));
            format!(
                " WHERE {side}.{key} {}IN (SELECT {other} FROM {})",
                random.pick(&["", "NOT "]),
                random.pick(&TABLES)
            )
        }
        1 => format!(" WHERE {}EXISTS (SELECT 1 FROM t AS q WHERE q.k = r.id)", random.pick(&["", "NOT "])),
        2 => " WHERE l.k IS NULL OR r.v > 3".to_owned(),
        _ => String::new(),
    };
    // Columns of all sides come under one name; the order is total, so that a LIMIT has one answer.
    let columns: Vec<String> =
        COLUMNS.iter().flat_map(|name| sides.iter().map(move |side| format!("{side}.{name}"))).collect();
    let columns = columns.join(", ");
    let first = format!("{}.{}", random.pick(&sides), random.pick(&COLUMNS));
    let direction = random.pick(&["ASC", "DESC", "ASC NULLS FIRST", "DESC NULLS LAST"]);
    let limit = if random.below(2) == 0 { format!(" LIMIT {}", 1 + random.below(6)) } else { String::new() };
    format!("SELECT {columns} FROM {from}{filter} ORDER BY {first} {direction}, {columns}{limit}")
}

async fn rows(session: &Arc<Session>, sql: &str) -> Vec<String> {
    let Outcome::Rows(rows) = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error:?}")) else {
        panic!("{sql} has no rows")
    };
    let batches = rows.collect().await.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    batches.iter().flat_map(lines).collect()
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_found_while_running_never_change_the_rows() {
    let engine = engine().await;
    let (plain, hints, strict) = (engine.session(), engine.session(), engine.session());
    plain.execute("SET dynamic_filters = false").await.unwrap();
    strict.execute("SET parquet_pushdown_filters = true").await.unwrap();
    let mut filtered = 0;
    for seed in 1..=SEEDS {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..QUERIES_PER_SEED {
            let sql = query(&mut random);
            let expected = rows(&plain, &sql).await;
            assert_eq!(rows(&hints, &sql).await, expected, "seed {seed}, as hints\n{sql}");
            assert_eq!(rows(&strict, &sql).await, expected, "seed {seed}, applied to every row\n{sql}");
            let plan = rows(&hints, &format!("EXPLAIN {sql}")).await.join("\n");
            filtered += usize::from(plan.contains("DynamicFilter"));
        }
    }
    assert!(filtered > QUERIES_PER_SEED * SEEDS as usize / 2, "only {filtered} plans had such a filter");
}

/// A column with one value below an outer join has two above it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_by_keeps_a_column_that_an_outer_join_fills_with_null() {
    let engine = engine().await;
    let session = engine.session();
    let one = "(SELECT * FROM t WHERE id = 3)";
    let constant = "(SELECT id, k, 7 AS v FROM t WHERE id < 4)";
    for sql in [
        format!("SELECT r.id FROM t AS l LEFT JOIN {one} AS r ON l.k = r.k ORDER BY r.id, l.id"),
        format!("SELECT r.id FROM t AS l LEFT JOIN {one} AS r ON l.k < r.k ORDER BY r.id, l.id"),
        format!("SELECT l.id FROM {one} AS l RIGHT JOIN t AS r ON l.k = r.k ORDER BY l.id, r.id"),
        format!("SELECT r.id FROM t AS l FULL JOIN {one} AS r ON l.k = r.k ORDER BY r.id, l.id"),
        format!("SELECT r.v FROM t AS l LEFT JOIN {constant} AS r ON l.id = r.id ORDER BY r.v, l.id DESC"),
        format!("SELECT r.id FROM t AS l LEFT JOIN {one} AS r ON l.k = r.k ORDER BY r.id, l.id LIMIT 2"),
    ] {
        let found = rows(&session, &sql).await;
        let nulls = found.iter().filter(|row| *row == "NULL").count();
        assert!(found[0] != "NULL" && found[found.len() - nulls..].iter().all(|row| row == "NULL"), "{sql}\n{found:?}");
        assert_eq!(nulls == 0, sql.contains("LIMIT"), "{sql}\n{found:?}");
    }
}

/// The queries of the reports to DataFusion, one for each kind of operator that looked for names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operator_finds_columns_by_their_place() {
    let config = EngineConfig { memory_bytes_max: 64 << 20, threads: 2, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let session = engine.session();
    for statement in [
        "CREATE TABLE a (id VARCHAR, ty VARCHAR)",
        "INSERT INTO a VALUES ('a1', 'x1')",
        "CREATE TABLE b (id VARCHAR)",
        "INSERT INTO b VALUES ('x1')",
        "CREATE TABLE orders (id BIGINT, amount BIGINT)",
        "INSERT INTO orders VALUES (1, 100), (2, 200)",
        "INSERT INTO orders VALUES (3, 300), (4, 400)",
        "CREATE TABLE payments (id BIGINT, amount BIGINT)",
        "INSERT INTO payments VALUES (1, 30), (2, 40)",
        "INSERT INTO payments VALUES (3, 10), (4, 20)",
        "CREATE TABLE customers (id BIGINT)",
        "INSERT INTO customers VALUES (1), (2), (3), (4)",
        "SET join_reordering = false",
        "SET parquet_pushdown_filters = true",
    ] {
        session.execute(statement).await.unwrap();
    }
    for (operator, sql, expected) in [
        (
            "HashJoinExec",
            "SELECT s.id, a.id, b.id FROM b AS s JOIN (SELECT a.id, b.id FROM a JOIN b ON a.ty = b.id) AS j (aid, bid) \
             ON s.id = j.bid JOIN a ON a.id = j.aid JOIN b ON b.id = a.ty",
            "x1 a1 x1",
        ),
        (
            "FilterExec",
            "SELECT s.id, j.aid, j.bid FROM b AS s JOIN (SELECT a.id, b.id FROM a LEFT JOIN b ON a.ty = b.id \
             WHERE coalesce(b.id, a.ty) <> 'q') AS j (aid, bid) ON s.id = j.bid",
            "x1 a1 x1",
        ),
        (
            "ProjectionExec",
            "SELECT s.id, j.aid, j.bid, j.tag FROM a AS s JOIN (SELECT a.id, b.id, concat(a.ty, '!') FROM a JOIN b \
             ON a.ty = b.id) AS j (aid, bid, tag) ON s.id = j.aid",
            "a1 a1 x1 x1!",
        ),
        (
            "AggregateExec",
            "SELECT s.id, j.aid, j.bid FROM b AS s JOIN (SELECT a.id, b.id FROM a LEFT JOIN b ON a.ty = b.id \
             GROUP BY a.id, b.id) AS j (aid, bid) ON s.id = j.bid",
            "x1 a1 x1",
        ),
        (
            "SortExec",
            "SELECT o.amount, p.amount FROM orders o JOIN payments p ON o.id = p.id JOIN customers c ON p.id = c.id \
             ORDER BY p.amount LIMIT 1",
            "300 10",
        ),
    ] {
        let plan = rows(&session, &format!("EXPLAIN {sql}")).await.join("\n");
        assert!(plan.contains(operator) && plan.contains("DynamicFilter"), "{plan}");
        assert_eq!(rows(&session, sql).await, [expected], "{operator}\n{plan}");
    }
}

/// With the other side filtered, only those groups are made that the join can want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_side_is_read_before_an_aggregation_by_its_keys() {
    let engine = engine().await;
    let session = engine.session();
    let grouped = "(SELECT id, max(v) AS top FROM t GROUP BY id)";
    let sql = |left: &str, right: &str| format!("SELECT r.*, l.top FROM {left} AS l JOIN {right} AS r ON l.id = r.id");
    let filtered = sql(grouped, "(SELECT * FROM u WHERE v < 19)");
    let plan = rows(&session, &format!("EXPLAIN {filtered}")).await.join("\n");
    let at = |part: &str| plan.find(part).unwrap_or_else(|| panic!("no {part} in\n{plan}"));
    assert!(at("HashJoinExec") < at("FilterExec") && at("FilterExec") < at("AggregateExec"), "{plan}");
    let below = plan.get(at("AggregateExec")..).unwrap_or_default();
    assert!(below.contains("RuntimeFilterExec"), "{plan}");
    let mut found = rows(&session, &filtered).await;
    session.execute("SET dynamic_filters = false").await.unwrap();
    session.execute("SET join_reordering = false").await.unwrap();
    let mut expected = rows(&session, &filtered).await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    session.execute("RESET dynamic_filters").await.unwrap();
    session.execute("RESET join_reordering").await.unwrap();
    // Every group is wanted, or few have been found already: the smaller side is built as ever.
    for (left, right) in [(grouped, "u"), ("(SELECT id, max(v) AS top FROM t GROUP BY id HAVING max(v) > 15)", "u")] {
        let plan = rows(&session, &format!("EXPLAIN {}", sql(left, right))).await.join("\n");
        assert!(plan.find("AggregateExec") < plan.find("main/u/"), "{plan}");
    }
}

/// To look up two columns together costs more than to compare one with a number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_several_columns_stands_behind_a_cheap_filter() {
    let engine = engine().await;
    let session = engine.session();
    session.execute("SET parquet_pushdown_filters = false").await.unwrap();
    for (keys, filter, behind) in [
        ("l.k = r.k AND l.v = r.v", "v < 12", true),
        ("l.k = r.k AND l.v = r.v", "v < 12 AND s LIKE '%1'", false),
        ("l.k = r.k", "v < 12", false),
    ] {
        let sql = format!(
            "SELECT l.id, r.id FROM (SELECT * FROM t WHERE id < 9) AS l \
             JOIN (SELECT * FROM w WHERE {filter}) AS r ON {keys} ORDER BY l.id, r.id"
        );
        let plan = rows(&session, &format!("EXPLAIN {sql}")).await.join("\n");
        let (test, plain) = (plan.rfind("RuntimeFilterExec"), plan.rfind("FilterExec: v@"));
        assert!(test.is_some() && plain.is_some(), "{sql}\n{plan}");
        assert_eq!(test < plain, behind, "{sql}\n{plan}");
    }
}
