//! The files of a change feed: which commits have some, which of them VACUUM deletes, and when commits were made.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use boathouse_tests::TestLake;
use serde_json::Value;

const FED: &str = "'delta.enableChangeDataFeed' = 'true'";
const VECTORS: &str = "'delta.enableDeletionVectors' = 'true'";

/// The change files that a version names.
fn told(table: &Path, version: u64) -> Vec<Value> {
    let text = fs::read_to_string(table.join(format!("_delta_log/{version:020}.json"))).unwrap();
    let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    actions.filter_map(|mut action| action.get_mut("cdc").map(Value::take)).collect()
}

/// All files in the folder of change files.
fn files(table: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = vec![];
    walk(&table.join("_change_data"), &mut found);
    found
}

fn set_days_old(file: &Path, days: u64) {
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600)).unwrap();
}

#[tokio::test]
async fn change_files_are_written_where_whole_files_do_not_tell_it_all() {
    for properties in [FED.to_owned(), format!("{FED}, {VECTORS}")] {
        let lake = TestLake::folder().await;
        lake.run(&format!(
            "CREATE TABLE t (id INT, p INT) PARTITIONED BY (p) TBLPROPERTIES ({properties});
             INSERT INTO t VALUES (1, 1), (2, 1), (5, 1), (3, 2);
             DELETE FROM t WHERE p = 2;
             MERGE INTO t USING (VALUES (7)) AS s (id) ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, p) VALUES (7, 7);
             DELETE FROM t WHERE id = 7"
        ))
        .await;
        let table = lake.path().join("main/t");
        assert_eq!((0..=4).flat_map(|version| told(&table, version)).count(), 0);
        assert_eq!(files(&table), Vec::<PathBuf>::new(), "nothing is left of what was not needed");
        lake.run("UPDATE t SET id = 8 WHERE id = 1; DELETE FROM t WHERE id = 2").await;
        let (updated, deleted) = (told(&table, 5), told(&table, 6));
        assert!(!updated.is_empty() && !deleted.is_empty(), "files that stay do not tell it");
        for change in updated.iter().chain(&deleted) {
            assert!(change["path"].as_str().unwrap().starts_with("_change_data/p=1/"), "{change}");
            assert_eq!((&change["dataChange"], &change["partitionValues"]["p"]), (&false.into(), &"1".into()));
            assert!(
                table.join(change["path"].as_str().unwrap()).metadata().unwrap().len()
                    == change["size"].as_u64().unwrap()
            );
        }
        assert_eq!(files(&table).len(), updated.len() + deleted.len());
        let protocol = lake.text("DESCRIBE DETAIL t").await;
        assert!(properties == FED || protocol.contains("changeDataFeed"), "{protocol}");
        lake.error("UPDATE t SET id = id * CAST(2000000000 AS BIGINT)").await;
        assert_eq!(files(&table).len(), updated.len() + deleted.len(), "what a failed statement wrote is deleted");
    }
}

#[tokio::test]
async fn vacuum_deletes_change_files_of_old_commits_only() {
    let lake = TestLake::folder().await;
    lake.run(&format!(
        "CREATE TABLE t (id INT) TBLPROPERTIES ({FED});
         INSERT INTO t VALUES (1), (2);
         UPDATE t SET id = 3 WHERE id = 2;
         UPDATE t SET id = 4 WHERE id = 3"
    ))
    .await;
    let table = lake.path().join("main/t");
    let all = files(&table);
    all.iter().for_each(|file| set_days_old(file, 30));
    let changed = "SELECT count(*) AS n FROM table_changes('t', 2)";
    let four = "+---+\n| n |\n+---+\n| 4 |\n+---+";
    lake.run("VACUUM t").await;
    assert_eq!(files(&table).len(), all.len(), "commits of the last days name them");
    assert_eq!(lake.text(changed).await, four);
    (0..=2).for_each(|version| set_days_old(&table.join(format!("_delta_log/{version:020}.json")), 30 - version));
    lake.run("VACUUM t").await;
    assert_eq!(files(&table).len(), told(&table, 3).len());
    let error = lake.error("SELECT * FROM table_changes('t', 2)").await;
    assert!(error.contains("a file of table \"main.t\" at version 2"), "{error}");
    assert_eq!(lake.text("SELECT count(*) AS n FROM table_changes('t', 3)").await, four.replace('4', "2"));
}

#[tokio::test]
async fn commits_tell_their_times_where_the_table_wants_it() {
    for (told, year) in [("false", "2001"), ("true", "20")] {
        let lake = TestLake::folder().await;
        lake.run(&format!(
            "CREATE TABLE t (id INT) TBLPROPERTIES ({FED}, 'delta.enableInCommitTimestamps' = '{told}');
             INSERT INTO t VALUES (1)"
        ))
        .await;
        let commit = lake.path().join("main/t/_delta_log/00000000000000000001.json");
        let start = lake.path().join("main/t/_delta_log/00000000000000000000.json");
        for (file, seconds) in [(start, 978_307_200), (commit, 978_307_200 + 3600)] {
            let file = fs::File::options().append(true).open(file).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }
        let time = lake.text("SELECT _commit_timestamp FROM table_changes('t', 1)").await;
        assert_eq!(time.contains("2001-01-01T01:00:00Z"), told == "false", "{time}");
        assert!(time.contains(year), "{time}");
        if told == "false" {
            let count = |from: &str| format!("SELECT count(*) AS n FROM table_changes('t', {from})");
            for (from, rows) in [
                ("'2000-01-01'", 1),
                ("'2001-01-01 01:00'", 1),
                ("'2001-01-01 00:00', '2001-01-01 00:59'", 0),
                ("'2001-01-01 00:10', '2001-01-01 00:20'", 0),
                ("1, '2001-01-01 01:00'", 1),
                ("1, '2002-01-01'", 1),
                ("'2001-01-01 01:00:01'", 0),
                ("1, now()", 1),
                ("now() - INTERVAL '1 hour', now()", 0),
            ] {
                assert!(lake.text(&count(from)).await.contains(&format!("| {rows} |")), "{from}");
            }
            for late in ["'2999-01-01 01:00:01'", "1, '2999-01-01 01:00:01'"] {
                let late = lake.error(&count(late)).await;
                assert!(late.contains("has no version of 2999-01-01 01:00:01"), "{late}");
            }
        }
    }
}
