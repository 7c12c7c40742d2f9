//! DELETE, UPDATE and MERGE against a model: what they must leave is asked by SELECT before they run, on tables with
//! partitions, mapped columns and deletion vectors, whose files are changed again and again.

use crate::{
    chance::{Chance, seeds},
    kind::Kind,
    lake::{RandomLake, columns},
    predicate::{predicate, quoted},
};

const LAKES: u64 = 6;
const STATEMENTS: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_leave_the_rows_that_select_foretells() {
    let (mut faults, mut changed, mut failed) = (vec![], 0, 0);
    for seed in seeds(LAKES) {
        let mut chance = Chance::new(seed.wrapping_add(3000));
        let lake = RandomLake::new(&mut chance).await;
        for _ in 0..STATEMENTS {
            let statement = Statement::new(&mut chance, &lake);
            let (before, after) = (lake.rows("SELECT * FROM t").await, lake.rows(&statement.after).await);
            let counts = lake.rows(&statement.counts).await;
            let done = lake.change(&statement.sql).await;
            let found = lake.rows("SELECT * FROM t").await;
            let right = match (&after, &counts, &done) {
                (Ok(after), Ok(counts), Ok(done)) => {
                    changed += done.iter().sum::<u64>();
                    let done = done.map(|count| format!("\"{count}\"")).join(" ");
                    found.as_ref() == Ok(after) && *counts == [done]
                }
                // Arithmetic and casts of a predicate may fail for a row that the statement need not look at.
                (_, _, Err(error)) if may_fail(error) => {
                    failed += 1;
                    found == before
                }
                (Err(_), _, Ok(_)) | (_, Err(_), Ok(_)) => true,
                (_, _, Err(_)) => false,
            };
            if !right {
                faults.push(format!(
                    "seed {seed}: {}\ndid {done:?}\n  expected {counts:?}\nbefore {before:#?}\nafter {found:#?}\n  \
                     expected {after:#?}\n{}",
                    statement.sql,
                    lake.about()
                ));
                break;
            }
        }
    }
    println!("{changed} rows changed, {failed} statements failed as they may");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(changed > 0, "nothing was ever changed");
}

fn may_fail(error: &str) -> bool {
    ["overflow", "out of range", "cast error", "exceeds the representable"]
        .iter()
        .any(|text| error.to_lowercase().contains(text))
}

/// A statement, the rows that it must leave, and the numbers of rows that it must insert, update and delete.
pub struct Statement {
    pub sql: String,
    after: String,
    counts: String,
}

impl Statement {
    pub fn new(chance: &mut Chance, lake: &RandomLake) -> Self {
        match chance.below(8) {
            0 => Self::delete(&condition(chance, lake)),
            1 => Self::delete_using(chance, lake),
            2 | 3 => Self::update(chance, lake),
            4 => Self::update_from(chance, lake),
            _ => Self::merge(chance, lake),
        }
    }

    fn delete(condition: &str) -> Self {
        Self {
            sql: format!("DELETE FROM t WHERE {condition}"),
            after: format!("SELECT * FROM t WHERE ({condition}) IS NOT TRUE"),
            counts: format!("SELECT 0, 0, count(*) FROM t WHERE {condition}"),
        }
    }

    fn delete_using(chance: &mut Chance, lake: &RandomLake) -> Self {
        let both = [columns("t", &lake.t), columns("u", &lake.u)].concat();
        let condition = format!("t.id = u.id + {} AND {}", chance.below(5), predicate(chance, &both, 1));
        let found = format!("SELECT t.id FROM t, u WHERE {condition}");
        Self {
            sql: format!("DELETE FROM t USING u WHERE {condition}"),
            after: format!("SELECT * FROM t WHERE id NOT IN ({found})"),
            counts: format!("SELECT 0, 0, count(DISTINCT id) FROM ({found})"),
        }
    }

