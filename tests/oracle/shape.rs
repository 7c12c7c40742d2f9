//! Every shape that a WHERE can have, in DELETE, UPDATE, MERGE and REPLACE WHERE: the rows that the statement changes are
//! those that SELECT finds with the same words. What SELECT refuses, the statements refuse, and change nothing.

use std::collections::BTreeSet;

use arrow::{array::AsArray, datatypes::Int64Type};
use boathouse_engine::{Outcome, Session};
use boathouse_tests::TestLake;

/// On `t (id, g, name)`, `u (id, g, name)` and `e (id, g)`: `g` and `name` are NULL here and there, `e` is empty.
const SHAPES: [&str; 90] = [
    // always, never, neither
    "true",
    "false",
    "NULL",
    "1 = 1",
    "1 = 2",
    "NULL = NULL",
    "NOT NULL",
    "id = id",
    "id <> id",
    "g = g",
    "g <> g",
    "g = NULL",
    "NOT (g = NULL)",
    "name LIKE NULL",
    "name LIKE '%'",
    "id > 0 OR id <= 0",
    "g > 0 OR g <= 0",
    // what is neither true nor false
    "g IS NULL",
    "g IS NOT NULL",
    "NOT (g > 3)",
    "(g > 3) IS NULL",
    "(g > 3) IS NOT TRUE",
    "(g > 3) IS NOT FALSE",
    "g > 3 OR NULL",
    "g > 3 AND NULL",
    "NOT (g > 3 AND NULL)",
    "g IN (1, 2, NULL)",
    "g NOT IN (1, 2, NULL)",
    "g NOT IN (1, 2)",
    "NULL IN (1, 2)",
    "g IS DISTINCT FROM NULL",
    "g IS NOT DISTINCT FROM 2",
    "g BETWEEN NULL AND 3",
    "g NOT BETWEEN 1 AND 3",
    "coalesce(g, 3) = 3",
    "CASE WHEN g > 2 THEN true END",
    "nullif(g, 1) = 2",
    // IN
    "id IN (SELECT id FROM u)",
    "id NOT IN (SELECT id FROM u)",
    "g IN (SELECT g FROM u)",
    "g NOT IN (SELECT g FROM u)",
    "g NOT IN (SELECT g FROM u WHERE g IS NOT NULL)",
    "NOT (g IN (SELECT g FROM u))",
    "g IN (SELECT g FROM e)",
    "g NOT IN (SELECT g FROM e)",
    "NOT (g NOT IN (SELECT g FROM e))",
    "id IN (SELECT id FROM t WHERE g > 2)",
    "g IN (SELECT u.g FROM u WHERE u.id = t.id)",
    "g NOT IN (SELECT u.g FROM u WHERE u.id = t.id)",
    "id + 1 IN (SELECT id FROM t)",
    // IN that is unknown, where it can be told from false
    "(g IN (SELECT g FROM u)) IS NULL",
    "(g IN (SELECT g FROM u WHERE g > 1)) IS NULL",
    "(g IN (SELECT g FROM e)) IS FALSE",
    "(g IN (SELECT g FROM u WHERE g > 1)) IS FALSE",
    "(g NOT IN (SELECT g FROM u)) IS NOT TRUE",
    "(g IN (SELECT g FROM u WHERE g > 1)) = false",
    "NOT (g IN (SELECT g FROM u WHERE g > 1) AND id > 0)",
    "NOT (g IN (SELECT g FROM u) AND id > 3)",
    "g NOT IN (SELECT g FROM u WHERE g > 1) OR id = 3",
    "g NOT IN (SELECT g FROM u) OR id = 3",
    "id NOT IN (SELECT g FROM u WHERE g IS NULL) OR id = 3",
    "g NOT IN (SELECT g FROM e) OR id = 100",
    "(g IN (SELECT u.g FROM u WHERE u.id = t.id)) IS NULL",
    "NOT (g IN (SELECT u.g FROM u WHERE u.id >= t.id) AND id > 1)",
    "g NOT IN (SELECT u.g FROM u WHERE u.id = t.id) OR id = 3",
    "g NOT IN (SELECT u.g FROM u WHERE u.id > t.id)",
    // EXISTS
    "EXISTS (SELECT 1 FROM u)",
    "NOT EXISTS (SELECT 1 FROM u)",
    "EXISTS (SELECT 1 FROM e)",
    "NOT EXISTS (SELECT 1 FROM e)",
    "EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
    "NOT EXISTS (SELECT 1 FROM u WHERE u.g = t.g)",
    "EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND u.g > t.g)",
    "NOT EXISTS (SELECT 1 FROM t AS x WHERE x.id > t.id)",
    "EXISTS (SELECT 1 FROM u WHERE u.name IS NOT DISTINCT FROM t.name)",
    // one value
    "g = (SELECT max(g) FROM u)",
    "g > (SELECT avg(g) FROM t)",
    "g = (SELECT max(g) FROM e)",
    "(SELECT max(g) FROM e) IS NULL",
    "g = (SELECT max(u.g) FROM u WHERE u.id = t.id)",
    "(SELECT count(*) FROM u WHERE u.id = t.id) = 0",
    "g >= (SELECT min(x.g) FROM t AS x WHERE x.name = t.name)",
    "id = (SELECT max(id) FROM t)",
    "g = (SELECT g FROM u)",
    // several at once
    "id IN (SELECT id FROM u) OR g IS NULL",
    "id IN (SELECT id FROM u) AND false",
    "id IN (SELECT id FROM u) OR true",
    "NOT (id IN (SELECT id FROM u) AND g > 1)",
    "EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AND g NOT IN (SELECT g FROM e) AND name IS NULL",
    "EXISTS (SELECT 1 FROM u WHERE u.id = t.id) OR g = (SELECT min(g) FROM t)",
];

