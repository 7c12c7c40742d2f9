//! Strategies that keep rows: what a run changes, and what it leaves.

use std::sync::Arc;

use boathouse_storage::catalog::MartTestState;

use super::{MartOutcome, Project, Report, engine, execute, opened, project, rows, run, words};
use crate::Engine;

const MERGE: &str = "/*---\nstrategy = \"merge\"\nkey = \"id\"\n---*/\nSELECT id, v FROM news";
const INSERT: &str =
    "/*---\nstrategy = \"delete_insert\"\nkey = [\"day\", \"shop\"]\n---*/\nSELECT day, shop, v FROM news";
const PARTITIONS: &str =
    "/*---\nstrategy = \"partition_overwrite\"\npartition_by = \"day\"\n---*/\nSELECT day, v FROM news";

async fn news(engine: &Arc<Engine>, columns: &str, values: &str) {
    execute(engine, &format!("CREATE OR REPLACE TABLE news AS SELECT * FROM (VALUES {values}) AS v ({columns})")).await;
}

async fn one(engine: &Arc<Engine>, mart: &str) -> Project {
    project(engine, &[("m.t", mart)]).await
}

async fn forced(project: &Project) -> Vec<Report> {
    project.run(&[], true, |_| {}).await.unwrap()
}

fn error(reports: &[Report]) -> &crate::EngineError {
    let MartOutcome::Failed(error) = &reports[0].outcome else { panic!("{reports:?}") };
    error
}

async fn version(engine: &Arc<Engine>) -> u64 {
    engine.lake().table("m", "t").await.unwrap().version()
}

#[tokio::test]
async fn merge_updates_adds_and_leaves_the_others() {
    let engine = engine().await;
    news(&engine, "id, v", "(1, 'a'), (2, 'b'), (NULL, 'n')").await;
    let project = one(&engine, MERGE).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(words(&run(&project).await), ["skipped"]);
    // NULL is a key like any other.
    news(&engine, "id, v", "(2, 'B'), (3, 'c'), (NULL, 'N')").await;
    let expected = "1 a\n2 B\n3 c\nN";
    for _ in 0..2 {
        let reports = forced(&project).await;
        assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
        assert_eq!(rows(&engine, "SELECT * FROM m.t ORDER BY id NULLS LAST").await, expected);
        assert_eq!((reports[0].tests[0].name.as_str(), reports[0].tests[0].violations), ("key(id)", 0));
    }
    assert_eq!(words(&run(&project).await), ["skipped"]);
    // Nothing new is published, too, and tells so.
    execute(&engine, "DELETE FROM news").await;
    let before = version(&engine).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(words(&run(&project).await), ["skipped"]);
    assert_eq!(version(&engine).await, before + 1);
    assert_eq!(rows(&engine, "SELECT * FROM m.t ORDER BY id NULLS LAST").await, expected);
    let told = rows(&engine, "SELECT strategy, rows FROM system.marts").await;
    assert_eq!(told, "merge 4");
}

#[tokio::test]
async fn merge_says_which_key_came_twice() {
    let engine = engine().await;
    news(&engine, "id, v", "(1, 'a'), (2, 'b'), (2, 'c'), (NULL, 'x'), (NULL, 'y')").await;
    let project = one(&engine, MERGE).await;
    let reports = run(&project).await;
    assert!(error(&reports).message.contains("the test \"key(id)\" failed"), "{reports:?}");
    let mut samples = reports[0].tests[0].samples.clone();
    samples.sort();
    assert_eq!(samples, ["id: 2, rows_of_it: 2", "id: NULL, rows_of_it: 2"]);
    assert!(engine.lake().table("m", "t").await.is_err());

    news(&engine, "id, v", "(1, 'a')").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    // New both, and a row that is there twice.
    news(&engine, "id, v", "(3, 'b'), (3, 'b')").await;
    let reports = run(&project).await;
    assert_eq!(reports[0].tests[0].samples, ["id: 3, rows_of_it: 2"]);
    assert_eq!(reports[0].tests[0].state, MartTestState::Failed);
    news(&engine, "id, v", "(1, 'b'), (1, 'c')").await;
    let reports = run(&project).await;
    assert_eq!(error(&reports).detail.as_deref(), Some("The row is id = 1, v = a."), "{reports:?}");
    assert_eq!(rows(&engine, "SELECT * FROM m.t").await, "1 a");
    assert_eq!(version(&engine).await, 0);
}

#[tokio::test]
async fn delete_insert_replaces_all_rows_of_its_keys() {
    let engine = engine().await;
    news(&engine, "day, shop, v", "(1, 'x', 1), (1, 'x', 2), (1, 'y', 3), (2, NULL, 4)").await;
    let project = one(&engine, INSERT).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    news(&engine, "day, shop, v", "(1, 'x', 10), (1, 'x', 10), (2, NULL, 40), (2, 'x', 50)").await;
    for _ in 0..2 {
        let reports = forced(&project).await;
        assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
        assert_eq!(
            rows(&engine, "SELECT day, coalesce(shop, '-'), v FROM m.t ORDER BY v").await,
            "1 y 3\n1 x 10\n1 x 10\n2 - 40\n2 x 50"
        );
    }
    assert_eq!(words(&run(&project).await), ["skipped"]);
    let commits = version(&engine).await;
    execute(&engine, "DELETE FROM news WHERE day = 1").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    // All of it was one commit.
    assert_eq!(version(&engine).await, commits + 1);
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t").await, "5");
}