    fn update(chance: &mut Chance, lake: &RandomLake) -> Self {
        let condition = condition(chance, lake);
        let (name, value) = assignment(chance, lake, "t");
        Self {
            sql: format!("UPDATE t SET {name} = {value} WHERE {condition}"),
            after: format!(
                "SELECT {} FROM t",
                list(lake, |column| match column == name {
                    true => format!("CASE WHEN {condition} THEN {value} ELSE t.{column} END"),
                    false => format!("t.{column}"),
                })
            ),
            counts: format!("SELECT 0, count(*), 0 FROM t WHERE {condition}"),
        }
    }

    fn update_from(chance: &mut Chance, lake: &RandomLake) -> Self {
        let both = [columns("x", &lake.t), columns("u", &lake.u)].concat();
        let condition = format!("x.id = u.id + {} AND {}", chance.below(3), predicate(chance, &both, 1));
        let (name, value) = assignment(chance, lake, "x");
        let found = format!("SELECT x.id FROM t AS x, u WHERE {condition}");
        Self {
            sql: format!("UPDATE t AS x SET {name} = {value} FROM u WHERE {condition}"),
            after: format!(
                "SELECT {} FROM t AS x",
                list(lake, |column| match column == name {
                    true => format!("CASE WHEN x.id IN ({found}) THEN {value} ELSE x.{column} END"),
                    false => format!("x.{column}"),
                })
            ),
            counts: format!("SELECT 0, count(*), 0 FROM ({found})"),
        }
    }

    /// The source is the table itself with other keys: some match, some do not.
    fn merge(chance: &mut Chance, lake: &RandomLake) -> Self {
        let shift = chance.below(6);
        let source = format!(
            "(SELECT {} FROM t AS o WHERE o.id % 3 <> {})",
            list(lake, |column| if column == quoted("id") { format!("o.id + {shift}") } else { format!("o.{column}") }),
            chance.below(4)
        );
        let (of_t, both) = (columns("t", &lake.t), [columns("t", &lake.t), columns("s", &lake.t)].concat());
        let mut clauses = vec![];
        if !chance.once_in(4) {
            clauses.push(Clause::matched(chance, lake, &both, false));
            clauses.push(Clause::matched(chance, lake, &both, true));
        }
        if chance.once_in(2) {
            let (name, value) = assignment(chance, lake, "t");
            let condition = predicate(chance, &of_t, 1);
            let set = if chance.once_in(3) { None } else { Some(vec![(name, value)]) };
            clauses.push(Clause { kind: "NOT MATCHED BY SOURCE", test: "s.id IS NULL", condition, set });
        }
        let insert = if chance.once_in(3) && !clauses.is_empty() {
            "false".into()
        } else {
            format!("s.id % 2 = {}", chance.below(2))
        };
        let mut sql = format!("MERGE INTO t USING {source} AS s ON t.id = s.id");
        for Clause { kind, condition, set, .. } in &clauses {
            let set =
                set.as_ref().map(|set| set.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>());
            let does = set.map_or("DELETE".to_owned(), |set| format!("UPDATE SET {}", set.join(", ")));
            sql += &format!(" WHEN {kind} AND {condition} THEN {does}");
        }
        if insert != "false" {
            sql += &format!(" WHEN NOT MATCHED AND {insert} THEN INSERT *");
        }
        let when = |then: &dyn Fn(usize) -> String, rest: &str| {
            let when = clauses
                .iter()
                .enumerate()
                .map(|(at, clause)| format!("WHEN {} AND ({}) THEN {}", clause.test, clause.condition, then(at)));
            let when: Vec<String> = when.collect();
            if when.is_empty() { rest.to_owned() } else { format!("CASE {} ELSE {rest} END", when.join(" ")) }
        };
        let does = when(&|at| if clauses[at].set.is_some() { "1".into() } else { "2".into() }, "0");
        let values = list(lake, |column| {
            let own = format!("t.{column}");
            let value = |at: usize| {
                let set = clauses[at].set.iter().flatten().find(|(name, _)| name == column);
                set.map_or(own.clone(), |(_, value)| value.clone())
            };
            when(&value, &own)
        });
        let added = list(lake, |column| format!("s.{column}"));
        let join = format!("t LEFT JOIN {source} AS s ON t.id = s.id");
        let new = format!("{source} AS s LEFT JOIN t ON t.id = s.id WHERE t.id IS NULL AND {insert}");
        let after = format!(
            "SELECT {names} FROM (SELECT {values}, {does} AS does FROM {join}) WHERE does < 2 \
             UNION ALL SELECT {added} FROM {new}",
            names = list(lake, |column| column.to_owned())
        );
        let counts = format!(
            "SELECT (SELECT count(*) FROM {new}), coalesce(sum(CASE WHEN does = 1 THEN 1 END), 0), \
             coalesce(sum(CASE WHEN does = 2 THEN 1 END), 0) FROM (SELECT {does} AS does FROM {join})"
        );
        Self { sql, after, counts }
    }
}

