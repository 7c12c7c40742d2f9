//! Each commit is an application transaction: of its statement's key, of a mart, or of the process that made it.

use std::{collections::BTreeMap, fs, path::Path};

use boathouse_tests::TestLake;
use serde_json::Value;

/// The transactions of each commit of a table, oldest first: programs and their versions.
fn transactions(table: &Path) -> Vec<Vec<(String, i64)>> {
    let entries = fs::read_dir(table.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path());
    let commits: BTreeMap<_, _> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let of_line = |line: &str| {
        let action: Value = serde_json::from_str(line).unwrap();
        let said = action.get("txn")?;
        Some((said["appId"].as_str()?.to_owned(), said["version"].as_i64()?))
    };
    commits.values().map(|text| text.lines().filter_map(of_line).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_is_a_transaction() {
    let lake = TestLake::folder().await;
    lake.run(
        "CREATE TABLE t (id BIGINT, name STRING) TBLPROPERTIES ('delta.columnMapping.mode' = 'name');
         INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
         INSERT INTO t VALUES (4, 'd');
         UPDATE t SET name = 'z' WHERE id = 1;
         DELETE FROM t WHERE id = 2;
         MERGE INTO t USING (SELECT 5 AS id, 'e' AS name) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT *;
         ALTER TABLE t RENAME COLUMN name TO title;
         ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
         OPTIMIZE t;
         INSERT OVERWRITE t VALUES (6, 'f');
         TRUNCATE TABLE t;
         RESTORE TABLE t TO VERSION AS OF 2;
         CREATE TABLE c SHALLOW CLONE t;
         CREATE TABLE q AS SELECT * FROM t;
         CREATE OR REPLACE TABLE q AS SELECT 1 AS n",
    )
    .await;
    let main = lake.path().join("main");
    let first = transactions(&main.join("t"));
    assert_eq!(first.len(), 12);
    let process = first[0][0].0.clone();
    assert!(process.starts_with("boathouse-process:"), "{process}");
    for table in ["t", "c", "q"] {
        for (version, said) in transactions(&main.join(table)).into_iter().enumerate() {
            assert_eq!(said, [(process.clone(), version as i64)], "version {version} of {table}");
        }
    }
    // With a key, it is the transaction of the key.
    let session = lake.engine().session();
    for sql in ["SET idempotency_key = 'order 7'", "INSERT INTO t VALUES (7, 'g')"] {
        session.execute(sql).await.unwrap();
    }
    let last = transactions(&main.join("t")).pop().unwrap();
    assert_eq!(last, [("boathouse-key:order 7".to_owned(), 12)]);
}
