//! Marts whose runs look at changed rows against their queries: after any changes of what they read, the rows of a mart are
//! those of its query.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_engine::{Outcome, Session};
use boathouse_tests::TestLake;

use crate::chance::{Chance, seeds};

const LAKES: u64 = 4;
const ROUNDS: usize = 6;

/// Numbers are such that no sum depends on the order of its values.
const MARTS: [(&str, &str); 18] = [
    ("rows", "SELECT id, k, x + 1 AS x, y FROM f WHERE x IS DISTINCT FROM 3"),
    ("both", "SELECT id, n FROM f WHERE k = 'a' UNION ALL SELECT -id, NULL FROM g UNION ALL SELECT 0, 7"),
    ("joined", "SELECT f.id, d.name FROM f JOIN d ON f.x = d.x WHERE d.name <> 'x1'"),
    ("outer", "SELECT f.id, d.name FROM f LEFT JOIN d ON f.x = d.x"),
    ("known", "SELECT id, k FROM f WHERE x IN (SELECT x FROM d)"),
    ("sums", "SELECT k, count(*) AS rows, count(x) AS known, sum(n) AS n FROM f GROUP BY k"),
    ("two_keys", "SELECT sum(n) AS n, k, x % 3 AS r, count(*) AS rows FROM f GROUP BY k, r"),
    ("extremes", "SELECT k, min(x) AS least, max(n) AS most, sum(x) AS x FROM f GROUP BY k"),
    ("means", "SELECT k, avg(y) AS y, count(DISTINCT x) AS kinds FROM f GROUP BY k"),
    (
        "having",
        "SELECT k, r, n * 2 AS n FROM (SELECT k, x % 4 AS r, sum(n) AS n, count(*) AS c FROM f GROUP BY 1, 2) AS s WHERE c > 1",
    ),
    ("names", "SELECT d.name, count(*) AS rows, sum(f.n) AS n FROM f LEFT JOIN d ON f.x = d.x GROUP BY d.name"),
    ("by_join", "SELECT f.k, avg(f.x + d.w) AS v FROM f JOIN d ON f.x = d.x GROUP BY f.k"),
    ("pairs", "SELECT f.k, g.k AS other, count(*) AS rows, sum(f.n) AS n FROM f JOIN g ON f.x = g.x GROUP BY f.k, g.k"),
    ("three", "SELECT f.k, avg(g.x) AS x FROM f JOIN g ON f.x = g.x JOIN d ON d.x = g.x AND d.w >= f.x GROUP BY f.k"),
    ("kinds", "SELECT DISTINCT k, x IS NULL AS none FROM f"),
    ("united", "SELECT k, count(*) AS rows FROM (SELECT k FROM f UNION ALL SELECT k FROM g) AS b GROUP BY k"),
    ("ranked", "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS place FROM f"),
    ("total", "SELECT count(*) AS rows, sum(n) AS n FROM f"),
];

struct Marts {
    _lake: TestLake,
    session: Arc<Session>,
    /// The next value of `id`.
    next: i64,
}

impl Marts {
    async fn new(chance: &mut Chance) -> Self {
        let lake = TestLake::memory().await;
        let session = lake.engine().session();
        let mut marts = Self { _lake: lake, session, next: 0 };
        marts.run("CREATE TABLE d (x BIGINT, w BIGINT, name VARCHAR)").await;
        marts.run("INSERT INTO d SELECT value, value * 4, 'x' || (value % 3) FROM generate_series(0, 4)").await;
        for table in ["f", "g"] {
            let partitioned = if chance.once_in(3) { " PARTITIONED BY (k)" } else { "" };
            let columns = "id BIGINT NOT NULL, k VARCHAR, x BIGINT, n DECIMAL(12, 2) NOT NULL, y DOUBLE";
            marts.run(&format!("CREATE TABLE {table} ({columns}){partitioned}")).await;
            for property in ["delta.enableChangeDataFeed", "delta.enableDeletionVectors"] {
                let on = chance.once_in(2);
                marts.run(&format!("ALTER TABLE {table} SET TBLPROPERTIES ('{property}' = '{on}')")).await;
            }
            let rows = marts.rows_to_add(chance, 12);
            marts.run(&format!("INSERT INTO {table} {rows}")).await;
        }
        marts.run("CREATE SCHEMA m").await;
        for (name, query) in MARTS {
            marts.run(&format!("CREATE MART m.{name} AS {query}")).await;
        }
        marts
    }

    async fn run(&self, sql: &str) {
        self.session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The rows as lines of text, sorted.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let outcome = self.session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let Outcome::Rows(rows) = outcome else { panic!("no rows: {sql}") };
        crate::table::lines(&rows.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}")))
    }

