//! Batches against a receiver on this machine.

use std::{sync::Arc, time::Duration};

use boathouse_engine::{
    Definition, Engine, EngineConfig, ErrorKind, MartOptions, Project, Secret,
    mart::{Destination, ExportOutcome, ExportReport},
};
use serde_json::Value;
use url::Url;

use super::{HttpExports, HttpOptions};
use crate::webhook::tests::{header, receiver};

const MART: &str = "/*---\nexport = [{ to = \"crm\", mode = \"append\" }]\n---*/\nSELECT id, name FROM t";

async fn engine() -> Arc<Engine> {
    let engine = Engine::open("memory://", EngineConfig { threads: 2, ..EngineConfig::default() }).await.unwrap();
    let sql = "CREATE TABLE t AS SELECT value AS id, CAST(NULL AS VARCHAR) AS name FROM generate_series(1, 5)";
    engine.session().execute(sql).await.unwrap();
    engine
}

/// Runs the mart and delivers it to a receiver that lies there.
async fn export(engine: &Arc<Engine>, url: &Url) -> ExportReport {
    let headers = vec![("Authorization".to_owned(), Secret::new("Bearer t0ken"))];
    let mut options = HttpOptions::checked(&Secret::new(url.as_str()), headers, None, Some(2)).unwrap();
    options.waits = vec![Duration::from_millis(1)];
    let crm: Arc<dyn Destination> = Arc::new(HttpExports::new(options).unwrap());
    let destinations = [("crm".to_owned(), crm)].into_iter().collect();
    let definition = Definition::parse("m.t.sql", MART).unwrap();
    let options = MartOptions { destinations, ..MartOptions::default() };
    let project = Project::open(engine, vec![definition], options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    project.export_behind(&runs, |_| {}).await.unwrap().pop().unwrap()
}

/// The end of each key, and the ids in its batch.
fn told(got: &[(String, String)]) -> Vec<(String, Vec<i64>)> {
    let told = got.iter().map(|(head, body)| {
        let rows: Value = serde_json::from_str(body).unwrap();
        let ids = rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        let key = header(head, "idempotency-key");
        // The table's id is another one each time.
        let parts: Vec<&str> = key.split('/').collect();
        (format!("{} {} {}", parts[0], parts[2], parts[3]), ids)
    });
    told.collect()
}

fn batch(key: &str, ids: &[i64]) -> (String, Vec<i64>) {
    (key.to_owned(), ids.to_vec())
}

#[tokio::test]
async fn a_delivery_goes_on_behind_the_last_batch_that_was_taken() {
    let engine = engine().await;
    let (url, got) = receiver(&[200, 503, 429]).await;
    let failed = export(&engine, &url).await;
    let ExportOutcome::Failed(error) = &failed.outcome else { panic!("{failed:?}") };
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let second = batch("m.t v0 2+2", &[3, 4]);
    assert_eq!(told(&got.lock()), [batch("m.t v0 0+2", &[1, 2]), second.clone(), second.clone()]);
    let head = got.lock()[0].0.clone();
    assert_eq!(
        (header(&head, "authorization"), header(&head, "content-type")),
        ("Bearer t0ken".into(), "application/json".into())
    );
    assert_eq!((header(&head, "boathouse-mart"), header(&head, "boathouse-version")), ("m.t".into(), "0".into()));
    assert_eq!(got.lock()[0].1, "[{\"id\":1,\"name\":null},{\"id\":2,\"name\":null}]");
    // Meanwhile there is a newer version: what was begun is brought to its end, then come the rows that are new in it.
    engine.session().execute("INSERT INTO t VALUES (6, 'x')").await.unwrap();
    let (url, got) = receiver(&[204, 200, 201]).await;
    let delivered = export(&engine, &url).await;
    assert!(matches!(delivered.outcome, ExportOutcome::Delivered { rows: 1, version: 1 }), "{delivered:?}");
    assert_eq!(told(&got.lock()), [second, batch("m.t v0 4+1", &[5]), batch("m.t v0-v1 0+1", &[6])]);
    // Nobody is there, and nobody need be.
    let again = export(&engine, &url).await;
    assert!(matches!(again.outcome, ExportOutcome::UpToDate { version: 1 }), "{again:?}");
}

#[tokio::test]
async fn what_a_receiver_refuses_is_not_sent_again() {
    let engine = engine().await;
    let (url, got) = receiver(&[422, 200, 200, 200]).await;
    let refused = export(&engine, &url).await;
    let ExportOutcome::Failed(error) = &refused.outcome else { panic!("{refused:?}") };
    assert!(error.message.starts_with("the receiver answered 422 Unprocessable Entity to batch \"m.t/"), "{error}");
    assert_eq!((error.kind, got.lock().len()), (ErrorKind::InvalidSql, 1));
    assert!(!error.to_string().contains("secret-path"), "{error}");
    let delivered = export(&engine, &url).await;
    assert!(matches!(delivered.outcome, ExportOutcome::Delivered { rows: 5, version: 0 }), "{delivered:?}");
}
