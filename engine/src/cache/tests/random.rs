//! Random statements: a session with the caches on against an engine without any, over the same folder.

use super::*;

/// A small generator of numbers, so that a seed tells all.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

const NAMES: [&str; 4] = ["t", "s.t", "u", "v"];

fn query(numbers: &mut Numbers) -> String {
    let (one, two) = (numbers.pick(&NAMES), numbers.pick(&NAMES));
    let limit = numbers.below(3);
    match numbers.below(6) {
        0 => format!("SELECT a, b FROM {one} ORDER BY a, b"),
        1 => format!("SELECT count(*), sum(a), max(b) FROM {one} WHERE a > {limit}"),
        2 => format!("SELECT x.a, count(*) FROM {one} x JOIN {two} y ON x.a = y.a GROUP BY x.a ORDER BY x.a"),
        3 => format!("SELECT a FROM {one} WHERE b IN (SELECT b FROM {two} WHERE a > {limit}) ORDER BY a"),
        4 => format!("SELECT a, b FROM {one} UNION ALL SELECT a, b FROM {two} ORDER BY a, b"),
        _ => format!("EXECUTE p{}({limit})", numbers.below(2)),
    }
}

fn change(numbers: &mut Numbers) -> String {
    let name = numbers.pick(&NAMES);
    let value = numbers.below(4);
    match numbers.below(8) {
        0..=3 => format!("INSERT INTO {name} VALUES ({value}, 'b{value}')"),
        4 => format!("DROP TABLE {name}"),
        5 => format!("CREATE TABLE {name} AS SELECT {value} AS a, 'c{value}' AS b"),
        6 => format!("CREATE OR REPLACE VIEW {name} AS SELECT a + {value} AS a, b FROM t"),
        _ => format!("DROP VIEW {name}"),
    }
}

/// The rows, or what went wrong.
async fn answer(session: &Session, sql: &str) -> String {
    match all(session, sql).await {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn random_statements_give_the_same_with_and_without_the_caches() {
    let mut kept = 0;
    for seed in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let none = EngineConfig { result_cache_bytes_max: 0, plan_cache_bytes_max: 0, ..config() };
        let (cached, plain) = (Engine::open(url, config()).await.unwrap(), Engine::open(url, none).await.unwrap());
        let (session, oracle) = (cached.session(), plain.session());
        run(&oracle, &["CREATE SCHEMA s", "CREATE TABLE t (a INT, b VARCHAR)", "CREATE TABLE u (a INT, b VARCHAR)"])
            .await;
        for client in [&session, &oracle] {
            run(client, &["PREPARE p0 AS SELECT a, b FROM t WHERE a > $1 ORDER BY a, b"]).await;
            run(client, &["PREPARE p1 AS SELECT count(*) FROM u WHERE a <> $1"]).await;
        }
        let mut numbers = Numbers(seed);
        for step in 0..150 {
            match numbers.below(10) {
                0 => {
                    // By one of both, whether it works or not.
                    let writer = if numbers.below(2) == 0 { &session } else { &oracle };
                    let _ = writer.execute(&change(&mut numbers)).await;
                }
                1 => {
                    let sql = format!("USE {}", numbers.pick(&["main", "s"]));
                    run(&session, &[&sql]).await;
                    run(&oracle, &[&sql]).await;
                }
                _ => {
                    let sql = query(&mut numbers);
                    for _ in 0..=numbers.below(2) {
                        let (found, expected) = (answer(&session, &sql).await, answer(&oracle, &sql).await);
                        assert_eq!(found, expected, "seed {seed}, step {step}: {sql}");
                    }
                }
            }
        }
        kept += usage(&cached, "results").await.hits;
    }
    assert!(kept > 100, "only {kept} answers came from the cache");
}
