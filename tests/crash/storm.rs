//! Runs of statements whose requests fail at random. A twin lake carries out the same statements in fair weather: after
//! each, the one in the storm is as the twin was before the statement or is now, and a statement that was acknowledged
//! has happened.

use std::sync::Arc;

use boathouse_tests::store::{Fate, RequestLog};
use object_store::memory::InMemory;
use parking_lot::Mutex;

use crate::{
    chance::{Random, number},
    orphan::orphans,
    place::{a_day_passes, answers, engine, session},
};

const STORMS: u64 = 6;
const STATEMENTS: u64 = 14;
const ROWS: &str = "SELECT * FROM t ORDER BY 1, 2, 3";

fn statement(random: &mut Random, n: u64) -> String {
    let (low, g) = (random.below(60), random.below(5));
    match random.below(12) {
        0 | 1 => format!(
            "INSERT INTO t (id, g, name) SELECT value + {}, value % 5, 'i{n}' FROM generate_series(1, 6)",
            100 * n
        ),
        2 => format!("UPDATE t SET name = concat(name, '{n}') WHERE id >= {low} AND g = {g}"),
        3 => format!("DELETE FROM t WHERE id BETWEEN {low} AND {}", low + 9),
        4 => format!(
            "MERGE INTO t USING (SELECT value * 7 AS id, 'm{n}' AS name FROM generate_series(1, 20)) AS s ON t.id = s.id
             WHEN MATCHED AND t.g = {g} THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.name
             WHEN NOT MATCHED THEN INSERT (id, g, name) VALUES (s.id, {g}, s.name)"
        ),
        5 => format!("INSERT INTO t (id, g, name) REPLACE WHERE g = {g} VALUES ({n}, {g}, 'r{n}')"),
        6 => "OPTIMIZE t".to_owned(),
        7 => "OPTIMIZE t ZORDER BY (g)".to_owned(),
        8 => "VACUUM t RETAIN 0 HOURS".to_owned(),
        9 => format!("ALTER TABLE t SET TBLPROPERTIES ('n' = '{n}', 'delta.enableDeletionVectors' = '{}')", g < 3),
        10 => format!("INSERT WITH SCHEMA EVOLUTION INTO t SELECT {n} AS id, {g} AS g, 'e{n}' AS name, {n} AS c{g}"),
        _ => "SELECT count(*) FROM t".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_in_a_storm_is_there_and_nothing_else() {
    let (first, storms) = (number("BOATHOUSE_TEST_SEED", 1), number("BOATHOUSE_TEST_STORMS", STORMS));
    let mut outcomes = [0_usize; 3];
    for seed in first..first + storms {
        println!("seed {seed}");
        storm(seed, &mut outcomes).await;
    }
    println!("{outcomes:?} statements were acknowledged, happened all the same, did not happen");
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}: the weather is too fair or too foul");
}

async fn storm(seed: u64, outcomes: &mut [usize; 3]) {
    let mut random = Random::new(seed);
    let stores = [Arc::new(InMemory::new()), Arc::new(InMemory::new())];
    let [storm, twin] = &stores;
    for store in &stores {
        let make =
            "CREATE TABLE t (id BIGINT, g BIGINT, name VARCHAR) TBLPROPERTIES ('delta.checkpointInterval' = '4');
            INSERT INTO t SELECT value, value % 5, 'first' FROM generate_series(1, 60)";
        answers(&*session(store).await, make).await.unwrap();
    }
    let log = Arc::new(RequestLog::default());
    let mut writer = engine(storm, &log).await.session();
    let mut old = answers(&*session(twin).await, ROWS).await;
    for n in 0..STATEMENTS {
        let sql = statement(&mut random, n);
        answers(&*session(twin).await, &format!("SET vacuum_retention_check = false; {sql}")).await.unwrap();
        let new = answers(&*session(twin).await, ROWS).await;
        let chance = Mutex::new(Random::new(random.below(u64::MAX)));
        let one_in = 4 + random.below(30);
        log.set_rule(move |_| match chance.lock().below(one_in * 2) {
            0 => Fate::Refused,
            1 => Fate::AnswerLost,
            _ => Fate::Served,
        });
        let done = answers(&writer, &format!("SET vacuum_retention_check = false; {sql}")).await;
        log.clear_rule();
        let place = format!("seed {seed}, statement {n}, {sql}: {done:?}");
        let found = answers(&*session(storm).await, ROWS).await;
        assert!(found == new || (found == old && done.is_err()), "{place}\nfound {found:?}\nexpected {new:?}");
        outcomes[if done.is_ok() { 0 } else { usize::from(found != new) + 1 }] += 1;
        if found != new {
            // The same writer, in fair weather: with what it has in its caches.
            answers(&writer, &sql).await.unwrap_or_else(|error| panic!("{place}, and again: {error}"));
            assert_eq!(answers(&*session(storm).await, ROWS).await, new, "{place}, and again");
        }
        if random.below(5) == 0 {
            writer = engine(storm, &log).await.session();
        }
        old = new;
    }
    a_day_passes(storm).await;
    let last = session(storm).await;
    answers(&last, "SET vacuum_retention_check = false; VACUUM t RETAIN 0 HOURS").await.unwrap();
    assert_eq!(answers(&last, ROWS).await, old, "seed {seed}: VACUUM changed what is there");
    let left = orphans(storm).await;
    assert!(left.is_empty(), "seed {seed}: nobody needs {left:?}");
}