#[tokio::test]
async fn the_rows_that_go_are_those_of_the_rows_that_come_whatever_chance_does() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE news AS SELECT value AS id FROM generate_series(1, 1000)").await;
    let mart = "/*---\nstrategy = \"delete_insert\"\nkey = \"k\"\n[[test]]\nunique = \"k\"\n---*/
        SELECT DISTINCT CAST(random() * 100 AS BIGINT) AS k FROM news";
    let project = one(&engine, mart).await;
    for _ in 0..4 {
        let reports = run(&project).await;
        assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
    }
}

#[tokio::test]
async fn partition_overwrite_leaves_other_partitions() {
    let engine = engine().await;
    news(&engine, "day, v", "(1, 'a'), (1, 'b'), (2, 'c'), (NULL, 'd')").await;
    let project = one(&engine, PARTITIONS).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    news(&engine, "day, v", "(1, 'A'), (3, 'e'), (NULL, 'D'), (NULL, 'E')").await;
    for _ in 0..2 {
        assert_eq!(words(&forced(&project).await), ["succeeded"]);
        assert_eq!(rows(&engine, "SELECT coalesce(day, 9), v FROM m.t ORDER BY v").await, "1 A\n9 D\n9 E\n2 c\n3 e");
    }
    assert_eq!(words(&run(&project).await), ["skipped"]);
}

