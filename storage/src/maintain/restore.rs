//! RESTORE: an older version becomes the newest one.
//!
//! One commit takes away the files that came since, brings back those that went, and gives the table the columns and
//! properties that it had. The versions between stay in the history. Every file that comes back must still be there; what
//! the log said of it is said again, word for word. Features of the protocol stay: versions in the history need them.

use std::{collections::HashSet, sync::Arc};

use deltalake::kernel::Metadata;
use futures::StreamExt;
use object_store::{ObjectStoreExt, path::Path};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    Lake, Snapshot, StorageError,
    catalog::backoff,
    lake::{Held, Use},
    log::{DeletionVector, physical_name, raw_adds},
    store::is_not_found,
    table::{file_at, log_error, table_store, vector_url},
    write::{CommitInfo, Committed, IDENTITY_MARK, IDENTITY_STEP, Operation, Transaction, done_before, further},
};

/// How often it starts over because others committed meanwhile.
const ATTEMPTS_MAX: usize = 20;
/// How many files are looked for at once.
const LOOKS_AT_ONCE: usize = 32;
/// Properties that must not go back with the others.
const MAX_COLUMN_ID: &str = "delta.columnMapping.maxColumnId";

/// Makes `version` of a table its newest one. `FilesMissing` when files of it were deleted; nothing is written then. Where
/// the newest version is the same already, nothing is committed.
pub async fn restore(
    lake: &Lake,
    table: &Snapshot,
    version: u64,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    for attempt in 0.. {
        let base = lake.table_at(table.location(), None).await?;
        let target = lake.table_at(table.location(), Some(version)).await?;
        match restore_once(lake, &base, &target, info).await {
            Err(StorageError::Conflict { .. }) if attempt + 1 < ATTEMPTS_MAX => {
                tokio::time::sleep(backoff(attempt)).await;
            }
            restored => return restored,
        }
    }
    Err(StorageError::Internal { message: "attempts to restore a table ended without an outcome".into() })
}

async fn restore_once(
    lake: &Lake,
    base: &Arc<Snapshot>,
    target: &Arc<Snapshot>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    if let Some(done) = done_before(lake, base, info).await? {
        return Ok(done);
    }
    let (now, then) = (&base.log().files, &target.log().files);
    let have: HashSet<String> = (0..now.len()).map(|file| now.identity(file)).collect();
    let want: HashSet<String> = (0..then.len()).map(|file| then.identity(file)).collect();
    let removed: Vec<usize> = (0..now.len()).filter(|file| !want.contains(&now.identity(*file))).collect();
    let added: Vec<usize> = (0..then.len()).filter(|file| !have.contains(&then.identity(*file))).collect();
    let metadata = restored_metadata(base, target)?;
    // A commit says that the statement of this key was carried out: later it would take away rows that came since.
    let is_nothing = removed.is_empty() && added.is_empty() && metadata.is_none();
    if is_nothing && info.idempotency_key.is_none() {
        return Ok(Committed { version: base.version(), rows_inserted: 0, rows_updated: 0, rows_deleted: 0 });
    }
    if added.is_empty() {
        return commit(lake, base, target, Changes { added, removed, metadata }, info, None).await;
    }
    let held = lake.hold_for_use(target, Use::Restore).await?;
    let restored = commit(lake, base, target, Changes { added, removed, metadata }, info, Some(&held)).await;
    lake.release(held).await;
    restored
}

/// What a restore changes: places of files in the version that comes back and in the newest one.
struct Changes {
    added: Vec<usize>,
    removed: Vec<usize>,
    metadata: Option<Metadata>,
}

async fn commit(
    lake: &Lake,
    base: &Arc<Snapshot>,
    target: &Snapshot,
    Changes { added, removed, metadata }: Changes,
    info: &CommitInfo,
    held: Option<&Held>,
) -> Result<Committed, StorageError> {
    let adds = brought_back(lake, target, &added).await?;
    check_there(lake, target, &adds).await?;
    let mut transaction = Transaction::new(lake, base, operation(base, target, &added, &removed)?)?;
    for file in removed {
        transaction.remove(file, true)?;
    }
    for add in adds {
        transaction.add_said(add);
    }
    if let Some(metadata) = metadata {
        transaction.set_metadata(metadata);
    }
    held.map_or(Ok(()), Held::check_time)?;
    transaction.commit(lake, info).await
}

