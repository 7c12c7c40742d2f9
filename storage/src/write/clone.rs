//! CREATE TABLE ... SHALLOW CLONE: a table of its own on the files of another one.
//!
//! One commit names the source's files by their URLs. What is written to the clone lies in its own folder, and removing a
//! file there only takes it off the clone's log: the source never notices. The source's files stay as long as the clone is
//! there, because it is written down with the source first ([`Lake::files_used_by_clones`]).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CommitInfo, Committed,
    commit::{CLIENT, STATEMENT_CHARS_MAX},
    commit_time::{ENABLED, FIELD, is_enabled, without_beginning},
    drop::{keep_name, make_room},
    once,
    protocol::check_writable,
    provenance::ENGINE,
    put::{Put, put},
    transaction::now_ms,
};
use crate::{
    Lake, Snapshot, StorageError,
    catalog::TableClone,
    lake::{Held, Use, check_name},
    maintain::{brought_back, check_there, vector_of},
    table::{absolute_url, table_store},
};

/// Makes the table `schema.name` of the files of one version of a table of the lake. `TableExists` when it is there,
/// `FilesMissing` when files of that version are gone.
pub async fn shallow_clone(
    lake: &Lake,
    source: &Arc<Snapshot>,
    schema: &str,
    name: &str,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    check_name("schema", schema)?;
    check_name("table", name)?;
    check_writable(source)?;
    lake.check_schema(schema).await?;
    let table = format!("{schema}.{name}");
    if lake.owner(source.location().as_str()).is_none() {
        let reason = format!("\"{}\" lies outside of the lake, where its files may be deleted", source.name());
        return Err(StorageError::InvalidTable { table, reason });
    }
    let folder = lake.folder_to_make(schema, name).await?;
    let location = lake.table_url(schema, &folder);
    let lock = lake.table_lock(&location);
    let _turn = lock.lock().await;
    match lake.table(schema, name).await {
        Ok(_) => return Err(StorageError::TableExists { table }),
        Err(StorageError::TableNotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let clone = TableClone { schema: schema.to_owned(), name: folder, id: Uuid::new_v4().to_string() };
    // First written down, then looked at: a VACUUM that has not heard of the clone has ended by then.
    lake.note_clone(source, &clone).await?;
    let held = lake.hold_for_use(source, Use::Clone).await?;
    let made = first_commit(lake, source, schema, name, &clone, &held, info).await;
    lake.release(held).await;
    made
}

/// Looks for the files, and commits version 0.
async fn first_commit(
    lake: &Lake,
    source: &Snapshot,
    schema: &str,
    name: &str,
    clone: &TableClone,
    held: &Held,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let (table, location) = (format!("{schema}.{name}"), lake.table_url(schema, &clone.name));
    let files: Vec<usize> = (0..source.file_count()).collect();
    let mut adds = brought_back(lake, source, &files).await?;
    check_there(lake, source, &adds).await?;
    for add in &mut adds {
        make_absolute(source, add)?;
    }
    let bytes = commit(source, &clone.id, &adds, info)?;
    let store = table_store(lake.store_registry(), &location)?;
    held.check_time()?;
    let old = make_room(lake, schema, &clone.name, &[]).await?;
    held.check_time()?;
    match put(&*store, 0, &bytes, lake.commits()).await {
        Ok(Put::Written(_)) => {
            if let Some(old) = old {
                old.delete(lake).await;
            }
            keep_name(lake, schema, name, &clone.name, &clone.id).await?;
            let index = source.files()?;
            let rows_inserted = files.iter().filter_map(|file| index.visible_rows(*file)).sum();
            Ok(Committed { version: 0, rows_inserted, rows_updated: 0, rows_deleted: 0 })
        }
        Ok(Put::Taken(_)) => Err(StorageError::TableExists { table }),
        Err(error) => Err(StorageError::Undecided { table, version: 0, source: error }),
    }
}

/// Names the file, and its deletion vector, by URLs.
fn make_absolute(source: &Snapshot, add: &mut Value) -> Result<(), StorageError> {
    let vector = vector_of(source.location(), add)?;
    let path = add.get("path").and_then(Value::as_str).unwrap_or_default();
    let path = absolute_url(source.location(), path);
    if let Some(fields) = add.as_object_mut() {
        fields.insert("path".to_owned(), Value::String(path));
    }
    if let (Some(url), Some(Value::Object(fields))) = (vector, add.get_mut("deletionVector")) {
        fields.insert("storageType".to_owned(), Value::String("p".to_owned()));
        fields.insert("pathOrInlineDv".to_owned(), Value::String(url.into()));
    }
    Ok(())
}

/// The first log entry of the clone.
fn commit(source: &Snapshot, id: &str, adds: &[Value], info: &CommitInfo) -> Result<Bytes, StorageError> {
    let unwritable = |error: serde_json::Error| StorageError::Internal {
        message: format!("an action of a commit cannot be written: {error}"),
    };
    let mut metadata = serde_json::to_value(&source.log().metadata).map_err(unwritable)?;
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("id".to_owned(), json!(id));
        fields.insert("createdTime".to_owned(), json!(now_ms()));
    }
    without_beginning(&mut metadata);
    let statement: Option<String> =
        info.statement.as_ref().map(|statement| statement.chars().take(STATEMENT_CHARS_MAX).collect());
    let mut provenance = json!({
        "timestamp": now_ms(),
        "operation": "CLONE",
        "operationParameters": {
            "source": source.name(),
            "sourceVersion": source.version().to_string(),
            "isShallow": "true",
        },
        "operationMetrics": {
            "sourceNumOfFiles": source.file_count().to_string(),
            "sourceTableSize": source.size_bytes().to_string(),
            "numCopiedFiles": "0",
        },
        "isBlindAppend": false,
        "engineInfo": ENGINE,
        "clientVersion": CLIENT,
        "txnId": Uuid::new_v4().to_string(),
        "statement": statement,
    });
    if is_enabled(source.properties().get(ENABLED))
        && let Some(fields) = provenance.as_object_mut()
    {
        fields.insert(FIELD.to_owned(), now_ms().into());
    }
    let protocol = serde_json::to_value(source.protocol()).map_err(unwritable)?;
    let heads = [
        json!({ "commitInfo": provenance }),
        once::action(info, 0),
        json!({ "protocol": protocol }),
        json!({ "metaData": metadata }),
    ];
    let mut text = String::new();
    for line in heads.into_iter().chain(adds.iter().map(|add| json!({ "add": add }))) {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    Ok(Bytes::from(text))
}
