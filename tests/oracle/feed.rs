//! The change feed against the versions of a table: whatever statements change, the rows of one version, less those that
//! the feed takes and with those that it brings, are the rows of any later version.

use crate::{
    chance::{Chance, seeds},
    change::{Statement, list},
    lake::RandomLake,
};

const LAKES: u64 = 6;
const STATEMENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_leads_from_each_version_to_each_later_one() {
    let (mut changed, mut updated) = (0, 0);
    for seed in seeds(LAKES) {
        let mut chance = Chance::new(seed.wrapping_add(7000));
        let lake = RandomLake::new(&mut chance).await;
        let on = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')";
        lake.run(on).await.unwrap_or_else(|error| panic!("seed {seed}: {on}: {error}"));
        let mut history = vec![(lake.version(), on.to_owned())];
        for _ in 0..STATEMENTS {
            let sql = statement(&mut chance, &lake, history[0].0);
            let (before, done) = (lake.version(), lake.run(&sql).await);
            let version = lake.version();
            let about = || format!("seed {seed}: {sql}\n{}", lake.about());
            // Arithmetic of a random predicate may fail, and then nothing is committed.
            let Ok(counts) = done else {
                assert_eq!(before, version, "{}", about());
                continue;
            };
            if version == before {
                continue;
            }
            history.push((version, sql.clone()));
            if let Some(counts) = counts.filter(|_| version == before + 1 && !sql.starts_with("RESTORE")) {
                let kinds = ["insert", "update_postimage", "delete"].map(|kind| kind.to_owned());
                let mut told = [0; 3];
                for (kind, told) in kinds.iter().zip(&mut told) {
                    *told = lake.rows(&changes("id", version, version, &[kind])).await.unwrap().len() as u64;
                }
                assert_eq!(told, counts, "{}", about());
                updated += counts[1];
            }
        }
        changed += history.len() - 1;
        let columns = list(&lake, |column| format!("t.{column}"));
        let rows = async |version: u64| lake.rows(&format!("SELECT {columns} FROM t@v{version} AS t")).await.unwrap();
        for (at, (from, _)) in history.iter().enumerate() {
            for (to, sql) in &history[at + 1..] {
                let part = async |kinds: &[&str]| lake.rows(&changes(&columns, from + 1, *to, kinds)).await.unwrap();
                let mut reached = [rows(*from).await, part(&["insert", "update_postimage"]).await].concat();
                let mut left = [rows(*to).await, part(&["delete", "update_preimage"]).await].concat();
                reached.sort_unstable();
                left.sort_unstable();
                assert!(
                    reached == left,
                    "seed {seed}: versions {from} to {to}, the last by {sql}\n{history:#?}\n{}\nonly brought {:#?}\nonly \
                     there {:#?}",
                    lake.about(),
                    without(&reached, &left),
                    without(&left, &reached)
                );
            }
        }
    }
    assert!(changed > 0 && updated > 0, "{changed} versions, {updated} rows updated");
}

fn changes(columns: &str, from: u64, to: u64, kinds: &[&str]) -> String {
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
    format!("SELECT {columns} FROM table_changes('t', {from}, {to}) AS t WHERE _change_type IN ({})", kinds.join(", "))
}

/// A statement that changes rows, or only files.
fn statement(chance: &mut Chance, lake: &RandomLake, first: u64) -> String {
    let some = |column: &str| format!("o.{column}");
    match chance.below(10) {
        0 => {
            let shift = 1000 * (1 + chance.below(9));
            let rows = list(lake, |column| match column {
                "\"id\"" => format!("o.id + {shift}"),
                other => format!("o.{other}"),
            });
            format!("INSERT INTO t SELECT {rows} FROM t AS o WHERE o.id % 4 = {}", chance.below(4))
        }
        1 => {
            format!("INSERT OVERWRITE t SELECT {} FROM t AS o WHERE o.id % 3 <> {}", list(lake, some), chance.below(3))
        }
        2 => "OPTIMIZE t".to_owned(),
        3 => format!(
            "RESTORE TABLE t TO VERSION AS OF {}",
            first + chance.below(lake.version() as usize - first as usize + 1) as u64
        ),
        _ => Statement::new(chance, lake).sql,
    }
}

/// Rows of `some` that `others` lacks, a few.
fn without(some: &[String], others: &[String]) -> Vec<String> {
    let mut others = others.to_vec();
    let lacks = some.iter().filter(|row| match others.iter().position(|other| other == *row) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    });
    lacks.take(5).cloned().collect()
}
