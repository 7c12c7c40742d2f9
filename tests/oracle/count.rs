//! Filtering must count what a `CASE` over unfiltered rows counts (NoREC: non-optimizing reference engine construction).
//!
//! The filter meets pruning, pushdown and the dynamic filters of joins; the `CASE` stands in the output, where no
//! optimizer can use it.

use crate::{
    chance::{Chance, seeds},
    lake::{RandomLake, columns},
    predicate::predicate,
};

const LAKES: u64 = 2;
const PREDICATES: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_counts_what_a_case_counts() {
    let (mut faults, mut counted) = (vec![], 0);
    for seed in seeds(LAKES) {
        let mut chance = Chance::new(seed);
        let lake = RandomLake::new(&mut chance).await;
        for _ in 0..PREDICATES {
            let (from, sources) = source(&mut chance, &lake);
            let predicate = predicate(&mut chance, &sources, 2);
            let filtered = format!("SELECT count(*) AS n FROM {from} WHERE {predicate}");
            let reference = format!("SELECT count(CASE WHEN {predicate} THEN 1 END) AS n FROM {from}");
            match (lake.rows(&filtered).await, lake.rows(&reference).await) {
                // Rows that a filter leaves out cannot fail; so only this side may.
                (_, Err(_)) => {}
                (got, expected) if got == expected => counted += 1,
                (got, expected) => {
                    faults.push(format!(
                        "seed {seed}: {filtered}\n{got:?}, but {reference}\n{expected:?}\n{}",
                        lake.about()
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(counted > 0, "no predicate could be counted");
}

/// A table, or a join of two, and its columns.
fn source(chance: &mut Chance, lake: &RandomLake) -> (String, Vec<(String, crate::kind::Kind)>) {
    let (t, u) = (columns("t", &lake.t), columns("u", &lake.u));
    let both = || [t.clone(), u.clone()].concat();
    match chance.below(5) {
        0 => ("t JOIN u ON t.id = u.id".to_owned(), both()),
        1 => ("t LEFT JOIN u ON t.id = u.id + 3".to_owned(), both()),
        2 => ("t FULL JOIN u ON t.id + 20 = u.id".to_owned(), both()),
        _ => ("t".to_owned(), t),
    }
}