/// What SELECT refuses of these, and with what words: nothing else, and every statement refuses the same.
const REFUSED: [(&str, &str); 1] = [("g = (SELECT g FROM u)", "scalar subquery returned more than one row")];

/// Rows of `t`.
const ROWS: usize = 8;

/// Tables whose files are changed in different ways.
const TABLES: [&str; 4] = [
    "",
    "PARTITIONED BY (g)",
    "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
    "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_change_the_rows_that_select_finds_with_the_same_words() {
    let (mut faults, mut found, mut refused) = (vec![], 0, BTreeSet::new());
    for (at, table) in TABLES.into_iter().enumerate() {
        let lake = TestLake::memory().await;
        let world = World::new(&lake, table).await;
        // All shapes on the first table; on each of the others its share.
        let shapes = SHAPES.iter().enumerate().filter(|(n, _)| at == 0 || n % (TABLES.len() - 1) == at - 1);
        for (_, shape) in shapes {
            let expected = world.ids(&format!("SELECT id FROM t WHERE {shape}")).await;
            found += expected.as_ref().map_or(0, BTreeSet::len);
            let words = REFUSED.iter().find(|(known, _)| known == shape).map(|(_, words)| *words);
            assert!(is_known(expected.as_ref().err(), words), "SELECT with {shape}: {expected:?}");
            for statement in Statement::all(shape).into_iter().take(if at == 0 { 4 } else { 2 }) {
                match world.differs(&statement, &expected, words).await {
                    Ok(true) => drop(refused.insert(format!("{}: {shape}", statement.name))),
                    Ok(false) => {}
                    Err(fault) => faults.push(format!("{table}: {}\n  {fault}", statement.sql)),
                }
                world.restore().await;
            }
        }
    }
    println!("{found} rows found, {} refused", refused.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(found > 0, "no shape finds a row");
    // DELETE and UPDATE carry out whatever SELECT does.
    let plain = refused.iter().filter(|place| place.starts_with("DELETE") || place.starts_with("UPDATE"));
    assert_eq!(plain.collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Conditions with IN, and the ids that they find, which follow from what SQL says of NULL: `g` is 1, 2, NULL, 3, 4, NULL, 5, 2
/// in the rows with the ids 1 to 8; in `u` it is 2, NULL, 5, 1, 4 beside the ids 2, 4, 5, NULL, 100.
const KNOWN: [(&str, &[i64]); 16] = [
    ("g NOT IN (SELECT g FROM u)", &[]),
    ("(g IN (SELECT g FROM u)) IS NULL", &[3, 4, 6]),
    ("(g IN (SELECT g FROM u WHERE g > 1)) IS NULL", &[3, 6]),
    ("(g IN (SELECT g FROM u WHERE g > 1)) IS FALSE", &[1, 4]),
    ("(g IN (SELECT g FROM u WHERE g > 1)) = false", &[1, 4]),
    ("(g IN (SELECT g FROM e)) IS FALSE", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("(g NOT IN (SELECT g FROM u)) IS NOT TRUE", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("NOT (g IN (SELECT g FROM u WHERE g > 1) AND id > 0)", &[1, 4]),
    ("g NOT IN (SELECT g FROM u WHERE g > 1) OR id = 3", &[1, 3, 4]),
    ("g NOT IN (SELECT g FROM u) OR id = 3", &[3]),
    ("id NOT IN (SELECT g FROM u WHERE g IS NULL) OR id = 3", &[3]),
    ("g NOT IN (SELECT u.g FROM u WHERE u.id = t.id)", &[1, 3, 5, 6, 7, 8]),
    ("g NOT IN (SELECT u.g FROM u WHERE u.id > t.id)", &[4, 7, 8]),
    ("(g IN (SELECT u.g FROM u WHERE u.id = t.id)) IS NULL", &[4]),
    ("g NOT IN (SELECT u.g FROM u WHERE u.id = t.id) OR id = 2", &[1, 2, 3, 5, 6, 7, 8]),
    ("NOT (g IN (SELECT u.g FROM u WHERE u.id >= t.id) AND id > 1)", &[1, 7, 8]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_finds_what_sql_says_of_null() {
    let lake = TestLake::memory().await;
    let world = World::new(&lake, "").await;
    let mut faults = vec![];
    for (condition, expected) in KNOWN {
        let found = world.ids(&format!("SELECT id FROM t WHERE {condition}")).await;
        if found != Ok(expected.iter().copied().collect()) {
            faults.push(format!("{condition}: {found:?}, not {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether an error is the one that is due, or there is none where none is due.
fn is_known(error: Option<&String>, words: Option<&str>) -> bool {
    match (error, words) {
        (Some(error), Some(words)) => error.contains(words),
        (error, words) => error.is_none() && words.is_none(),
    }
}

/// A statement with a shape in it.
struct Statement {
    name: &'static str,
    sql: String,
    /// Finds the ids of the rows that it left alone.
    untouched: &'static str,
}

impl Statement {
    fn all(shape: &str) -> [Self; 4] {
        let untouched = "SELECT id FROM t WHERE mark = 0";
        [
            Self { name: "DELETE", sql: format!("DELETE FROM t WHERE {shape}"), untouched },
            Self { name: "UPDATE", sql: format!("UPDATE t SET mark = mark + 1 WHERE {shape}"), untouched },
            Self {
                name: "MERGE",
                sql: format!(
                    "MERGE INTO t USING (SELECT 1 AS one) AS s ON {shape} WHEN MATCHED THEN UPDATE SET mark = 1"
                ),
                untouched,
            },
            Self {
                name: "REPLACE WHERE",
                sql: format!(
                    "INSERT INTO t (id, g, name, mark) REPLACE WHERE {shape} SELECT id, g, name, mark FROM t WHERE false"
                ),
                untouched,
            },
        ]
    }
}

struct World {
    session: std::sync::Arc<Session>,
}

impl World {
    async fn new(lake: &TestLake, table: &str) -> Self {
        let script = format!(
            "CREATE TABLE t (id BIGINT, g BIGINT, name VARCHAR, mark BIGINT) {table};
             INSERT INTO t VALUES (1, 1, 'a', 0), (2, 2, NULL, 0), (3, NULL, 'b', 0), (4, 3, 'a', 0);
             INSERT INTO t VALUES (5, 4, 'c', 0), (6, NULL, NULL, 0), (7, 5, 'b', 0), (8, 2, 'a', 0);
             CREATE TABLE u (id BIGINT, g BIGINT, name VARCHAR);
             INSERT INTO u VALUES (2, 2, 'a'), (4, NULL, 'x'), (5, 5, NULL), (NULL, 1, 'b'), (100, 4, 'c');
             CREATE TABLE e (id BIGINT, g BIGINT)"
        );
        lake.run(&script).await;
        Self { session: lake.engine().session() }
    }

    async fn ids(&self, sql: &str) -> Result<BTreeSet<i64>, String> {
        let Outcome::Rows(rows) = self.session.execute(sql).await.map_err(|error| error.to_string())? else {
            return Err(format!("no rows: {sql}"));
        };
        let rows = rows.collect().await.map_err(|error| error.to_string())?;
        let ids = rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        Ok(ids.collect())
    }

    /// Whether the statement was refused. The error is what it did otherwise than SELECT.
    /// `words` are those with which SELECT refuses it; DELETE and UPDATE refuse it with the same.
    async fn differs(
        &self,
        statement: &Statement,
        found: &Result<BTreeSet<i64>, String>,
        words: Option<&str>,
    ) -> Result<bool, String> {
        let all = self.ids("SELECT id FROM t").await?;
        let done = self.session.execute(&statement.sql).await;
        let untouched = self.ids(statement.untouched).await?;
        match (done, found) {
            (Ok(Outcome::Changed { inserted, updated, deleted, .. }), Ok(found)) => {
                let left = all.difference(found).copied().collect::<BTreeSet<_>>();
                let counted = inserted + updated + deleted;
                match untouched == left && counted == found.len() as u64 {
                    true => Ok(false),
                    false => Err(format!("{counted} rows counted, {untouched:?} left, SELECT finds {found:?}")),
                }
            }
            (Ok(_), Err(error)) => Err(format!("done, though SELECT says {error}; left are {untouched:?}")),
            (Ok(outcome), _) => Err(format!("{outcome:?}")),
            (Err(error), _) if untouched == all => {
                let plain = matches!(statement.name, "DELETE" | "UPDATE");
                match words.filter(|words| plain && !error.to_string().contains(words)) {
                    Some(words) => Err(format!("refused with {error}, SELECT says {words}")),
                    None => Ok(found.is_ok()),
                }
            }
            (Err(error), _) => Err(format!("failed and changed rows: {error}")),
        }
    }

    async fn restore(&self) {
        if self.ids("SELECT id FROM t WHERE mark = 0").await.is_ok_and(|ids| ids.len() == ROWS) {
            return;
        }
        self.session.execute("RESTORE TABLE t TO VERSION AS OF 2").await.unwrap();
    }
}