#[tokio::test]
async fn tests_look_at_the_whole_table_and_keep_rows_out() {
    let engine = engine().await;
    news(&engine, "id, v", "(1, 'a'), (2, 'b')").await;
    let tests = "key = \"id\"\n[[test]]\nrow_count = { max = 3 }\n[[test]]\nexpect = \"v <> 'bad'\"\non_violation = \"quarantine\"\n---";
    let project = one(&engine, &MERGE.replace("key = \"id\"\n---", tests)).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    news(&engine, "id, v", "(2, 'bad'), (3, 'c')").await;
    let reports = run(&project).await;
    assert_eq!(words(&reports), ["succeeded"]);
    assert_eq!(reports[0].tests[2].state, MartTestState::Quarantined);
    // The row that was there stays.
    assert_eq!(rows(&engine, "SELECT * FROM m.t ORDER BY id").await, "1 a\n2 b\n3 c");
    assert_eq!(rows(&engine, "SELECT id, v FROM m.t_quarantine").await, "2 bad");
    news(&engine, "id, v", "(4, 'd')").await;
    let reports = run(&project).await;
    assert!(error(&reports).message.contains("the test \"row_count\" failed"), "{reports:?}");
    assert_eq!(reports[0].tests[1].samples, ["4 rows; from any to 3 are right"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t").await, "3");
}

#[tokio::test]
async fn another_table_is_refused_until_it_is_rebuilt() {
    let engine = engine().await;
    news(&engine, "id, v", "(1, 'a'), (2, 'b')").await;
    assert_eq!(words(&run(&one(&engine, MERGE).await).await), ["succeeded"]);
    execute(&engine, "ALTER TABLE m.t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')").await;
    news(&engine, "id, v", "(2, 'B')").await;
    for (body, difference) in [
        ("SELECT id, v, 1 AS n FROM news", "it has no column \"n\""),
        ("SELECT id FROM news", "its column \"v\" is not one of the query's"),
        ("SELECT CAST(id AS INT) AS id, v FROM news", "column \"id\" is BIGINT there and INT in the definition"),
    ] {
        let changed = one(&engine, &MERGE.replace("SELECT id, v FROM news", body)).await;
        let reports = run(&changed).await;
        let error = error(&reports);
        assert_eq!(error.message, format!("the table of mart \"m.t\" is another one now: {difference}"));
        assert!(error.hint.as_ref().unwrap().starts_with("boathouse mart run m.t --rebuild makes it anew"));
    }
    let parted = one(&engine, &MERGE.replace("key", "partition_by = \"v\"\nkey")).await;
    assert!(error(&run(&parted).await).message.ends_with("it is partitioned by nothing, and by v in the definition"));
    assert_eq!(rows(&engine, "SELECT * FROM m.t ORDER BY id").await, "1 a\n2 b");

    // Another query that gives the same columns, and other comments, are no other table.
    let told = "description = \"News\"\nstrategy = \"merge\"\n[[column]]\nname = \"v\"\ndescription = \"text\"\n---*/";
    let told = format!("/*---\nkey = \"id\"\n{told} SELECT upper(v) AS v, id FROM news");
    let commented = one(&engine, &told).await;
    assert_eq!(words(&run(&commented).await), ["succeeded"]);
    let table = engine.lake().table("m", "t").await.unwrap();
    assert_eq!((table.comment(), table.schema().field(1).metadata()["comment"].as_str()), (Some("News"), "text"));
    assert_eq!(rows(&engine, "SELECT * FROM m.t ORDER BY id").await, "1 a\n2 B");

    let before = version(&engine).await;
    let wider = one(&engine, &MERGE.replace("id, v", "id, v, 1 AS n")).await;
    let reports = wider.rebuild(&["m.t".into()], |_| {}).await.unwrap();
    assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
    assert_eq!(rows(&engine, "SELECT * FROM m.t").await, "2 B 1");
    let table = engine.lake().table("m", "t").await.unwrap();
    assert_eq!((table.version(), table.comment()), (before + 1, None));
    assert_eq!(table.properties()["delta.enableChangeDataFeed"], "true");
    assert_eq!(words(&run(&wider).await), ["skipped"]);
}

#[tokio::test]
async fn a_key_is_of_the_columns_of_the_query() {
    let engine = engine().await;
    news(&engine, "id, v", "(1, 'a')").await;
    let told = async |mart: String| opened(&engine, &[("m.t", &mart)]).await.map(drop).unwrap_err();
    let text = told(MERGE.replace("\"id\"", "[\"id\", \"w\"]")).await;
    assert!(text.starts_with("marts/m.t.sql:3: column \"w\" is not one of the query's\nHINT: "), "{text}");
    let text = told(MERGE.replace("SELECT id", "SELECT make_array(id) AS id")).await;
    assert!(text.starts_with("marts/m.t.sql:3: column \"id\", which is nested, cannot be of the key"), "{text}");
}

#[tokio::test]
async fn scd2_keeps_what_held_before() {
    let engine = engine().await;
    news(&engine, "id, v, w", "(1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (NULL, 'n', NULL)").await;
    let mart = "/*---\nstrategy = \"scd2\"\nkey = \"id\"\n---*/\nSELECT id, v, w FROM news";
    let now = Arc::new(std::sync::atomic::AtomicI64::new(1_000));
    let opened = async |text: &str| {
        let now = now.clone();
        let clock = super::Clock::of(move || now.load(std::sync::atomic::Ordering::Relaxed));
        let definition = super::Definition::parse("marts/m.t.sql", text).unwrap();
        let options = super::MartOptions { clock, ..super::options() };
        Project::open(&engine, vec![definition], options).await.map_err(|faults| faults[0].to_string())
    };
    let project = opened(mart).await.unwrap();
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    let all = "SELECT concat_ws(' ', coalesce(id, 0), v, w, CAST(extract(epoch FROM valid_from) AS BIGINT), CAST(extract(epoch FROM valid_to) AS BIGINT), is_current) FROM m.t ORDER BY 1";
    assert_eq!(rows(&engine, all).await, "0 n 1 true\n1 a 1 1 true\n2 b 1 1 true\n3 c 1 1 true");
    // One is as it was, one changed, one is gone, one became NULL, one is new.
    now.store(2_000, std::sync::atomic::Ordering::Relaxed);
    news(&engine, "id, v, w", "(1, 'a', 1), (2, 'B', 1), (4, 'd', 1), (NULL, NULL, NULL)").await;
    let before = version(&engine).await;
    let reports = run(&project).await;
    assert_eq!(words(&reports), ["succeeded"], "{reports:?}");
    let expected =
        "0 2 true\n0 n 1 2 false\n1 a 1 1 true\n2 B 1 2 true\n2 b 1 1 2 false\n3 c 1 1 2 false\n4 d 1 2 true";
    assert_eq!(rows(&engine, all).await, expected);
    assert_eq!(version(&engine).await, before + 1);
    now.store(3_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(words(&forced(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, all).await, expected);
    // One that comes back begins anew; one that comes twice is refused.
    news(&engine, "id, v, w", "(1, 'a', 1), (2, 'B', 1), (4, 'd', 1), (NULL, NULL, NULL), (3, 'c', 1)").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t WHERE id = 3").await, "2");
    news(&engine, "id, v, w", "(7, 'a', 1), (7, 'b', 1)").await;
    let reports = run(&project).await;
    assert!(error(&reports).message.contains("the test \"key(id)\" failed"), "{reports:?}");
    assert_eq!(reports[0].tests[0].samples, ["id: 7, rows_of_it: 2"]);
    assert_eq!(rows(&engine, "SELECT count(*) FROM m.t WHERE is_current").await, "5");
    let fault = opened(&mart.replace("w FROM", "w AS is_current FROM")).await.map(drop).unwrap_err();
    assert!(fault.starts_with("marts/m.t.sql: column \"is_current\" is one that the strategy makes"), "{fault}");
    let fault = opened(&mart.replace("w FROM", "random() AS w FROM")).await.map(drop).unwrap_err();
    assert!(fault.starts_with("marts/m.t.sql: strategy = \"scd2\" needs a query that gives the same rows"), "{fault}");
}
