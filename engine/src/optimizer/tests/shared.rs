//! A part that stands several times gives the rows that it gives when a table holds it.

use super::{engine, rows};

const GROUPS: &str = "SELECT k, sum(v) AS n FROM t GROUP BY k";

/// `{}` stands for the part: a CTE in one run, a view in another, a table in the third.
const READ_AS_A_WHOLE: [&str; 6] = [
    "SELECT k, n FROM {} WHERE n = (SELECT max(n) FROM {}) ORDER BY k",
    "SELECT u.id, g.n FROM u JOIN {} AS g ON u.id = g.k WHERE g.n < (SELECT max(n) FROM {}) ORDER BY u.id",
    "SELECT k, n FROM {} UNION ALL SELECT n, k FROM {} ORDER BY 1, 2",
    "SELECT (SELECT sum(n) FROM {}), (SELECT min(n) FROM {}), (SELECT count(n) FROM {})",
    "(SELECT n FROM {} ORDER BY n LIMIT 1) UNION ALL SELECT n FROM {} ORDER BY n",
    "SELECT a.k, b.k, b.n FROM {} AS a LEFT JOIN (SELECT max(k) AS k, n FROM {} GROUP BY n) AS b ON a.n = b.n \
     WHERE a.n < (SELECT sum(n) FROM {}) ORDER BY a.k",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_read_as_a_whole_is_computed_once() {
    let engine = engine().await;
    let session = engine.session();
    session.execute(&format!("CREATE TABLE g AS {GROUPS}")).await.unwrap();
    session.execute(&format!("CREATE VIEW seen AS {GROUPS}")).await.unwrap();
    for sql in READ_AS_A_WHOLE {
        let expected = rows(&session, &sql.replace("{}", "g")).await;
        assert!(!expected.is_empty(), "{sql}");
        for shared in [format!("WITH c AS ({GROUPS}) {}", sql.replace("{}", "c")), sql.replace("{}", "seen")] {
            let plan = rows(&session, &format!("EXPLAIN {shared}")).await.join("\n");
            // One reader that has the input below it, and the rest without.
            let readers = sql.matches("{}").count();
            assert!(plan.contains(&format!("SharedExec: id=0, readers={readers}")), "{shared}\n{plan}");
            assert_eq!(plan.matches("SharedExec: id=0, rows of the first").count(), readers - 1, "{shared}\n{plan}");
            // Twice: by a plan that was just made, and by one that was kept.
            for _ in 0..2 {
                assert_eq!(rows(&session, &shared).await, expected, "{shared}\n{plan}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_differ_or_may_be_read_in_part_stay_apart() {
    let engine = engine().await;
    let session = engine.session();
    for sql in [
        // Not the same rows.
        format!("SELECT max(n) FROM ({GROUPS}) UNION ALL SELECT max(n) FROM (SELECT k, sum(v) AS n FROM u GROUP BY k)"),
        "SELECT count(*) FROM t UNION ALL SELECT count(*) FROM t VERSION AS OF 1".to_owned(),
        "SELECT max(n) FROM (SELECT k, sum(random()) AS n FROM t GROUP BY k) UNION ALL \
         SELECT max(n) FROM (SELECT k, sum(random()) AS n FROM t GROUP BY k)"
            .to_owned(),
        // Each is told by its join which groups it needs.
        format!("WITH c AS ({GROUPS}) SELECT u.id, a.n, b.n FROM u JOIN c AS a ON u.id = a.k JOIN c AS b ON u.v = b.k"),
        // Two groups may be enough.
        format!("WITH c AS ({GROUPS}) (SELECT k FROM c LIMIT 1) UNION ALL (SELECT n FROM c LIMIT 1)"),
        // Other rows in each round.
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT count(*) FROM t) AND \
         n < (SELECT count(*) FROM t)) SELECT count(*) FROM r"
            .to_owned(),
    ] {
        let plan = rows(&session, &format!("EXPLAIN {sql}")).await.join("\n");
        assert!(!plan.contains("SharedExec"), "{sql}\n{plan}");
        rows(&session, &sql).await;
    }
}
