//! Files that no table needs, found without the product: the log is read line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use serde_json::Value;

const LOG: &str = "/_delta_log/";

/// Objects that are neither a log, nor named by the newest version of a table, nor of the catalog, nor files of a person.
pub async fn orphans(store: &Arc<InMemory>) -> Vec<String> {
    let objects: Vec<String> =
        store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    let mut logs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for object in &objects {
        if let Some((table, _)) = object.split_once(LOG) {
            logs.entry(table).or_default().insert(object);
        }
    }
    let mut needed = BTreeSet::new();
    let mut vectors: BTreeMap<&str, usize> = BTreeMap::new();
    for (table, entries) in &logs {
        let (files, count) = live_files(store, table, entries).await;
        needed.extend(files);
        vectors.insert(table, count);
    }
    let mut left = vec![];
    for object in &objects {
        let is_kept = object.contains(LOG) || object.contains("/_boathouse/") || object.starts_with("files/");
        // Their names are encoded in the log, so they are counted.
        let table = object.rsplit_once('/').map_or("", |(table, _)| table);
        let is_vector = object.ends_with(".bin")
            && vectors.get_mut(table).is_some_and(|count| {
                let some = *count > 0;
                *count = count.saturating_sub(1);
                some
            });
        if !is_kept && !is_vector && !needed.contains(object) {
            left.push(object.clone());
        }
    }
    left
}

/// The data files of the newest version, and the number of files with their deletion vectors.
async fn live_files(store: &InMemory, table: &str, entries: &BTreeSet<&str>) -> (BTreeSet<String>, usize) {
    let mut live: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.ends_with(".json")) {
        let bytes = store.get(&Path::from(*entry)).await.unwrap().bytes().await.unwrap();
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            let path = |kind: &str| action[kind]["path"].as_str().map(|path| object(table, path));
            if let Some(path) = path("remove") {
                live.remove(&path);
            }
            if let Some(path) = path("add") {
                let vector = &action["add"]["deletionVector"];
                let file = (vector["storageType"] == "u").then(|| vector["pathOrInlineDv"].to_string());
                live.insert(path, file);
            }
        }
    }
    let vectors: BTreeSet<String> = live.values().flatten().cloned().collect();
    (live.into_keys().collect(), vectors.len())
}

/// The object that a path of a table's log means.
fn object(table: &str, path: &str) -> String {
    match path.strip_prefix("memory:///") {
        Some(absolute) => absolute.to_owned(),
        None => format!("{table}/{path}"),
    }
}
