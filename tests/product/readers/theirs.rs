//! What another library writes is read by us, and both write the same table in turn.

use boathouse_engine::Engine;
use boathouse_tests::{TestLake, config};
use serde_json::json;

use super::{
    look::{Table, run},
    reader::Reader,
};

/// What we do to the table after some of the other's steps.
const OURS: [(&str, &str); 7] = [
    ("append", "INSERT INTO theirs (id, kind, price, tags) VALUES (900, 'x', 1.5, ['ours']), (901, NULL, NULL, [])"),
    ("update", "UPDATE theirs SET place = named_struct('city', 'ours', 'zip', CAST(1 AS INT)) WHERE id > 110"),
    (
        "merge",
        "MERGE INTO theirs AS t USING (SELECT * FROM theirs WHERE id > 100) AS s ON t.id = s.id + 1
         WHEN MATCHED AND s.id % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET price = s.price, day = s.day
         WHEN NOT MATCHED THEN INSERT (id, kind, price) VALUES (s.id + 10000, s.kind, s.price)",
    ),
    ("schema evolution", "DELETE FROM theirs WHERE kind = 'x' AND id IN (SELECT max(id) FROM theirs WHERE kind = 'x')"),
    ("checkpoint", "INSERT INTO theirs (id, kind) VALUES (902, 'behind a checkpoint')"),
    ("z-order", "OPTIMIZE theirs ZORDER BY (price)"),
    ("overwrite", "INSERT OVERWRITE theirs (id) SELECT id FROM theirs"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_read_and_change_what_deltalake_wrote() {
    let Some(mut reader) = Reader::deltalake() else { return };
    let lake = TestLake::folder().await;
    let folder = lake.path().join("main/theirs");
    std::fs::create_dir_all(&folder).unwrap();
    let steps = reader.call(&json!({ "do": "steps" })).unwrap().0;
    let mut faults = vec![];
    let mut changed = 0;
    for step in steps["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()) {
        reader.call(&json!({ "do": "write", "table": folder, "step": step })).unwrap();
        // An engine that saw each version grow, and one that loads the newest.
        let fresh = Engine::open(lake.path().to_str().unwrap(), config()).await.unwrap();
        for engine in [lake.engine(), &fresh] {
            let table = Table { engine: engine.clone(), name: "theirs".to_owned(), folder: folder.clone() };
            let found = table.differences(&mut reader, [].into_iter()).await;
            faults
                .extend(found.unwrap_or_else(|error| vec![error]).into_iter().map(|fault| format!("{step}: {fault}")));
        }
        for (_, sql) in OURS.iter().filter(|(after, _)| *after == step) {
            if let Err(error) = run(&lake.engine().session(), sql).await {
                faults.push(format!("after {step}: {sql}: {error}"));
            }
            changed += 1;
            let table = Table { engine: lake.engine().clone(), name: "theirs".to_owned(), folder: folder.clone() };
            let found = table.differences(&mut reader, [].into_iter()).await;
            faults.extend(found.unwrap_or_else(|error| vec![error]).into_iter().map(|fault| format!("{sql}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert_eq!(changed, OURS.len(), "a step of the other has another name");
}
