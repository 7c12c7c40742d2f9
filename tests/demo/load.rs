//! `Session::load`: rows of this process become a table's in one commit.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    error::ArrowError,
};
use boathouse_engine::EngineError;
use boathouse_tests::TestLake;
use futures::{StreamExt, stream};

const CREATE: &str = "CREATE OR REPLACE TABLE t (id BIGINT NOT NULL, name VARCHAR)";

fn batch(ids: &[i64]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x"; ids.len()]));
    // In another order than the table's: columns go by name.
    RecordBatch::try_from_iter([("name", names), ("id", ids)]).unwrap()
}

async fn load(
    lake: &TestLake,
    create: &str,
    batches: Vec<Result<RecordBatch, ArrowError>>,
) -> Result<u64, EngineError> {
    lake.engine().session().load(create, batch(&[1]).schema(), stream::iter(batches).boxed()).await
}

async fn ids(lake: &TestLake) -> String {
    lake.text("SELECT string_agg(CAST(id AS VARCHAR), ',' ORDER BY id) AS ids FROM t").await
}

#[tokio::test]
async fn a_load_replaces_all_rows_in_one_commit() {
    let lake = TestLake::memory().await;
    assert_eq!(load(&lake, CREATE, vec![Ok(batch(&[1, 2])), Ok(batch(&[3]))]).await.unwrap(), 3);
    assert!(ids(&lake).await.contains("| 1,2,3 |"));
    assert_eq!(load(&lake, CREATE, vec![Ok(batch(&[7]))]).await.unwrap(), 1);
    assert!(ids(&lake).await.contains("| 7 "));
    assert_eq!(lake.engine().lake().table("main", "t").await.unwrap().version(), 1);
}

#[tokio::test]
async fn a_load_that_fails_half_way_changes_nothing() {
    let lake = TestLake::memory().await;
    load(&lake, CREATE, vec![Ok(batch(&[1]))]).await.unwrap();
    let broken = ArrowError::ComputeError("the source dried up".to_owned());
    let error = load(&lake, CREATE, vec![Ok(batch(&[2])), Err(broken)]).await.unwrap_err();
    assert!(error.to_string().contains("the source dried up"), "{error}");
    assert!(ids(&lake).await.contains("| 1 "));
}

#[tokio::test]
async fn a_load_is_checked_like_an_insert() {
    let lake = TestLake::memory().await;
    let error = load(&lake, "CREATE TABLE t (id BIGINT NOT NULL)", vec![Ok(batch(&[1]))]).await.unwrap_err();
    assert!(error.to_string().contains("\"name\""), "{error}");
    let error = load(&lake, "CREATE TABLE IF NOT EXISTS t (id BIGINT, name VARCHAR)", vec![]).await.unwrap_err();
    assert!(error.to_string().contains("rows are loaded by"), "{error}");
    let error = load(&lake, "DROP TABLE t", vec![]).await.unwrap_err();
    assert!(error.to_string().contains("rows are loaded by"), "{error}");
    assert_eq!(lake.text("SHOW TABLES").await.matches("main").count(), 0);
}