/// A clause of MERGE about rows of the table; without SET it deletes.
struct Clause {
    kind: &'static str,
    /// The kind, as a condition on the join.
    test: &'static str,
    condition: String,
    set: Option<Vec<(String, String)>>,
}

impl Clause {
    fn matched(chance: &mut Chance, lake: &RandomLake, both: &[(String, Kind)], all: bool) -> Self {
        let names: Vec<String> = lake.t.columns.iter().map(|(name, _)| quoted(name)).collect();
        let set = match chance.below(4) {
            0 => None,
            _ if all => Some(names.iter().map(|name| (name.clone(), format!("s.{name}"))).collect()),
            _ => Some(vec![assignment(chance, lake, "t")]),
        };
        Self { kind: "MATCHED", test: "s.id IS NOT NULL", condition: predicate(chance, both, 1), set }
    }
}

/// `expr AS name` for each column of `t`, in the table's order; `expr` gets the quoted name.
pub fn list(lake: &RandomLake, expr: impl Fn(&str) -> String) -> String {
    let schema = lake.t.schema();
    let names = schema.fields().iter().map(|field| quoted(field.name()));
    names.map(|name| format!("{} AS {name}", expr(&name))).collect::<Vec<_>>().join(", ")
}

/// A condition on `t`, with subqueries of every shape among them.
fn condition(chance: &mut Chance, lake: &RandomLake) -> String {
    let (of_t, of_u) = (columns("t", &lake.t), columns("u", &lake.u));
    let plain = predicate(chance, &of_t, 2);
    let inner = predicate(chance, &of_u, 1);
    match chance.below(12) {
        0 => format!("t.id IN (SELECT u.id FROM u WHERE {inner})"),
        1 => format!("t.id NOT IN (SELECT u.id FROM u WHERE {inner})"),
        2 => format!("EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND {inner})"),
        3 => format!("NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id + 1 AND {inner})"),
        4 => format!("t.id > (SELECT avg(o.id) FROM t AS o) AND {plain}"),
        5 => format!("{plain} OR t.id IN (SELECT u.id FROM u WHERE {inner})"),
        6 => ["false", "NULL", "t.id <> t.id", "1 = 2"][chance.below(4)].to_owned(),
        7 => format!("t.id % 5 = {}", chance.below(5)),
        _ => plain,
    }
}

/// A column of `t` and a new value for it: a constant, or another column of its type.
fn assignment(chance: &mut Chance, lake: &RandomLake, alias: &str) -> (String, String) {
    let (name, kind) = chance.pick(&lake.t.columns).clone();
    let alike: Vec<&(String, Kind)> = lake.t.columns.iter().filter(|(_, other)| *other == kind).collect();
    let partitioned = lake.t.partition_columns.contains(&name);
    let base = chance.within(0..=5);
    let constant = kind.value_or_null(chance, base);
    let value = match chance.once_in(2) && !partitioned {
        true => format!("{alias}.{}", quoted(&chance.pick(&alike).0)),
        // The log has one text for the empty value and for NULL of a partition column.
        false if partitioned && kind == Kind::Text => "'b/ü =%20'".to_owned(),
        false => kind.literal(&constant),
    };
    (quoted(&name), value)
}