    fn rows_to_add(&mut self, chance: &mut Chance, most: usize) -> String {
        let rows: Vec<String> = (0..=chance.below(most))
            .map(|_| {
                self.next += 1;
                let k = chance.pick(&["NULL", "'a'", "'b'", "'c'", "'d'"]);
                let x = chance.pick(&["NULL", "0", "1", "2", "3", "4", "9"]);
                let (n, y) = (chance.within(-900..=900), chance.within(-40..=40));
                let y = if chance.once_in(4) { "NULL".to_owned() } else { format!("{y} * 0.25") };
                format!("({}, {k}, {x}, {n} * 0.01, {y})", self.next)
            })
            .collect();
        format!("VALUES {}", rows.join(", "))
    }

    fn condition(&self, chance: &mut Chance) -> String {
        match chance.below(5) {
            0 => format!("id % 5 = {}", chance.below(5)),
            1 => format!("k IS NOT DISTINCT FROM {}", chance.pick(&["NULL", "'a'", "'b'", "'c'"])),
            2 => format!("x = {}", chance.below(5)),
            3 => "k IS NULL AND x IS NULL".to_owned(),
            _ => format!("id = {}", chance.within(1..=self.next)),
        }
    }

    /// A statement that changes rows of what marts read, or only files, or nothing.
    fn change(&mut self, chance: &mut Chance) -> String {
        let table = *chance.pick(&["f", "f", "f", "g"]);
        let condition = self.condition(chance);
        match chance.below(16) {
            0..5 => format!("INSERT INTO {table} {}", self.rows_to_add(chance, 5)),
            5..7 => format!("DELETE FROM {table} WHERE {condition}"),
            7 => format!("UPDATE {table} SET k = {} WHERE {condition}", chance.pick(&["NULL", "'a'", "'e'"])),
            8 => format!("UPDATE {table} SET n = n + 1, x = x + 1, y = y - 0.5 WHERE {condition}"),
            9 => format!(
                "MERGE INTO {table} AS t USING (SELECT id + 1 AS id, max(k) AS k, max(x) AS x, max(n) AS n, max(y) AS y \
                 FROM f WHERE {condition} GROUP BY id) AS s ON t.id = s.id \
                 WHEN MATCHED AND s.x = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET n = s.n, k = s.k \
                 WHEN NOT MATCHED THEN INSERT (id, k, x, n, y) VALUES (s.id, s.k, s.x, s.n, s.y)"
            ),
            10 => format!("OPTIMIZE {table}"),
            11 => format!("INSERT OVERWRITE {table} SELECT id, k, x, n, y FROM {table} WHERE id % 7 <> 3"),
            12 => format!("RESTORE TABLE {table} TO VERSION AS OF 3"),
            13 => format!("UPDATE d SET w = w + 1, name = 'y' WHERE x = {}", chance.below(5)),
            14 => format!("INSERT INTO d VALUES ({}, 1, 'x{}')", chance.below(5), chance.below(3)),
            _ => format!("TRUNCATE TABLE {table}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_mart_are_those_of_its_query_whatever_changed() {
    let mut ways: BTreeMap<String, usize> = BTreeMap::new();
    for seed in seeds(LAKES) {
        let mut chance = Chance::new(seed.wrapping_add(9000));
        let mut marts = Marts::new(&mut chance).await;
        let mut done = Vec::new();
        for _ in 0..ROUNDS {
            for (name, query) in MARTS {
                // Some wait for more changes.
                if chance.once_in(4) {
                    continue;
                }
                let told = marts.rows(&format!("EXPLAIN MART m.{name}")).await;
                let way = |line: &String| Some(line.strip_prefix("\"way\" ")?.trim_matches('"').to_owned());
                let way = told.iter().find_map(way).unwrap_or_else(|| panic!("{told:?}"));
                *ways.entry(way.clone()).or_default() += 1;
                marts.run(&format!("REFRESH MART m.{name}")).await;
                let [found, expected] = [marts.rows(&format!("SELECT * FROM m.{name}")).await, marts.rows(query).await];
                assert!(
                    found == expected,
                    "seed {seed}: {name}, {way}\n{query}\nfound {found:#?}\nexpected {expected:#?}\n{told:#?}\n{done:#?}"
                );
                done.push(format!("REFRESH MART m.{name}"));
            }
            // Sometimes only files change.
            let only_files = chance.once_in(3).then(|| "OPTIMIZE f".to_owned());
            let changes = if only_files.is_some() { 0 } else { chance.below(3) };
            for _ in 0..=changes {
                let sql = only_files.clone().unwrap_or_else(|| marts.change(&mut chance));
                marts.run(&sql).await;
                done.push(sql);
            }
        }
    }
    println!("{ways:?}");
    for way in ["append", "merge", "groups", "nothing to do", "full", "skipped"] {
        assert!(ways.get(way).is_some_and(|times| *times > 2), "{way} is rare: {ways:?}");
    }
}
