//! Add actions exactly as the log has them, for the few statements that write them again.
//!
//! What a snapshot keeps of a file is typed for queries: bounds are widened, texts are parsed. A commit that brings a file
//! back must say of it what its writer said.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use object_store::ObjectStore;
use serde::Deserialize;
use serde_json::Value;

use super::{
    LogError, checkpoint,
    chunk::vector_id,
    file_set::key,
    list::{Checkpoint, Listing, commit_path, list},
    times::read,
};

/// The add actions of the files that `wanted` names (see `FileSet::identity`), all of which are alive at `version`.
pub(crate) async fn raw_adds(
    store: &Arc<dyn ObjectStore>,
    version: u64,
    wanted: &HashSet<String>,
) -> Result<HashMap<String, Value>, LogError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let listing = list(store.as_ref(), 0).await?;
    let before = listing.checkpoints.iter().rev().filter(|checkpoint| checkpoint.version <= version);
    let mut failed = None;
    for start in before.map(Some).chain([None]) {
        match read_from(store, &listing, start, version, wanted).await {
            Err(error @ (LogError::Checkpoint { .. } | LogError::Gap { .. })) => failed = failed.or(Some(error)),
            found => return found,
        }
    }
    Err(failed.unwrap_or_else(|| LogError::Gap { version, path: commit_path(version) }))
}

async fn read_from(
    store: &Arc<dyn ObjectStore>,
    listing: &Listing,
    start: Option<&Checkpoint>,
    version: u64,
    wanted: &HashSet<String>,
) -> Result<HashMap<String, Value>, LogError> {
    let first = start.map_or(0, |checkpoint| checkpoint.version + 1);
    let mut found = HashMap::new();
    let mut take = |add: Value| {
        if let Some(key) = identity(&add).filter(|key| wanted.contains(key)) {
            found.insert(key, add);
        }
    };
    if let Some(checkpoint) = start {
        checkpoint::said_adds(store, checkpoint, &mut take).await?;
    }
    // What is said last of a file counts.
    for version in first..=version {
        if !listing.commits.contains_key(&version) {
            return Err(LogError::Gap { version, path: commit_path(version) });
        }
        let adds = adds(&read(store.as_ref(), version).await?);
        let damaged = |reason| LogError::Damaged { version, path: commit_path(version), reason };
        adds.map_err(damaged)?.into_iter().for_each(&mut take);
    }
    match wanted.iter().find(|key| !found.contains_key(*key)) {
        None => Ok(found),
        Some(key) => Err(LogError::Invalid { version, reason: format!("nothing adds the file {key:?}") }),
    }
}

/// The adds in a file of JSON actions.
pub(super) fn adds(bytes: &Bytes) -> Result<Vec<Value>, String> {
    #[derive(Deserialize)]
    struct Line {
        add: Option<Value>,
    }
    let lines = serde_json::Deserializer::from_slice(bytes).into_iter::<Line>();
    let adds = lines.filter_map(|line| line.map(|line| line.add).transpose());
    adds.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// What identifies a file: its path and its deletion vector.
pub(super) fn identity(add: &Value) -> Option<String> {
    let path = add.get("path")?.as_str()?;
    let vector = add.get("deletionVector").filter(|vector| !vector.is_null());
    let vector = vector.map(|vector| {
        let text = |name: &str| vector.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let offset = vector.get("offset").and_then(Value::as_i64).and_then(|offset| i32::try_from(offset).ok());
        vector_id(&text("storageType"), &text("pathOrInlineDv"), offset)
    });
    Some(key(path, vector))
}
