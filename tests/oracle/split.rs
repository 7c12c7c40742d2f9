//! A predicate, its negation and `IS NULL` of it split any table into three parts that make up the whole (TLP: ternary
//! logic partitioning), also behind joins, aggregates, groups and DISTINCT.

use crate::{
    chance::{Chance, seeds},
    kind::Kind,
    lake::{RandomLake, columns, exact},
    predicate::predicate,
};

const LAKES: u64 = 2;
const PREDICATES: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_parts_make_up_the_whole() {
    let (mut faults, mut checked) = (vec![], 0);
    for seed in seeds(LAKES) {
        let mut chance = Chance::new(seed.wrapping_add(1000));
        let lake = RandomLake::new(&mut chance).await;
        for _ in 0..PREDICATES {
            let question = Question::new(&mut chance, &lake);
            match (lake.rows(&question.parts()).await, lake.rows(&question.whole).await) {
                (got, Ok(expected)) if got.as_ref() == Ok(&expected) => checked += 1,
                // What cannot be computed for some row fails in the parts alone: the whole has no predicate.
                (Err(error), _) if question.may_fail(&error) => {}
                (got, expected) => faults.push(format!(
                    "seed {seed}: {}\n{got:?}, but {}\n{expected:?}\n{}",
                    question.parts(),
                    question.whole,
                    lake.about()
                )),
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(checked > 0, "no predicate could be checked");
}

/// A query without a predicate, and how it is put together from those with one.
struct Question {
    whole: String,
    /// `{part}` stands for WHERE or HAVING and one of the three.
    part: String,
    keyword: &'static str,
    predicate: String,
    /// What joins the parts, and what stands around them: `{parts}`.
    union: &'static str,
    around: String,
}

impl Question {
    fn new(chance: &mut Chance, lake: &RandomLake) -> Self {
        let (from, sources) = source(chance, lake);
        let column = chance.pick(&sources).0.clone();
        let number = chance.pick(&exact(&sources)).0.clone();
        let predicate = predicate(chance, &sources, 2);
        let kept = |whole: String| Self {
            part: format!("{whole} {{part}}"),
            whole,
            keyword: "WHERE",
            predicate: predicate.clone(),
            union: "UNION ALL",
            around: "{parts}".to_owned(),
        };
        match chance.below(5) {
            0 => kept(format!("SELECT * FROM {from}")),
            1 => Self { union: "UNION", ..kept(format!("SELECT DISTINCT {column} AS v FROM {from}")) },
            2 => {
                let folded = "SELECT min(a) AS a, max(b) AS b, sum(c) AS c, sum(d) AS d, sum(n) AS n FROM ({parts})";
                let values = format!(
                    "min({column}) AS a, max({column}) AS b, sum(CAST({number} AS DECIMAL(38, 0))) AS c, \
                     count({column}) AS d, count(*) AS n"
                );
                Self { around: folded.to_owned(), ..kept(format!("SELECT {values} FROM {from}")) }
            }
            3 => {
                let whole = format!("SELECT {column} AS k, count(*) AS n, min({number}) AS a FROM {from} GROUP BY 1");
                let part =
                    format!("SELECT {column} AS k, count(*) AS n, min({number}) AS a FROM {from} {{part}} GROUP BY 1");
                let around = "SELECT k, sum(n) AS n, min(a) AS a FROM ({parts}) GROUP BY 1".to_owned();
                Self { part, around, ..kept(whole) }
            }
            _ => {
                let groups = [("min(id)", "t.id"), ("count(*)", "t.id")]
                    .map(|(value, _)| (value.replace("id", "t.id"), Kind::BigInt));
                let predicate = crate::predicate::predicate(chance, &groups, 1);
                let whole = format!("SELECT {column} AS k, count(*) AS n FROM {from} GROUP BY {column}");
                Self { keyword: "HAVING", predicate, ..kept(whole) }
            }
        }
    }

    fn parts(&self) -> String {
        let Self { predicate, keyword, .. } = self;
        let parts = [predicate.clone(), format!("NOT ({predicate})"), format!("({predicate}) IS NULL")];
        let parts = parts.map(|part| self.part.replace("{part}", &format!("{keyword} {part}")));
        self.around.replace("{parts}", &parts.join(&format!(" {} ", self.union)))
    }

    /// Arithmetic and casts of a predicate, but nothing of ours.
    fn may_fail(&self, error: &str) -> bool {
        ["overflow", "out of range", "Cast error", "exceeds the representable"]
            .iter()
            .any(|text| error.to_lowercase().contains(&text.to_lowercase()))
    }
}

fn source(chance: &mut Chance, lake: &RandomLake) -> (String, Vec<(String, Kind)>) {
    let (t, u) = (columns("t", &lake.t), columns("u", &lake.u));
    let both = || [t.clone(), u.clone()].concat();
    match chance.below(6) {
        0 => ("t JOIN u ON t.id = u.id".to_owned(), both()),
        1 => ("t LEFT JOIN u ON t.id = u.id + 3".to_owned(), both()),
        2 => ("t CROSS JOIN (SELECT * FROM u WHERE id < 4) AS u".to_owned(), both()),
        _ => ("t".to_owned(), t),
    }
}