fn operation(
    base: &Snapshot,
    target: &Snapshot,
    added: &[usize],
    removed: &[usize],
) -> Result<Operation, StorageError> {
    let rows = |table: &Snapshot, files: &[usize]| -> Result<u64, StorageError> {
        let index = table.files()?;
        Ok(files.iter().filter_map(|file| index.visible_rows(*file)).sum())
    };
    let bytes = |table: &Snapshot, files: &[usize]| -> u64 {
        let sizes = files.iter().map(|file| table.log().files.size(*file));
        sizes.map(|size| u64::try_from(size).unwrap_or(0)).sum()
    };
    let (inserted, deleted) = (rows(target, added)?, rows(base, removed)?);
    let metrics = [
        ("numRestoredFiles", added.len() as u64),
        ("numRemovedFiles", removed.len() as u64),
        ("restoredFilesSize", bytes(target, added)),
        ("removedFilesSize", bytes(base, removed)),
        ("numOfFilesAfterRestore", target.file_count() as u64),
        ("tableSizeAfterRestore", target.size_bytes()),
        // Under the names that other statements have for them.
        ("numOutputRows", inserted),
        ("numDeletedRows", deleted),
    ];
    Ok(Operation {
        name: "RESTORE",
        parameters: [("version".to_owned(), target.version().to_string())].into(),
        metrics: metrics.map(|(name, count)| (name.to_owned(), count)).into(),
        inserted,
        deleted,
        ..Operation::default()
    })
}

/// The add actions of some files of a version, as they were, to be committed again.
pub(crate) async fn brought_back(lake: &Lake, target: &Snapshot, files: &[usize]) -> Result<Vec<Value>, StorageError> {
    let index = &target.log().files;
    let store = table_store(lake.store_registry(), target.location())?;
    let wanted: HashSet<String> = files.iter().map(|file| index.identity(*file)).collect();
    let found = raw_adds(&store, target.version(), &wanted).await;
    let mut found = found.map_err(|error| log_error(target.name(), target.location(), error))?;
    let schema = target.arrow_schema();
    let partitions: Vec<String> = target
        .partition_columns()
        .iter()
        .map(|name| schema.field_with_name(name).map_or(name.as_str(), |field| physical_name(field)).to_owned())
        .collect();
    let mut adds = Vec::with_capacity(files.len());
    for file in files {
        let Some(mut add) = found.remove(&index.identity(*file)) else { continue };
        if let Some(fields) = add.as_object_mut() {
            fields.insert("dataChange".to_owned(), Value::Bool(true));
            // A checkpoint leaves out what is NULL.
            let values = fields.entry("partitionValues").or_insert_with(|| json!({}));
            for name in &partitions {
                if let Some(values) = values.as_object_mut() {
                    values.entry(name.as_str()).or_insert(Value::Null);
                }
            }
        }
        adds.push(add);
    }
    Ok(adds)
}

/// The definition that the table gets back; `None` when it has it.
fn restored_metadata(base: &Snapshot, target: &Snapshot) -> Result<Option<Metadata>, StorageError> {
    let internal = |error: serde_json::Error| StorageError::Internal {
        message: format!("a table's metadata cannot be written: {error}"),
    };
    let now = serde_json::to_value(&base.log().metadata).map_err(internal)?;
    let mut then = serde_json::to_value(&target.log().metadata).map_err(internal)?;
    if let Some(fields) = then.as_object_mut() {
        // It stays the same table.
        for key in ["id", "createdTime"] {
            fields.insert(key.to_owned(), now.get(key).cloned().unwrap_or_default());
        }
        let ids = now.get("configuration").and_then(|properties| properties.get(MAX_COLUMN_ID)).cloned();
        if let (Some(ids), Some(Value::Object(properties))) = (ids, fields.get_mut("configuration"))
            && properties.contains_key(MAX_COLUMN_ID)
        {
            properties.insert(MAX_COLUMN_ID.to_owned(), ids);
        }
        keep_marks(&now, fields);
    }
    if is_same(&now, &then) {
        return Ok(None);
    }
    serde_json::from_value(then).map(Some).map_err(internal)
}

/// Numbers that identity columns gave in versions which stay in the history are not given again.
fn keep_marks(now: &Value, then: &mut Map<String, Value>) {
    let (Some(now), Some(mut schema)) = (schema(now.get("schemaString")), schema(then.get("schemaString"))) else {
        return;
    };
    let number = |field: &Value, key: &str| field.get("metadata")?.get(key)?.as_i64();
    let known = |name: &Value| now.get("fields")?.as_array()?.iter().find(|field| field.get("name") == Some(name));
    let mut moved = false;
    for field in schema.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(known) = field.get("name").and_then(known) else { continue };
        let (Some(step), Some(mark)) = (number(field, IDENTITY_STEP), number(known, IDENTITY_MARK)) else { continue };
        if number(known, IDENTITY_STEP) != Some(step) {
            continue;
        }
        let mark = number(field, IDENTITY_MARK).map_or(mark, |then| further(step, then, mark));
        if let Some(metadata) = field.get_mut("metadata").and_then(Value::as_object_mut) {
            moved |= metadata.insert(IDENTITY_MARK.to_owned(), mark.into()) != Some(mark.into());
        }
    }
    if moved {
        then.insert("schemaString".to_owned(), Value::String(schema.to_string()));
    }
}

fn schema(text: Option<&Value>) -> Option<Value> {
    serde_json::from_str(text?.as_str()?).ok()
}

/// The schema in two texts may differ in the order of keys.
fn is_same(now: &Value, then: &Value) -> bool {
    let with_schema = |metadata: &Value| {
        let mut metadata = metadata.clone();
        let parsed = schema(metadata.get("schemaString"));
        if let (Some(parsed), Some(fields)) = (parsed, metadata.as_object_mut()) {
            fields.insert("schemaString".to_owned(), parsed);
        }
        metadata
    };
    with_schema(now) == with_schema(then)
}

/// `FilesMissing` unless all data files and deletion vectors are there.
pub(crate) async fn check_there(lake: &Lake, target: &Snapshot, adds: &[Value]) -> Result<(), StorageError> {
    let location = target.location();
    let mut paths: Vec<String> = Vec::new();
    for add in adds {
        paths.extend(add.get("path").and_then(Value::as_str).map(str::to_owned));
        paths.extend(vector_of(location, add)?.map(|url| url.to_string()));
    }
    let total = paths.len();
    let looks = futures::stream::iter(paths).map(async |path| {
        let (store, at): (_, Path) = file_at(lake.store_registry(), location, &path)?;
        match store.head(&at).await {
            Ok(_) => Ok(None),
            Err(error) if is_not_found(&error) => Ok(Some(path)),
            Err(source) => Err(StorageError::Store { action: "look for", path, source }),
        }
    });
    let mut looks = std::pin::pin!(looks.buffer_unordered(LOOKS_AT_ONCE));
    let mut missing: Vec<String> = Vec::new();
    while let Some(look) = looks.next().await {
        missing.extend(look?);
    }
    missing.sort_unstable();
    match missing.first().cloned() {
        None => Ok(()),
        Some(first) => Err(StorageError::FilesMissing {
            table: target.name().to_owned(),
            version: target.version(),
            missing: missing.len(),
            total,
            first,
        }),
    }
}

/// Where the deletion vector of a file lies; `None` when it has none, or has it in the log.
pub(crate) fn vector_of(table: &Url, add: &Value) -> Result<Option<Url>, StorageError> {
    let Some(vector) = add.get("deletionVector").filter(|vector| !vector.is_null()) else { return Ok(None) };
    let wrong = |message: String| StorageError::Internal { message };
    let vector: DeletionVector = serde_json::from_value(vector.clone()).map_err(|error| wrong(error.to_string()))?;
    vector_url(table, &vector).map_err(wrong)
}
